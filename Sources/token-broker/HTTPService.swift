#if CommandLineSupport
import Hummingbird
import Logging
import ServiceLifecycle
import TokenBroker
import TokenBrokerHummingbird
import UnixSignals

/// An HTTP server for an ``EndpointSet``, run until it is shut down gracefully.
struct HTTPService: Service {
    private let application: Application<RouterResponder<BrokerRequestContext>>
    private let ports: AsyncStream<Int>
    private let place: String

    /// - Parameter port: 0 for any free one.
    init(_ endpoints: EndpointSet, host: String, port: Int, logger: Logger) {
        let (ports, found) = AsyncStream.makeStream(of: Int.self)
        let router = Router(context: BrokerRequestContext.self)
        router.mount(endpoints)
        self.ports = ports
        self.place = "\(host):\(port)"
        self.application = Application(
            router: router,
            configuration: ApplicationConfiguration(address: .hostname(host, port: port)),
            onServerRunning: { channel in
                if let port = channel.localAddress?.port { found.yield(port) }
                found.finish()
            },
            logger: logger
        )
    }

    /// Waits until it listens; `nil` if it was shut down before. To be asked once.
    func port() async -> Int? {
        for await port in ports { return port }
        return nil
    }

    func run() async throws {
        do {
            try await application.run()
        } catch {
            throw Failure.cannotListen("cannot listen on \(place): \(error)")
        }
    }
}

/// Runs services until one fails or a signal asks to stop, then stops them in reverse order within `deadline`.
func run(_ services: [any Service], deadline: Duration, logger: Logger) async throws {
    var configuration = ServiceGroupConfiguration(
        services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger
    )
    configuration.maximumGracefulShutdownDuration = deadline
    do {
        try await ServiceGroup(configuration: configuration).run()
    } catch let failure as Failure {
        throw failure.exit()
    }
}

/// Something to do once a server listens; afterwards it only waits for the end.
struct Announcement: Service {
    let server: HTTPService
    let announce: @Sendable (Int) -> Void

    func run() async throws {
        await cancelWhenGracefulShutdown {
            if let port = await server.port() { announce(port) }
        }
        try await gracefulShutdown()
    }
}
#endif

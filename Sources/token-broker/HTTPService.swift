#if CommandLineSupport
import Logging
import Metrics
import NIOCore
import ServiceLifecycle
import TokenBroker
import TokenBrokerNIO

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// An HTTP server for an ``EndpointSet``. It listens as soon as it is created, and runs until a graceful shutdown.
struct HTTPService: Service {
    private let server: HTTPServer

    /// The port that the server listens on.
    var port: Int { server.port }

    /// Starts to listen.
    /// - Parameters:
    ///   - port: The port; 0 for any free port.
    ///   - setting: The option or key that sets the port, if any. It is named in the error if the port is unavailable.
    ///   - connections: Shows the number of open connections.
    init(
        _ endpoints: EndpointSet, host: String, port: Int, setting: String? = nil, limits: HTTPServer.Limits = .init(),
        connections: Meter? = nil, logger: Logger
    ) async throws(Failure) {
        do {
            server = try await .listen(
                endpoints, host: host, port: port, limits: limits, connections: connections, logger: logger)
        } catch {
            throw .cannotListen("cannot listen on \(address(host, port)): \(reason(error, setting))")
        }
    }

    func run() async {
        try? await gracefulShutdown()
        await withTaskCancellationHandler {
            await server.drain()
        } onCancel: {
            server.abort()
        }
        await server.close()
    }

    /// Closes a server that is not run.
    func close() async { await server.close() }
}

private func reason(_ error: any Error, _ setting: String?) -> String {
    let setting = setting.map { " with \($0)" } ?? ""
    return switch (error as? IOError)?.errnoCode {
    case EADDRINUSE: "the port is taken; choose another\(setting)"
    case EACCES: "this user may not listen on that port; choose 1024 or higher\(setting)"
    case EADDRNOTAVAIL: "this machine does not have that address"
    default: "\(error)"
    }
}
#endif

#if HummingbirdSupport
import Dispatch
import HTTPTypes
import Hummingbird
import Logging
import ServiceLifecycle
import TestSupport
import Testing
import TokenBroker
import TokenBrokerHummingbird
import TokenBrokerTesting

private struct HummingbirdFixture: RouteAdapterFixture {
    // The documentation of `mount` lists what Hummingbird does not support.
    static let capabilities = RouteAdapterContract.Capabilities.all.subtracting([
        .http10, .refusals, .boundedBodies, .declinedUpgrades, .lingeringClose,
    ])

    func withServer(
        _ endpoints: EndpointSet, _ body: @Sendable (RouteAdapterContract.Server) async throws -> Void
    ) async throws {
        try await withServer(BrokerRequestContext.self, endpoints, body)
    }

    func withServer<Context: RequestContext>(
        _ context: Context.Type, _ endpoints: EndpointSet,
        _ body: @Sendable (RouteAdapterContract.Server) async throws -> Void
    ) async throws where Context.Source == ApplicationRequestContextSource {
        let router = Router(context: context)
        router.get("/host") { _, _ in "host" }
        router.get("/healthz") { _, _ in "host" }
        router.mount(endpoints)
        let (ports, found) = AsyncStream.makeStream(of: Int.self)
        var logger = Logger(label: "test")
        logger.logLevel = .error
        let application = Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in
                found.yield(channel.localAddress?.port ?? 0)
                found.finish()
            },
            logger: logger
        )
        var configuration = ServiceGroupConfiguration(services: [application], logger: logger)
        // Without this limit, a client that does not read would block the shutdown for ever.
        configuration.maximumGracefulShutdownDuration = .seconds(10)
        let services = ServiceGroup(configuration: configuration)
        let server = Task { try await services.run() }
        let shutDown: @Sendable () async throws -> Void = {
            await services.triggerGracefulShutdown()
            do { try await server.value } catch is CancellationError {}
        }
        for await port in ports {
            do {
                try await body(RouteAdapterContract.Server(port: port, shutDown: shutDown))
            } catch {
                try await shutDown()
                throw error
            }
        }
        try await shutDown()
    }
}

private struct Fixed: Endpoint {
    let path: RoutePath
    let answer: @Sendable (EndpointRequest) async -> EndpointResponse
    func respond(to request: EndpointRequest) async -> EndpointResponse { await answer(request) }
}

@Suite struct HummingbirdAdapterTests {
    @Test(arguments: RouteAdapterContract.cases(for: HummingbirdFixture.self))
    func `Hummingbird passes the route adapter contract`(_ test: RouteAdapterContract.Case) async throws {
        try await test.run(on: HummingbirdFixture())
    }

    @Test func `Hummingbird refuses a request with two hosts`() async throws {
        let endpoint = Fixed(path: "/a") { _ in EndpointResponse(status: .ok) }
        try await HummingbirdFixture().withServer(EndpointSet([endpoint])) { server in
            for (fields, status) in [("Host: a\r\nhost: b", 400), ("Host: a\r\nHost: a", 400), ("Host: a", 200)] {
                let answer = try await answer("GET /a HTTP/1.1\r\n\(fields)\r\nConnection: close\r\n\r\n", server)
                #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(fields)")
            }
        }
    }

    @Test func `the peer is unknown with Hummingbird's basic request context`() async throws {
        let peer = Fixed(path: "/peer") { EndpointResponse(status: $0.peer == nil ? .ok : .internalServerError) }
        try await HummingbirdFixture().withServer(BasicRequestContext.self, EndpointSet([peer])) { server in
            let answer = try await answer("GET /peer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", server)
            #expect(answer.hasPrefix("HTTP/1.1 200 "))
        }
    }

    /// Returns the first bytes of the response to a request. The client blocks, so it runs on its own thread.
    private func answer(_ request: String, _ server: RouteAdapterContract.Server) async throws -> String {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue(label: "answer").async {
                continuation.resume(
                    with: Result {
                        let client = try RawClient(port: UInt16(server.port))
                        defer { client.close() }
                        client.send(request)
                        return client.read().map { String(decoding: $0, as: UTF8.self) } ?? ""
                    })
            }
        }
    }
}
#endif

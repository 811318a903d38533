#if HummingbirdSupport
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
    static let capabilities = RouteAdapterContract.Capabilities.all

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
        let services = ServiceGroup(services: [application], logger: logger)
        let server = Task { try await services.run() }
        let shutDown: @Sendable () async throws -> Void = {
            await services.triggerGracefulShutdown()
            try await server.value
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
    let answer: @Sendable (RouteRequest) async -> RouteResponse
    func respond(to request: RouteRequest) async -> RouteResponse { await answer(request) }
}

@Suite struct HummingbirdAdapterTests {
    @Test(arguments: RouteAdapterContract.cases(for: HummingbirdFixture.self))
    func contract(_ test: RouteAdapterContract.Case) async throws {
        try await test.run(on: HummingbirdFixture())
    }

    @Test func withTheBasicContextThePeerIsUnknown() async throws {
        let peer = Fixed(path: "/peer") { RouteResponse(status: $0.peer == nil ? .ok : .internalServerError) }
        try await HummingbirdFixture().withServer(BasicRequestContext.self, EndpointSet([peer])) { server in
            let client = try RawClient(port: UInt16(server.port))
            client.send("GET /peer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            let answer = client.read().map { String(decoding: $0, as: UTF8.self) }
            #expect(answer?.hasPrefix("HTTP/1.1 200 ") == true)
            client.close()
        }
    }
}
#endif

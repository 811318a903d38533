#if HummingbirdSupport
import CurlTransport
import HTTPTypes
import Hummingbird
import Logging
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerHummingbird
import TokenBrokerTesting

private struct HummingbirdFixture: RouteAdapterFixture {
    func withServer(
        _ endpoints: EndpointSet, _ body: (_ transport: any HTTPTransport, _ authority: String) async throws -> Void
    ) async throws {
        try await withServer(BrokerRequestContext.self, endpoints, body)
    }

    func withServer<Context: RequestContext>(
        _ context: Context.Type, _ endpoints: EndpointSet,
        _ body: (_ transport: any HTTPTransport, _ authority: String) async throws -> Void
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
        let transport = try CurlTransport(configuration: .init(timeout: .seconds(20)))
        let server = Task { try await application.run() }
        for await port in ports { try await body(transport, "127.0.0.1:\(port)") }
        await transport.shutdown()
        server.cancel()
        _ = await server.result
    }
}

private struct Fixed: Endpoint {
    let path: RoutePath
    let answer: @Sendable (RouteRequest) async -> RouteResponse
    func respond(to request: RouteRequest) async -> RouteResponse { await answer(request) }
}

@Suite(.serialized) struct HummingbirdAdapterTests {
    @Test(arguments: RouteAdapterContract.cases)
    func contract(_ test: RouteAdapterContract.Case) async throws {
        try await test.run(on: HummingbirdFixture())
    }

    @Test func withTheBasicContextThePeerIsUnknown() async throws {
        let peer = Fixed(path: "/peer") { RouteResponse(status: $0.peer == nil ? .ok : .internalServerError) }
        try await HummingbirdFixture().withServer(BasicRequestContext.self, EndpointSet([peer])) {
            transport, authority in
            let request = HTTPRequest(method: .get, scheme: "http", authority: authority, path: "/peer")
            let response = try await transport.send(request, body: [], options: .init())
            #expect(response.status == .ok)
        }
    }

    @Test func anEndlessBodyThatNobodyReadsIsNotReadToItsEnd() async throws {
        let refusing = Fixed(path: "/refuse") { _ in RouteResponse(status: .unauthorized, body: [1]) }
        try await HummingbirdFixture().withServer(EndpointSet([refusing])) { _, authority in
            let port = try #require(authority.split(separator: ":").last.flatMap { UInt16($0) })
            for framing in ["Content-Length: 10000000000", "Transfer-Encoding: chunked"] {
                let client = try RawClient(port: port)
                client.send("POST /refuse HTTP/1.1\r\nHost: \(authority)\r\n\(framing)\r\n\r\n")
                var sent = 0
                let chunk =
                    framing.contains("chunked")
                    ? Array("10000\r\n".utf8) + [UInt8](repeating: 0, count: 65_536) + Array("\r\n".utf8)
                    : [UInt8](repeating: 0, count: 65_536)
                while sent < 100 << 20, client.send(chunk) { sent += chunk.count }
                // Far less than was offered: what is drained, and what the kernel holds.
                #expect(sent < 50 << 20)
                client.close()
            }
        }
    }
}
#endif

#if FlyingFoxSupport
import FlyingFox
import FlyingSocks
import Foundation
import TokenBroker
import TokenBrokerFlyingFox
import TokenBrokerTesting
import Testing

private struct FlyingFoxFixture: RouteAdapterFixture {
    // The documentation of `mount` lists what FlyingFox does not support.
    static let capabilities: RouteAdapterContract.Capabilities = [.http1, .http10]

    func withServer(
        _ endpoints: EndpointSet, _ body: @Sendable (RouteAdapterContract.Server) async throws -> Void
    ) async throws {
        let address = try sockaddr_in.inet(ip4: "127.0.0.1", port: 0)
        let server = HTTPServer(
            config: .init(address: address, sharedRequestReplaySize: 0, logger: quiet(.disabled))
        )
        let host = ClosureHTTPHandler { _ in HTTPResponse(statusCode: .ok, body: Data("host".utf8)) }
        await server.appendRoute("GET /host", to: host)
        await server.appendRoute("GET /healthz", to: host)
        await server.mount(endpoints)
        let run = Task { try await server.run() }
        try await server.waitUntilListening()
        guard case .ip4(_, let port)? = await server.listeningAddress else { throw SocketError.unsupportedAddress }
        let shutDown: @Sendable () async -> Void = {
            await server.stop()
            _ = await run.result
        }
        do {
            try await body(RouteAdapterContract.Server(port: Int(port), shutDown: shutDown))
        } catch {
            await shutDown()
            throw error
        }
        await shutDown()
    }
}

private func quiet(_ logger: some Logging) -> any Logging { logger }

@Suite struct FlyingFoxAdapterTests {
    @Test(arguments: RouteAdapterContract.cases(for: FlyingFoxFixture.self))
    func `FlyingFox passes the route adapter contract`(_ test: RouteAdapterContract.Case) async throws {
        try await test.run(on: FlyingFoxFixture())
    }
}
#endif

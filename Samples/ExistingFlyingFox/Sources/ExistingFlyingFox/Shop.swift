import CurlTransport
import FlyingFox
import FlyingSocks
import Foundation
import Logging
import ServiceLifecycle
import TokenBrokerComposer
import TokenBrokerFlyingFox

/// A shop on FlyingFox that mounts the broker's endpoints.
@main struct Shop {
    static func main() async throws {
        let logger = Logger(label: "shop")
        var registry = Registry.standard
        try registry.register(.curl)
        let broker = try await Composer(registry: registry).compose(.load("broker.yaml"), logger: logger)

        let address = try sockaddr_in.inet(ip4: broker.server.host, port: UInt16(broker.server.port))
        let server = HTTPServer(config: .init(address: address, sharedRequestReplaySize: 0))
        await server.appendRoute("GET /") { _ in text("my shop") }
        await server.appendRoute("GET /healthz") { _ in text("my own health") }
        await server.mount(broker.endpoints)

        let services = ServiceGroup(
            services: [broker, ShopServer(server: server, logger: logger)],
            gracefulShutdownSignals: [.sigterm, .sigint], logger: logger
        )
        try await services.run()
    }

    static func text(_ text: String) -> HTTPResponse { HTTPResponse(statusCode: .ok, body: Data(text.utf8)) }
}

struct ShopServer: Service {
    let server: HTTPServer
    let logger: Logger

    func run() async throws {
        async let run: Void = server.run()
        try await server.waitUntilListening()
        if case .ip4(_, let port)? = await server.listeningAddress {
            logger.info("listens on http://127.0.0.1:\(port)")
        }
        try? await gracefulShutdown()
        await server.stop(timeout: 1)
        // `run()` always throws after a stop, and that error has no other meaning.
        try? await run
    }
}

import Hummingbird
import Logging
import TokenBrokerComposer
import TokenBrokerHummingbird

/// A shop on Hummingbird that has the broker answer some of its paths.
@main struct Shop {
    static func main() async throws {
        let logger = Logger(label: "shop")
        let broker = try await Composer().compose(.load("broker.yaml"), logger: logger)

        let router = Router(context: BrokerRequestContext.self)
        router.get("/") { _, _ in "my shop" }
        router.get("/healthz") { _, _ in "my own health" }
        router.mount(broker.endpoints)

        var app = Application(
            router: router,
            configuration: .init(address: .hostname(broker.server.host, port: broker.server.port)),
            onServerRunning: { channel in logger.info("listens on http://127.0.0.1:\(channel.localAddress?.port ?? 0)")
            },
            logger: logger
        )
        app.addServices(broker)
        try await app.runService()
    }
}

import CurlTransport
import Foundation
import Hummingbird
import Logging
import TokenBrokerComposer
import TokenBrokerHummingbird

do {
    let logger = Logger(label: "shop")
    var registry = Registry.standard
    try registry.register(.curl)
    let broker = try await Composer(registry: registry).compose(.load("broker.yaml"), logger: logger)

    let router = Router(context: BrokerRequestContext.self)
    router.get("/") { _, _ in "my shop" }
    router.mount(broker.endpoints)

    var app = Application(
        router: router,
        configuration: .init(address: .hostname(broker.server.host, port: broker.server.port)), logger: logger
    )
    app.addServices(broker)
    try await app.runService()
} catch {
    // Prints the problems in the file line by line. An uncaught error would print a crash report instead.
    print("shop: \(error)")
    exit(error is ConfigurationError ? 78 : 71)
}

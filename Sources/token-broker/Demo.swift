#if CommandLineSupport
import ArgumentParser
import HTTPTypes
import Logging
import ServiceLifecycle
import TokenBroker
import TokenBrokerComposer
import TokenBrokerSandbox

struct Demo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the whole job on this machine: sandbox, broker and a page, with nothing to configure.",
        discussion: "Stop it with Ctrl-C."
    )

    @Option(help: "The port of the page and the broker; 0 for any free one. The sandbox takes another free one.")
    var port = 8080
    @Option(help: ArgumentHelp("How long checkout tokens live.", valueName: "duration"))
    var checkoutTokenLifetime: Lifetime = Lifetime(.seconds(30))
    @OptionGroup var logging: LoggingOptions

    func validate() throws {
        guard (0...65_535).contains(port) else { throw ValidationError("--port must be from 0 to 65535") }
    }

    func run() async throws {
        let logger = logging.makeLogger()
        // Each start has its own credentials, so that none stand in the source.
        let credentials = (id: randomHex(words: 1), secret: randomHex(words: 2))
        let sandbox = await Sandbox(
            configuration: .init(
                clientID: credentials.id, clientSecret: credentials.secret,
                checkoutTokenLifetime: checkoutTokenLifetime.duration
            )
        )
        let vendor = HTTPService(sandbox.endpoints, host: "127.0.0.1", port: 0, logger: logger)
        let shop = Shop(vendor: vendor, port: port, credentials: credentials, logger: logger)
        try await token_broker.run([vendor, shop], deadline: .seconds(5), logger: logger)
    }
}

/// Broker and page on one port, started once the sandbox listens.
private struct Shop: Service {
    let vendor: HTTPService
    let port: Int
    let credentials: (id: String, secret: String)
    let logger: Logger

    func run() async throws {
        guard let vendorPort = await vendor.port() else { return }
        let baseURL = "http://127.0.0.1:\(vendorPort)"
        let broker = try await compose(vendor: baseURL)
        var endpoints = broker.endpoints
        for file in StorefrontFile.all(vendor: baseURL) { endpoints.add(file) }
        let server = HTTPService(endpoints, host: "127.0.0.1", port: port, logger: logger)
        let announcement = Announcement(server: server, announce: announce)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            group.addTask { try await announcement.run() }
            try await group.waitForAll()
        }
        await broker.shutdown()
    }

    private func compose(vendor: String) async throws -> Broker {
        let configuration = """
            vendor: {profile: alternative-payments, environment: sandbox, baseURL: "\(vendor)"}
            credentials: {sources: [environment]}
            access: {mode: open}
            """
        let environment = [
            "ALTERNATIVE_CLIENT_ID": credentials.id, "ALTERNATIVE_CLIENT_SECRET": credentials.secret,
        ]
        return try await Composer().compose(
            BrokerConfiguration(configuration, name: "demo", environment: environment), logger: logger
        )
    }

    private func announce(_ port: Int) {
        standardOutput.line(
            """
            Open http://127.0.0.1:\(port)/

            Or ask for a token yourself:
              curl -sS -X POST http://127.0.0.1:\(port)/api/checkout-token -H 'Content-Type: application/json' \
            -d '{"customerId": "cus_demo", "invoiceId": "inv_1001"}'
            """
        )
    }
}

/// A file of the storefront, built into the program.
struct StorefrontFile: Endpoint {
    let path: RoutePath
    let type: String
    let content: [UInt8]

    static func all(vendor: String) -> [StorefrontFile] {
        let javaScript = "text/javascript; charset=utf-8"
        let settings: JSONValue = [
            "vendor": .string(vendor), "environment": "sandbox", "tokenEndpoint": "/api/checkout-token",
            "customerId": "cus_demo", "invoiceId": "inv_1001",
        ]
        return [
            .init(path: "/", type: "text/html; charset=utf-8", content: PackageResources.index_html),
            .init(path: "/app.js", type: javaScript, content: PackageResources.app_js),
            .init(path: "/checkout-token.js", type: javaScript, content: PackageResources.checkout_token_js),
            .init(path: "/alternative-client.js", type: javaScript, content: PackageResources.alternative_client_js),
            .init(path: "/style.css", type: "text/css; charset=utf-8", content: PackageResources.style_css),
            .init(path: "/icon.svg", type: "image/svg+xml", content: PackageResources.icon_svg),
            .init(path: "/config.json", type: "application/json", content: settings.serialized),
        ]
    }

    func respond(to request: RouteRequest) async -> RouteResponse {
        guard request.head.method == .get || request.head.method == .head else {
            return RouteResponse(status: .methodNotAllowed, headerFields: [.allow: "GET, HEAD"])
        }
        return RouteResponse(
            status: .ok,
            headerFields: [.contentType: type, .cacheControl: "no-cache", .xContentTypeOptions: "nosniff"],
            body: content
        )
    }
}
#endif

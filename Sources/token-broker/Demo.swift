#if CommandLineSupport
import ArgumentParser
import HTTPTypes
import Logging
import TokenBroker
import TokenBrokerComposer
import TokenBrokerSandbox

struct Demo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the sandbox, a broker and a checkout page on this machine, without any configuration.",
        discussion: "Stop it with Ctrl-C."
    )

    @Option(help: "The port of the page and the broker; 0 for any free port. The sandbox uses another free port.")
    var port = 8080
    @Option(help: ArgumentHelp("The lifetime of checkout tokens.", valueName: "duration"), transform: Lifetime.init)
    var checkoutTokenLifetime: Lifetime = Lifetime(.seconds(30))
    @Option(help: ArgumentHelp("A proxy in front of the demo. Can be repeated.", valueName: "address or block"))
    var trustedProxy: [String] = []
    @OptionGroup var logging: LoggingOptions

    func validate() throws {
        guard (0...65_535).contains(port) else { throw ValidationError("--port must be from 0 to 65535") }
    }

    func run() async throws {
        let logger = logging.makeLogger()
        // Each run has its own credentials, so that the source contains none.
        let credentials = (id: randomHex(words: 1), secret: randomHex(words: 2))
        let sandbox = await Sandbox(
            configuration: .init(
                clientID: credentials.id, clientSecret: credentials.secret,
                checkoutTokenLifetime: checkoutTokenLifetime.duration
            )
        )
        let visitors = Visitors()
        var vendor: HTTPService?
        var broker: Broker?
        do {
            let sandboxServer = try await HTTPService(
                sandbox.endpoints, host: "127.0.0.1", port: 0, logger: logger)
            vendor = sandboxServer
            let vendorURL = "http://127.0.0.1:\(sandboxServer.port)"
            let shop = Shop(trustedProxies: trustedProxy, credentials: credentials, logger: logger)
            let composed = try await shop.compose(vendor: vendorURL, visitors)
            broker = composed
            var endpoints = composed.endpoints
            for file in StorefrontFile.all(vendor: vendorURL, visitors) { endpoints.add(file) }
            let page = try await HTTPService(
                endpoints, host: "127.0.0.1", port: port, setting: "--port", logger: logger)
            let announcement = Announcement { shop.announce(page.port, vendor: vendorURL, visitors) }
            try await token_broker.run(
                [sandboxServer, composed, page, announcement], timeout: .seconds(5), logger: logger)
        } catch {
            await broker?.shutdown()
            await vendor?.close()
            throw error
        }
    }
}

/// The broker of the demo, and its announcement.
private struct Shop {
    let trustedProxies: [String]
    let credentials: (id: String, secret: String)
    let logger: Logger

    func compose(vendor: String, _ visitors: Visitors) async throws -> Broker {
        var registry = Registry.program
        try registry.register(visitors.authenticator)
        try registry.register(visitors.policy)
        let configuration = """
            vendor: {profile: alternative-payments, environment: sandbox, baseURL: "\(vendor)"}
            credentials: {sources: [environment]}
            access: {authenticator: {kind: demo-session}, policy: {kind: demo-invoices}}
            quotas: {principal: {perMinute: 120}, replacement: {perMinute: 30}}
            """
        var environment = [
            "ALTERNATIVE_CLIENT_ID": credentials.id, "ALTERNATIVE_CLIENT_SECRET": credentials.secret,
        ]
        if !trustedProxies.isEmpty {
            environment["TOKEN_BROKER_SERVER_TRUSTED_PROXIES"] = trustedProxies.joined(separator: ",")
        }
        return try await Composer(registry: registry).compose(
            BrokerConfiguration(configuration, name: "demo", environment: environment), logger: logger
        )
    }

    func announce(_ port: Int, vendor: String, _ visitors: Visitors) {
        let address = "http://127.0.0.1:\(port)"
        announcements.line(
            """
            page and API on \(address), vendor's sandbox on \(vendor)

            Open \(address)/

            Or request a token yourself, as the visitor that the page signs in:
              curl -sS \(address)/api/checkout-token -H 'Content-Type: application/json' -H 'Origin: \(address)' \
            -H 'Cookie: \(visitors.cookie(for: "127.0.0.1:\(port)"))' -d '{"customerId": "\(Visitors.customer)", "invoiceId": "\(Visitors.invoice)"}'
            """
        )
    }
}

/// What the shop knows: who is signed in, and to whom each invoice belongs. A real shop looks both up in its database.
private struct Visitors {
    static let customer = "cus_demo"
    static let invoice = "inv_1001"
    static let otherCustomer = "cus_other"
    static let otherInvoice = "oth_2001"

    /// The customers by session. There is one session, which is new in each run.
    private let sessions: [String: ExactString] = [randomHex(words: 2): ExactString(Visitors.customer)]
    private let owners: [ExactString: ExactString] = [
        ExactString(Visitors.invoice): ExactString(Visitors.customer),
        ExactString(Visitors.otherInvoice): ExactString(Visitors.otherCustomer),
    ]

    /// The session cookie, as a browser sends it.
    func cookie(for authority: String?) -> String { "\(Self.cookieName(for: authority))=\(sessions.keys.first ?? "")" }

    /// Returns the name of the cookie. Browsers share cookies among all ports of a host, so the name contains the port
    /// that the browser uses. Demos on several ports then have separate sessions.
    private static func cookieName(for authority: String?) -> String {
        let port = authority?.split(separator: ":", omittingEmptySubsequences: false).dropFirst().last ?? ""
        let isPort = (1...5).contains(port.utf8.count) && port.utf8.allSatisfy { (0x30...0x39).contains($0) }
        return "demo_session_\(isPort ? port : "80")"
    }

    var authenticator: AuthenticatorPlugin {
        AuthenticatorPlugin("demo-session", "The session cookie that the page sets.") { _ in
            ClosureAuthenticator(challenge: "Cookie") { request in
                customer(of: request.head).map { Principal(subject: $0) }
            }
        }
    }

    var policy: PolicyPlugin {
        PolicyPlugin("demo-invoices", "Visitors get tokens for their own invoices only.") { _ in
            ClosurePolicy(binds: .session) { principal, request in
                guard let customer = request.inputs[.customer], let invoice = request.inputs[.invoice] else {
                    return false
                }
                return customer == principal.subject && owners[invoice] == customer
            }
        }
    }

    private func customer(of head: HTTPRequest) -> ExactString? {
        let name = Self.cookieName(for: head.authority)
        for pair in head.headerFields[values: .cookie].flatMap({ $0.split(separator: ";") }) {
            let parts = pair.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, parts[0].filter({ $0 != " " }) == name else { continue }
            if let customer = sessions[String(parts[1])] { return customer }
        }
        return nil
    }
}

/// A file of the storefront, built into the program.
struct StorefrontFile: Endpoint {
    let path: RoutePath
    let type: String
    let content: [UInt8]
    /// The Content-Security-Policy of a page.
    var policy: String?
    /// Returns the cookie to set, given the authority that the browser requested.
    var cookie: (@Sendable (_ authority: String?) -> String)?

    fileprivate static func all(vendor: String, _ visitors: Visitors) -> [StorefrontFile] {
        let javaScript = "text/javascript; charset=utf-8"
        let settings: JSONValue = [
            "shop": "Harbour Cycles", "vendor": .string(vendor), "environment": "sandbox",
            "tokenEndpoint": "/api/checkout-token",
            "customerId": .string(Visitors.customer), "invoiceId": .string(Visitors.invoice),
            "other": [
                "customerId": .string(Visitors.otherCustomer), "invoiceId": .string(Visitors.otherInvoice),
            ],
        ]
        return [
            // Signs the visitor in. No script can read this cookie, and no page of another site can cause it to be
            // sent.
            .init(
                path: "/", type: "text/html; charset=utf-8", content: PackageResources.index_html,
                policy: "default-src 'self'; connect-src 'self' \(vendor); base-uri 'none'; form-action 'none'; "
                    + "frame-ancestors 'none'; object-src 'none'",
                cookie: { "\(visitors.cookie(for: $0)); Path=/; HttpOnly; SameSite=Strict" }
            ),
            .init(path: "/app.js", type: javaScript, content: PackageResources.app_js),
            .init(path: "/checkout-token.js", type: javaScript, content: PackageResources.checkout_token_js),
            .init(path: "/alternative-client.js", type: javaScript, content: PackageResources.alternative_client_js),
            .init(path: "/style.css", type: "text/css; charset=utf-8", content: PackageResources.style_css),
            .init(path: "/icon.svg", type: "image/svg+xml", content: PackageResources.icon_svg),
            .init(path: "/config.json", type: "application/json", content: settings.serialized),
        ]
    }

    func respond(to request: EndpointRequest) async -> EndpointResponse {
        guard request.head.method == .get || request.head.method == .head else {
            return EndpointResponse(status: .methodNotAllowed, headerFields: [.allow: "GET, HEAD"])
        }
        var fields: HTTPFields = [.contentType: type, .cacheControl: "no-cache", .xContentTypeOptions: "nosniff"]
        fields[.contentSecurityPolicy] = policy
        fields[.setCookie] = cookie?(request.head.authority)
        return EndpointResponse(status: .ok, headerFields: fields, body: content)
    }
}
#endif

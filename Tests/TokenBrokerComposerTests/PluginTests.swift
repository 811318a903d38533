#if ConfigurationSupport
import FoundationEssentials
import HTTPTypes
import Testing
import TokenBroker
import TokenBrokerTesting

@testable import TokenBrokerComposer

private struct Keys: ConfigurationKeys {
    let url = ConfigurationKey("url", .url, "Where to ask.")
    let header = ConfigurationKey("header", .optional(.text), default: nil, "The field with the name.")
    let secretFile = ConfigurationKey("secretFile", .optional(.text), default: nil, "The secret.")
    let secretVariable = ConfigurationKey("secretVariable", .optional(.variableName), default: nil, "The secret.")
}

/// A policy that is built from the values of a configuration file.
private struct Orders: AccessPolicy {
    var url: ServerURL
    var header: String?
    let binds = AccessBinding.session
    func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool { false }
}

private struct Told: SafeToLog { var description: String { "the shop's own words" } }
private struct Untold: Error { var secret = "sentinel" }

@Suite struct `A plug-in by itself` {
    private func plugin(_ failure: (any Error)? = nil) -> PolicyPlugin {
        PolicyPlugin(
            "orders", "Asks the shop.", keys: Keys(),
            check: { (values) throws(ConfigurationError.Problem) in
                guard values.secretFile == nil || values.secretVariable == nil else {
                    throw ConfigurationError.Problem(.conflict, key: "secretVariable", "expected one, found both")
                }
            }
        ) { _, values in
            if let failure { throw failure }
            return Orders(url: values.url, header: values.header)
        }
    }

    private func context() throws -> AccessContext {
        AccessContext(vendor: try Vendor(profile: .alternativePayments, baseURL: "https://vendor.example"))
    }

    private func problem(
        _ text: String, _ failure: (any Error)? = nil, environment: [String: String] = [:]
    ) async throws -> ConfigurationError.Problem? {
        let context = try context()
        let error = await #expect(throws: ConfigurationError.self) {
            try await plugin(failure).build(from: text, environment: environment, context: context)
        }
        return error?.problems.first
    }

    @Test func `a plug-in can be built from its section of a file`() async throws {
        let built = try await plugin().build(from: "url: https://shop.example/orders", context: context())
        let orders = try #require(built as? Orders)
        #expect(orders.url.path == "/orders")
        #expect(orders.header == nil)
        let other = try await plugin().build(
            from: #"{"url": "https://shop.example/orders", "header": "X-Name"}"#,
            environment: ["TOKEN_BROKER_URL": "https://other.example/"], context: context()
        )
        #expect((other as? Orders)?.url.authority == "other.example")
        #expect((other as? Orders)?.header == "X-Name")
    }

    @Test func `an error in a plug-in's section is reported with line and key`() async throws {
        let missing = try await problem("header: X-Name")
        #expect(missing?.code == .missing && missing?.key == "url")
        let misspelled = try await problem("url: https://shop.example\nheadr: X-Name")
        #expect(misspelled?.key == "headr" && misspelled?.place == "configuration:2")
        let conflict = try await problem("url: https://shop.example\nsecretFile: /a\nsecretVariable: A")
        #expect(conflict?.description == "configuration:3: secretVariable: expected one, found both")
    }

    @Test func `a fault that a plug-in finds while it is built keeps its file, line and key`() async throws {
        let found = ConfigurationError.Problem(.failed, key: "header", "expected a field, found none of that name")
        let problem = try await problem("url: https://shop.example\nheader: X-Name", found)
        #expect(problem?.description == "configuration:2: header: expected a field, found none of that name")
        let other = try await self.problem(
            "url: https://shop.example", found, environment: ["TOKEN_BROKER_HEADER": "X-Name"])
        #expect(other?.place == "TOKEN_BROKER_HEADER")
    }

    @Test func `a plug-in's own error text is shown only if it is marked as safe`() async throws {
        #expect(
            try await problem("url: https://shop.example", Told())?.message.contains("the shop's own words") == true)
        let untold = try #require(try await problem("url: https://shop.example", Untold()))
        #expect(untold.message == "it cannot be built: Untold")
    }

    @Test func `a missing default plug-in is reported with how to add it`() throws {
        let problem = try #require(problems(minimal, registry: .standard).first)
        #expect(problem.key == "transport.kind" && problem.code == .missing)
        #expect(
            problem.message.contains("found nothing, and the default, curl, is not registered; curl needs the trait"))
        #expect(problem.message.contains("`import CurlTransport` and `try registry.register(.curl)`"))
    }

    @Test func `a plug-in that would not be used need not be registered`() async throws {
        let configuration = try BrokerConfiguration(
            yaml(minimal.with(["transport.timeout": "5s", "transport.caFile": "/a.pem"])), environment: credentials)
        let broker = try await Composer().compose(
            configuration, transport: VendorDouble(), logger: recordingLogger().0)
        #expect(try await broker.accessTokens.token(for: TokenRequest()).secret == Secret("sentinel-access"))
    }

    @Test func `a plug-in that an adapter brings says how to add it`() async throws {
        for id in ["curl", "async-http-client"] {
            let plugin = try #require(Registry.standard.transports[id])
            let error = await #expect(throws: ConfigurationError.self) {
                try await plugin.build(from: "", context: TransportContext())
            }
            #expect(error?.description.contains("registry.register(") == true)
            #expect(error?.description.contains("trait") == true)
        }
    }
}

@Suite struct `A registry` {
    private let claim = PolicyPlugin("claim", "Another one.") { _ in OpenModePolicy() }

    @Test func `a registry refuses a second plug-in with the same id, of every kind`() throws {
        var registry = Registry.standard
        #expect(throws: Registry.DuplicateID(id: "claim")) { try registry.register(claim) }
        #expect(throws: Registry.DuplicateID(id: "forwarded")) { try registry.register(.forwarded) }
        #expect(throws: Registry.DuplicateID(id: "file")) { try registry.register(.file) }
        #expect(throws: Registry.DuplicateID(id: "alternative-payments")) {
            try registry.register(.alternativePayments)
        }
        let transport = TransportPlugin("mine", "") { _ in VendorDouble() }
        try registry.register(transport)
        #expect(throws: Registry.DuplicateID(id: "mine")) { try registry.register(transport) }
        #expect(registry.policies["claim"]?.summary != claim.summary)
    }

    @Test func `a registry replaces a plug-in when asked to`() {
        var registry = Registry.standard
        registry.replace(claim)
        #expect(registry.policies["claim"]?.summary == claim.summary)
    }

    @Test func `a registry lets adapters register the ids that it reserves for them`() throws {
        var registry = Registry.standard
        try registry.register(TransportPlugin("curl", "") { _ in VendorDouble() })
        #expect(throws: Registry.DuplicateID.self) {
            try registry.register(TransportPlugin("curl", "") { _ in VendorDouble() })
        }
    }
}
#endif

#if ConfigurationSupport
import FoundationEssentials
import HTTPTypes
import InMemoryLogging
import Logging
import Testing
import TokenBroker

@testable import TokenBrokerComposer

#if ServiceLifecycleSupport
import ServiceLifecycle
#endif

private func compose(
    _ values: [String: String], environment: [String: String] = credentials, registry: Registry = .everything,
    transport: (any HTTPTransport)? = VendorDouble(), logger: Logger = recordingLogger().0
) async throws -> Broker {
    try await Composer(registry: registry).compose(
        try BrokerConfiguration(yaml(values), name: "broker.yaml", environment: environment), transport: transport,
        logger: logger
    )
}

private func post(_ path: String = "/api/checkout-token", peer: String = "127.0.0.1") -> EndpointRequest {
    EndpointRequest(
        head: HTTPRequest(
            method: .post, scheme: "http", authority: "localhost:8080", path: path,
            headerFields: [.contentType: "application/json"]
        ),
        body: EndpointBody(Array(#"{"customerId": "cus_1", "invoiceId": "inv_1"}"#.utf8)), peer: PeerAddress(ip: peer)
    )
}

private func get(_ path: String) -> EndpointRequest {
    EndpointRequest(head: HTTPRequest(method: .get, scheme: "http", authority: "localhost:8080", path: path))
}

@Suite struct `A composed broker` {
    @Test func `a composed broker serves a token over the transport that it was given`() async throws {
        let vendor = VendorDouble()
        let broker = try await compose(minimal, transport: vendor)
        let answer = try #require(await broker.endpoints.respond(to: post()))
        #expect(answer.head.status == .ok)
        let body = try JSONValue.parse(answer.body)
        #expect(body["token"]?.string?.unicode.split(separator: ".").count == 3)
        #expect(body["environment"] == "demo")
        #expect(
            vendor.diary.entries == [
                "POST https://public-api.demo.alternativepayments.io/oauth/token",
                "POST https://public-api.demo.alternativepayments.io/v1/checkout-auth/init",
            ])
        #expect(try await broker.accessTokens.token(for: TokenRequest()).secret == Secret("sentinel-access"))
        #expect(vendor.diary.entries.count == 2)
    }

    @Test func `a composed broker reuses checkout tokens unless configured not to`() async throws {
        for (written, calls) in [("true", 2), ("false", 3)] {
            let vendor = VendorDouble()
            let broker = try await compose(minimal.with(["tokens.reuse": written]), transport: vendor)
            for _ in 0..<2 {
                _ = try await broker.checkoutTokens.token(for: TokenRequest(customer: "cus_1", invoice: "inv_1"))
            }
            #expect(vendor.diary.entries.count == calls)
        }
    }

    @Test func `a composed broker has its routes at the configured paths`() async throws {
        let moved = try await compose(
            minimal.with([
                "route.path": "/t", "route.openapiPath": "/openapi.json", "health.livePath": "/live",
                "health.readyPath": "none",
            ])
        )
        let document = try #require(await moved.endpoints.respond(to: get("/openapi.json")))
        guard case .object(let paths)? = try JSONValue.parse(document.body)["paths"]
        else {
            Issue.record("a document without paths")
            return
        }
        #expect(Set(paths.keys) == ["/t", "/live"])
        #expect(await moved.endpoints.respond(to: post("/t"))?.head.status == .ok)
        #expect(await moved.endpoints.respond(to: get("/live"))?.head.status == .ok)
        #expect(try await compose(minimal).endpoints.respond(to: get("/openapi.json")) == nil)
        for path in ["/api/checkout-token", "/healthz", "/readyz", "none", "/none"] {
            #expect(await moved.endpoints.respond(to: get(path)) == nil)
        }
    }

    @Test func `a composed broker is ready once it has credentials`() async throws {
        let without = try await compose(minimal, environment: [:])
        #expect(await without.endpoints.respond(to: get("/readyz"))?.head.status == .serviceUnavailable)
        let with = try await compose(minimal)
        #expect(await with.endpoints.respond(to: get("/readyz"))?.head.status == .ok)
        #expect(await with.health.allSatisfy(\.isReady))
    }

    @Test func `credentials come from the variables that the configuration names`() async throws {
        let broker = try await compose(
            minimal.with([
                "credentials.environment.clientID": "MY_ID", "credentials.environment.clientSecret": "MY_SECRET",
            ]),
            environment: ["MY_ID": "id", "MY_SECRET": "sentinel-secret"]
        )
        let found = try await broker.credentials.credentials(for: Account(broker.vendor.profile.id))
        #expect(found == [Credential(clientID: Secret("id"), clientSecret: Secret("sentinel-secret"))])
    }

    @Test func `credentials come from the file that the configuration names`() async throws {
        let file = FileManager.default.temporaryDirectory.appending(
            path: "pair-\(UInt64.random(in: 0 ... .max)).json")
        try Data(#"{"client_id": "id", "client_secret": "sentinel-secret"}"#.utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let values = minimal.with([
            "credentials.sources": "[environment, file]", "credentials.file.path": file.path,
        ])
        let broker = try await compose(values, environment: [:])
        #expect(await broker.endpoints.respond(to: post())?.head.status == .ok)
    }

    @Test func `a composed broker's description, dump and log contain no secret`() async throws {
        let (logger, log) = recordingLogger()
        let broker = try await compose(minimal, logger: logger)
        _ = await broker.endpoints.respond(to: post())
        var dumped = ""
        dump(broker, to: &dumped)
        dumped += "\(broker) \(String(reflecting: broker)) \(log.entries)"
        #expect(!dumped.contains("sentinel"))
    }

    @Test func `a composed broker warns at every start in open mode`() async throws {
        for _ in 0..<2 {
            let (logger, log) = recordingLogger()
            let broker = try await compose(minimal, logger: logger)
            let warnings = log.entries.filter { $0.level == .warning }.map(\.message.description)
            #expect(warnings.contains { $0.hasPrefix("open mode") })
            #expect(await broker.endpoints.respond(to: post(peer: "192.0.2.1"))?.head.status == .unauthorized)
        }
    }

    @Test func `a misspelled variable is reported even when the broker cannot be composed`() async throws {
        let (logger, log) = recordingLogger()
        await #expect(throws: ConfigurationError.self) {
            try await compose([:], environment: ["TOKEN_BROKER_VENDOR_ENVIROMENT": "demo"], logger: logger)
        }
        #expect(
            log.entries.contains {
                $0.message.description.contains("did you mean TOKEN_BROKER_VENDOR_ENVIRONMENT?")
            })
    }

    @Test func `a broker on libcurl reaches a server and can be shut down`() async throws {
        let broker = try await compose(
            minimal.with(["vendor.environment": "sandbox", "vendor.baseURL": "http://127.0.0.1:9"]), transport: nil
        )
        let error = await #expect(throws: TokenError.self) {
            try await broker.accessTokens.token(for: TokenRequest())
        }
        #expect((error?.cause as? TransportError)?.code == .connect)
        await broker.shutdown()
        let later = await #expect(throws: TokenError.self) {
            try await broker.accessTokens.token(for: TokenRequest())
        }
        #expect(later?.code == .cancelled)
    }
}

@Suite struct `Plug-ins of one's own` {
    private struct OwnerKeys: ConfigurationKeys {
        let customer = ConfigurationKey("customer", .text, "Whose invoices.")
        let atMost = ConfigurationKey("atMost", .integer(1...9), default: 3, "How many.")
    }

    /// A policy that lets one subject have one customer's invoices.
    private static let owner = PolicyPlugin("owner", "Lets one customer in.", keys: OwnerKeys()) { _, values in
        ClosurePolicy(binds: .session) { _, request in request.inputs[.customer] == values.customer }
    }

    private var registry: Registry {
        var registry = Registry.everything
        registry.replace(Self.owner)
        registry.replace(
            AuthenticatorPlugin("anyone", "") { _ in ClosureAuthenticator { _ in Principal(subject: "x") } })
        return registry
    }

    private let values = [
        "vendor.environment": "demo", "access.authenticator.kind": "anyone", "access.policy.kind": "owner",
        "access.policy.customer": "cus_1",
    ]

    @Test func `a custom plug-in is chosen by its id and reads its keys`() async throws {
        let allowing = try await compose(values, registry: registry)
        #expect(await allowing.endpoints.respond(to: post(peer: "192.0.2.1"))?.head.status == .ok)
        let other = credentials.with(["TOKEN_BROKER_ACCESS_POLICY_CUSTOMER": "cus_2"])
        let denying = try await compose(values, environment: other, registry: registry)
        #expect(await denying.endpoints.respond(to: post())?.head.status == .forbidden)
    }

    @Test func `a custom plug-in's keys are checked as strictly as the built-in ones`() throws {
        let wrong = values.with([
            "access.policy.atMost": "10", "access.policy.custmer": "x", "access.policy.customer": "[]",
        ])
        let problems = problems(wrong, registry: registry)
        #expect(problems.map(\.key) == ["access.policy.atMost", "access.policy.custmer", "access.policy.customer"])
        #expect(problems.contains { $0.message.contains("did you mean customer?") })
    }

    @Test func `a custom plug-in documents the keys that it reads`() {
        #expect(
            Self.owner.keys == [
                KeyDocumentation(name: "customer", type: "text", defaultText: nil, summary: "Whose invoices."),
                KeyDocumentation(
                    name: "atMost", type: "a whole number from 1 to 9", defaultText: "3", summary: "How many."),
            ]
        )
    }

    @Test func `an unregistered plug-in id is answered with the registered ones`() throws {
        let problem = try #require(
            problems(values.with(["access.policy.kind": "ownr", "access.policy.x": "1"]), registry: registry).first)
        #expect(
            problem.message
                == "expected one of all, any, callback, claim, owner, vendor-invoice, found ownr; did you mean owner?"
        )
        let none = problems(minimal.with(["access.policy.kind": "owner"]), registry: Registry())
            .first { $0.key == "access.policy.kind" }
        #expect(
            none?.message == "expected a registered id, but none is registered, found owner; "
                + "a plug-in of your own has to be registered before the file is read")
    }

    @Test func `registering a plug-in changes only that copy of the registry`() {
        #expect(registry.policies["owner"] != nil)
        #expect(Registry.everything.policies["owner"] == nil)
    }

    /// Uses a custom source, which has two keys that need each other, and a custom transport.
    @Test func `a custom plug-in can be a credential source, a transport or a vendor`() async throws {
        let vendor = VendorDouble()
        var profile = VendorProfile.alternativePayments
        profile.id = "another"
        profile.environments = ["live": "https://another.example"]
        var registry = Registry()
        try registry.register(
            CredentialPlugin("fixed", "") { _ in
                StaticCredentials(clientID: Secret("id"), clientSecret: Secret("sentinel-secret"))
            })
        try registry.register(TransportPlugin("double", "") { _ in vendor })
        try registry.register(profile)
        let broker = try await compose(
            [
                "vendor.profile": "another", "vendor.environment": "live", "transport.kind": "double",
                "credentials.sources": "[fixed]", "access.mode": "open",
            ],
            environment: [:], registry: registry, transport: nil
        )
        #expect(await broker.endpoints.respond(to: post())?.head.status == .ok)
        #expect(vendor.diary.entries.first == "POST https://another.example/oauth/token")
    }
}

@Suite struct `The end of a broker` {
    private struct Part: Authenticator, AccessPolicy, CredentialSource, ShutsDown {
        var name: String
        var diary: Diary
        var binds: AccessBinding { .session }
        func authenticate(_ request: EndpointRequest) async throws -> Principal? { nil }
        func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool { false }
        func credentials(for account: Account) async throws(CredentialError) -> [Credential] { [] }
        func shutdown() async { diary.note("\(name) down") }
    }

    private struct Broken: Error, CustomStringConvertible { var description: String { "sentinel" } }

    private func registry(_ diary: Diary, policy: @escaping @Sendable () throws -> any AccessPolicy) -> Registry {
        var registry = Registry.everything
        registry.replace(
            TransportPlugin("double", "") { _ in
                diary.note("transport up")
                return VendorDouble(diary: diary)
            })
        registry.replace(
            CredentialPlugin("source", "") { _ in
                diary.note("source up")
                return Part(name: "source", diary: diary)
            })
        registry.replace(
            AuthenticatorPlugin("who", "") { _ in
                diary.note("who up")
                return Part(name: "who", diary: diary)
            })
        registry.replace(
            PolicyPlugin("what", "") { _ in
                diary.note("what up")
                return try policy()
            })
        return registry
    }

    private let values = [
        "vendor.environment": "demo", "access.authenticator.kind": "who", "access.policy.kind": "what",
        "transport.kind": "double", "credentials.sources": "[source]",
    ]
    private let up = ["transport up", "source up", "who up", "what up"]

    @Test func `a broker shuts down its parts once, in reverse order of their creation`() async throws {
        let diary = Diary()
        let registry = registry(diary) { Part(name: "what", diary: diary) }
        let broker = try await compose(values, registry: registry, transport: nil)
        #expect(diary.entries == up)
        await broker.shutdown()
        await broker.shutdown()
        #expect(diary.entries == up + ["what down", "who down", "source down", "transport down"])
    }

    @Test func `a shutdown reaches the parts of decorators and combinations, the last built first`() async throws {
        let diary = Diary()
        let registry = registry(diary) {
            AllOf([
                Part(name: "first", diary: diary).caching(for: .seconds(1)),
                AnyOf([Part(name: "second", diary: diary), Part(name: "third", diary: diary)]),
            ]).caching(for: .seconds(1))
        }
        let broker = try await compose(values, registry: registry, transport: nil)
        await broker.shutdown()
        #expect(
            diary.entries == up
                + ["third down", "second down", "first down", "who down", "source down", "transport down"])
    }

    @Test func `a broker does not shut down a transport that it was given`() async throws {
        let diary = Diary()
        let given = VendorDouble()
        let broker = try await compose(
            values, registry: registry(diary) { Part(name: "what", diary: diary) }, transport: given
        )
        await broker.shutdown()
        #expect(given.diary.entries == [])
        #expect(diary.entries.contains("source down"))
    }

    @Test func `parts already built are shut down at once when another cannot be built`() async throws {
        let diary = Diary()
        let registry = registry(diary) { throw Broken() }
        let error = await #expect(throws: ConfigurationError.self) {
            try await compose(values, registry: registry, transport: nil)
        }
        #expect(diary.entries == up + ["who down", "source down", "transport down"])
        let problem = try #require(error?.problems.first)
        #expect(problem.code == .failed)
        #expect(problem.key == "access.policy")
        #expect(problem.message == "it cannot be built: Broken")
    }

    #if CurlSupport
    @Test func `an error says why libcurl does not start`() async throws {
        let error = await #expect(throws: ConfigurationError.self) {
            try await compose(minimal.with(["transport.caFile": "/nowhere.pem"]), transport: nil)
        }
        #expect(
            "\(try #require(error))"
                == "broker.yaml:4: transport: it cannot be built: other: caFile cannot be read: file /nowhere.pem")
    }

    @Test(arguments: [
        (
            ["transport.clientCertificate": "/nowhere.pem"],
            "4: transport: it cannot be built: other: clientCertificate cannot be read: file /nowhere.pem"
        ),
        (["transport.clientKey": "/a.pem"], "4: transport.clientKey: expected a clientCertificate with it, found none"),
        (
            ["transport.clientKeyPassphraseVariable": "PROXY"],
            "4: transport.clientKeyPassphraseVariable: expected a clientCertificate with it, found none"
        ),
        (
            ["transport.clientCertificate": "/a.pem", "transport.clientKeyPassphraseVariable": "NONE"],
            "5: transport.clientKeyPassphraseVariable: the variable NONE is not set"
        ),
        (
            ["transport.proxy": "http://proxy.example:1", "transport.proxyCredentialsVariable": "NONE"],
            "5: transport.proxyCredentialsVariable: the variable NONE is not set"
        ),
        (
            ["transport.proxyCredentialsVariable": "PROXY"],
            "4: transport.proxyCredentialsVariable: expected a proxy with it, found none"
        ),
        (
            ["transport.proxy": "http://proxy.example:1", "transport.proxyCredentialsVariable": "TORN"],
            "5: transport.proxyCredentialsVariable: expected user:password in the variable, found other text"
        ),
        (
            ["transport.proxy": "http://proxy.example:1", "transport.unixSocket": "/run/a.sock"],
            "5: transport.unixSocket: expected a proxy or a unixSocket, found both"
        ),
    ])
    func `an inconsistent libcurl setting is reported by key`(_ keys: [String: String], _ text: String) async throws {
        let variables = ["PROXY": "user:hunter2", "TORN": "hunter2"]
        let error = await #expect(throws: ConfigurationError.self) {
            try await compose(minimal.with(keys), environment: variables, transport: nil)
        }
        #expect("\(try #require(error))" == "broker.yaml:\(text)")
    }

    @Test func `libcurl accepts a proxy with credentials from a variable, or a Unix socket`() async throws {
        let variables = ["PROXY": "user:hunter:2"]
        let proxy = ["transport.proxy": "http://proxy.example:3128", "transport.proxyCredentialsVariable": "PROXY"]
        for keys in [proxy, ["transport.unixSocket": "/run/vendor.sock"]] {
            await (try compose(minimal.with(keys), environment: variables, transport: nil)).shutdown()
        }
    }
    #endif

    @Test func `run returns when the broker has shut down`() async throws {
        let diary = Diary()
        let broker = try await compose(
            values, registry: registry(diary) { Part(name: "what", diary: diary) }, transport: nil)
        async let first: Void = broker.run()
        async let second: Void = broker.run()
        await broker.shutdown()
        _ = await (first, second)
        await broker.run()
        #expect(diary.entries.last == "transport down")
    }

    @Test func `cancelling run shuts the broker down`() async throws {
        let diary = Diary()
        let broker = try await compose(
            values, registry: registry(diary) { Part(name: "what", diary: diary) }, transport: nil)
        let running = Task { await broker.run() }
        running.cancel()
        await running.value
        #expect(diary.entries.last == "transport down")
    }

    #if ServiceLifecycleSupport
    @Test func `a graceful shutdown of its service group shuts the broker down`() async throws {
        let diary = Diary()
        let broker = try await compose(
            values, registry: registry(diary) { Part(name: "what", diary: diary) }, transport: nil)
        let group = ServiceGroup(services: [broker], logger: recordingLogger().0)
        let running = Task { try await group.run() }
        await group.triggerGracefulShutdown()
        try await running.value
        #expect(diary.entries.last == "transport down")
    }
    #endif
}
#endif

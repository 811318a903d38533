import HTTPTypes
import InMemoryLogging
import Logging
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

@Suite struct `A refusal says why` {
    private let session = TokenRequest(customer: "cus_1", invoice: "inv_1")

    @Test(
        arguments: [
            ([:], "customer_claim_missing"), (["c": .null], "customer_claim_missing"),
            (["c": .number(5)], "customer_claim_malformed"), (["c": "cus_2"], "customer_not_in_claim"),
            (["c": .array([])], "customer_not_in_claim"), (["c": "cus_1"], "invoice_claim_missing"),
            (["c": "cus_1", "i": .bool(true)], "invoice_claim_malformed"),
            (["c": "cus_1", "i": .array(["inv_2"])], "invoice_not_in_claim"),
            (["c": "cus_1", "i": .array(["inv_1"])], nil),
        ] as [([String: JSONValue], String?)])
    func `a claim policy gives the reason for its refusal`(claims: [String: JSONValue], reason: String?) async throws {
        let principal = Principal(subject: "anna", claims: claims)
        #expect(try await ClaimPolicy(customer: "c", invoice: "i").refusal(of: principal, session) == reason)
    }

    private let anna = Principal(subject: "anna")

    @Test func `a combination gives the reason of every member that refuses, each once`() async throws {
        func no(_ reason: StaticString) -> any AccessPolicy {
            ClosurePolicy(binds: .session) { _, _ in throw AccessRefusal(reason) }
        }
        let plain = ClosurePolicy(binds: .session) { _, _ in false }
        let yes = ClosurePolicy(binds: .session) { _, _ in true }
        let members = [no("b"), plain, no("a"), yes, no("b")]
        #expect(try await AllOf(members).refusal(of: anna, session) == "b,a")
        #expect(try await AnyOf(members).says(anna, for: session))
        #expect(try await AnyOf([no("b"), plain, no("a")]).refusal(of: anna, session) == "b,a")
        #expect(try await AllOf([plain]).refusal(of: anna, session) == nil)
        #expect(try await !AllOf([plain]).says(anna, for: session))
        // A failure is not a refusal.
        struct Failure: Error {}
        let failing = ClosurePolicy(binds: .session) { _, _ in throw Failure() }
        await #expect(throws: Failure.self) { try await AllOf([no("a"), failing]).authorize(anna, for: session) }
        await #expect(throws: Failure.self) { try await AnyOf([no("a"), failing]).authorize(anna, for: session) }
    }

    @Test func `a cached refusal keeps its reason`() async throws {
        let asked = Mutex(0)
        let policy = ClosurePolicy(binds: .session) { _, _ in
            asked.withLock { $0 += 1 }
            throw AccessRefusal("not_hers")
        }.caching(for: .seconds(5), clock: ManualClock())
        for _ in 0..<3 { #expect(try await policy.refusal(of: anna, session) == "not_hers") }
        #expect(asked.withLock { $0 } == 1)
    }

    @Test(
        arguments: [
            ("{\"allow\": false}", .ok, "callback_denied"), ("", .forbidden, "callback_denied"),
            ("", .notFound, "callback_denied"), ("{\"allow\": true}", .ok, nil),
        ] as [(String, HTTPResponse.Status, String?)])
    func `a callback's refusal has a reason`(body: String, status: HTTPResponse.Status, reason: String?) async throws {
        let transport = InMemoryTransport { _, _ in .init(head: HTTPResponse(status: status), body: Array(body.utf8)) }
        let policy = CallbackPolicy(
            url: try ServerURL("https://shop.example/may"), transport: transport, logger: Logger(label: "t")
        )
        #expect(try await policy.refusal(of: anna, session) == reason)
    }

    @Test func `open mode's refusal of a remote host has a reason`() async throws {
        var head = HTTPRequest(method: .post, scheme: "http", authority: "localhost", path: "/")
        let local = EndpointRequest(head: head, peer: PeerAddress(ip: "127.0.0.1"))
        #expect(try await OpenModeAuthenticator().authenticate(local) == Principal(subject: "local"))
        head.authority = "pay.example"
        let other = EndpointRequest(head: head, peer: PeerAddress(ip: "127.0.0.1"))
        #expect(try await OpenModeAuthenticator().refusal(of: other) == "not_local")
    }

    private static let secret = "a-secret-of-the-proxy"

    @Test(
        arguments: [
            ([("X-User", "anna")], "proxy_secret_missing"),
            ([("X-User", "anna"), ("X-Secret", "guess")], "proxy_secret_wrong"),
            ([("X-User", "anna"), ("X-Secret", secret), ("X-Secret", secret)], "proxy_secret_repeated"),
            ([("X-Secret", secret)], "subject_missing"), ([("X-User", " "), ("X-Secret", secret)], "subject_missing"),
            ([("X-User", "a, b"), ("X-Secret", secret)], "subject_malformed"),
            ([("X-User", "anna"), ("X-Secret", secret)], "tenant_missing"),
            ([("X-User", "anna"), ("X-Tenant", "a"), ("X-Tenant", "b"), ("X-Secret", secret)], "tenant_malformed"),
            (
                [("X-User", "anna"), ("X-Tenant", "a"), ("X-Claim", "a"), ("X-Claim", "b"), ("X-Secret", secret)],
                "claim_repeated"
            ),
            (
                [("X-User", "anna"), ("X-Tenant", "a"), ("X-Claim", "\u{FFFD}"), ("X-Secret", secret)],
                "claim_malformed"
            ),
            ([("X-User", "anna"), ("X-Tenant", "a"), ("X-Secret", secret)], nil),
        ] as [([(String, String)], String?)])
    func `a forwarded authenticator gives the reason for its refusal`(
        fields: [(String, String)], reason: String?
    ) async throws {
        func name(_ text: String) -> HTTPField.Name { HTTPField.Name(text) ?? .from }
        func authenticator(_ peers: [IPAddressBlock]) -> ForwardedAuthenticator {
            ForwardedAuthenticator(
                subject: name("X-User"), tenant: name("X-Tenant"), claims: ["claim": name("X-Claim")],
                secretField: name("X-Secret"),
                secrets: SharedSecrets(variable: "S", in: ["S": Self.secret]), peers: peers
            )
        }
        var head = HTTPRequest(method: .post, scheme: "https", authority: "pay.example", path: "/")
        for field in fields { head.headerFields.append(HTTPField(name: name(field.0), value: field.1)) }
        let request = EndpointRequest(head: head, peer: PeerAddress(ip: "192.0.2.1"))
        #expect(try await authenticator([]).refusal(of: request) == reason)
        let elsewhere = try #require(IPAddressBlock("10.0.0.0/8"))
        #expect(try await authenticator([elsewhere]).refusal(of: request) == "peer_untrusted")
    }

    @Test func `a refusal's reason is in one log event at its level, and not in the answer`() async throws {
        for isPolicy in [false, true] {
            let handler = InMemoryLogHandler()
            let endpoint = CheckoutTokenEndpoint(
                tokens: ScriptedTokenProvider(),
                authenticator: ClosureAuthenticator { _ in
                    if isPolicy { return Principal(subject: "anna") }
                    throw AccessRefusal("session_unknown")
                }, policy: ClosurePolicy(binds: .session) { _, _ in throw AccessRefusal("not_hers") },
                configuration: .init(environment: "demo"), logger: Logger(label: "t") { _ in handler })
            var head = HTTPRequest(method: .post, scheme: "https", authority: "pay.example", path: "/")
            head.headerFields[.contentType] = "application/json"
            let body = Array(#"{"customerId": "cus_1", "invoiceId": "inv_1"}"#.utf8)
            let response = await endpoint.respond(to: EndpointRequest(head: head, body: EndpointBody(body)))
            #expect(response.head.status == (isPolicy ? .forbidden : .unauthorized))
            let event = try #require(handler.entries.first { $0.message == "checkout token refused" })
            #expect(event.level == .info)
            #expect(event.metadata["reason"] == (isPolicy ? "policy" : "no_proof"))
            #expect(event.metadata["detail"] == (isPolicy ? "not_hers" : "session_unknown"))
            #expect(!String(decoding: response.body, as: UTF8.self).contains(isPolicy ? "not_hers" : "session_unknown"))
        }
    }

}

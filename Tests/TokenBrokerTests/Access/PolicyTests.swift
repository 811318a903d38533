import HTTPTypes
import InMemoryLogging
import Logging
import Synchronization
import Testing
import TestSupport
import TokenBroker
import TokenBrokerTesting

private let anna = Principal(
    subject: "anna",
    claims: [
        "customer": "cus_1", "customers": .array(["cus_1", "cus_2"]), "invoice": "inv_1", "number": .number(1),
        "mixed": .array([.number(1), .null, "cus_1"]), "nested": ["shop/a": ["~customer": "cus_1"]],
        "flag": .bool(true),
        "accent": "caf\u{e9}", "accents": .array(["caf\u{e9}"]),
    ]
)
private let session = TokenRequest(customer: "cus_1", invoice: "inv_1")

private let quiet = Logger(label: "t") { _ in SwiftLogNoOpLogHandler() }

/// A policy with fixed decisions that counts its calls.
private final class Counting: AccessPolicy {
    let binds: AccessBinding
    private let answer: @Sendable () async throws -> Bool
    private let count = Mutex(0)

    init(_ binds: AccessBinding = .session, _ answer: @escaping @Sendable () async throws -> Bool) {
        self.binds = binds
        self.answer = answer
    }

    var calls: Int { count.withLock { $0 } }

    func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
        count.withLock { $0 += 1 }
        return try await answer()
    }
}

private struct Broken: Error {}

private let nothing: AccessBinding = []
private let everything: AccessBinding = [.session, .invoiceOfCustomer]

struct ClaimPolicyTests {
    @Test(
        arguments: [
            ("customer", nil, "cus_1", "inv_9", true), ("customer", nil, "cus_2", "inv_1", false),
            ("customers", nil, "cus_2", "inv_9", true), ("customers", nil, "cus_3", "inv_1", false),
            ("mixed", nil, "cus_1", "inv_1", true), ("mixed", nil, "1", "inv_1", false),
            (nil, "invoice", "cus_9", "inv_1", true), (nil, "invoice", "cus_1", "inv_2", false),
            ("customers", "invoice", "cus_2", "inv_1", true), ("customers", "invoice", "cus_1", "inv_2", false),
            ("customers", "invoice", "cus_3", "inv_1", false), ("number", nil, "1", "inv_1", false),
            ("flag", nil, "true", "inv_1", false), ("absent", nil, "cus_1", "inv_1", false),
            ("absent", "invoice", "cus_1", "inv_1", false), ("/nested/shop~1a/~0customer", nil, "cus_1", "inv_1", true),
            ("/nested/shop~1a", nil, "cus_1", "inv_1", false), ("/", nil, "cus_1", "inv_1", false),
            ("/customers/0", nil, "cus_1", "inv_1", false), ("accent", nil, "caf\u{e9}", "inv_1", true),
            ("accent", nil, "cafe\u{301}", "inv_1", false), ("accents", nil, "cafe\u{301}", "inv_1", false),
            (nil, nil, "cus_1", "inv_1", false),
        ] as [(String?, String?, String, String, Bool)])
    func `a claim policy allows exactly the customers and invoices that the claims name`(
        _ customerClaim: String?, _ invoiceClaim: String?, _ customer: String, _ invoice: String, _ allows: Bool
    ) async throws {
        let policy = ClaimPolicy(customer: customerClaim, invoice: invoiceClaim)
        let request = TokenRequest(customer: customer, invoice: invoice)
        #expect(try await policy.says(anna, for: request) == allows)
    }

    @Test func `a claim policy refuses a request without a customer and an invoice`() async throws {
        #expect(try await !ClaimPolicy(customer: "customer").says(anna, for: TokenRequest()))
    }
}

struct CombinationTests {
    private static let yes = Counting { true }
    private static let no = Counting { false }
    private static let broken = Counting { throw Broken() }

    @Test(
        arguments: [
            ([true], true), ([false], false), ([true, true], true), ([true, false], false), ([false, true], false),
            ([nil, true], nil), ([true, nil], nil), ([false, nil], nil), ([], false),
        ] as [([Bool?], Bool?)])
    func `AllOf allows a request only if every member does, and asks each once`(
        _ answers: [Bool?], _ expected: Bool?
    ) async {
        let members = answers.map { answer in Counting { try answer ?? { throw Broken() }() } }
        #expect(await (try? AllOf(members).says(anna, for: session)) == expected)
        #expect(members.allSatisfy { $0.calls == 1 })
    }

    @Test(
        arguments: [
            ([true], true), ([false], false), ([true, false], true), ([false, true], true), ([false, false], false),
            ([nil, true], true), ([true, nil], true), ([nil, false], nil), ([false, nil], nil), ([], false),
        ] as [([Bool?], Bool?)])
    func `AnyOf allows a request if any member does, and asks each once`(_ answers: [Bool?], _ expected: Bool?) async {
        let members = answers.map { answer in Counting { try answer ?? { throw Broken() }() } }
        #expect(await (try? AnyOf(members).says(anna, for: session)) == expected)
        #expect(members.allSatisfy { $0.calls == 1 })
    }

    @Test(
        arguments: [
            (AllOf([Counting(nothing) { true }]) as any AccessPolicy, nothing),
            (AllOf([Counting(.customer) { true }]), .customer),
            (
                AllOf([Counting(.customer) { true }, Counting(.invoiceOfCustomer) { true }]),
                everything
            ),
            (
                AllOf([Counting(.invoice) { true }, Counting(.invoiceOfCustomer) { true }]),
                everything
            ),
            (AnyOf([Counting(.customer) { true }, Counting(.invoiceOfCustomer) { true }]), nothing),
            (AnyOf([Counting(.session) { true }, Counting(.invoice) { true }]), .invoice),
            (AnyOf([Counting(.session) { true }, Counting(.customer) { true }]), .customer),
            (AnyOf([]), nothing), (AllOf([]), nothing),
            (
                AllOf([
                    AnyOf([Counting(.session) { true }, Counting(.customer) { true }]),
                    Counting(.invoiceOfCustomer) { true },
                ]), everything
            ),
            (
                AnyOf([
                    AllOf([Counting(.customer) { true }, Counting(.invoiceOfCustomer) { true }]),
                    Counting(.invoice) { true },
                ]), .invoice
            ),
        ] as [(any AccessPolicy, AccessBinding)])
    func `a combination binds what its members bind together`(_ policy: any AccessPolicy, _ binds: AccessBinding) {
        #expect(policy.binds == binds)
    }

    /// The members wait for each other, so the test ends only if all of them are called before the first one returns.
    @Test(.timeLimit(.minutes(1)), arguments: [true, false])
    func `the members of a combination are asked concurrently`(_ isAll: Bool) async throws {
        let (stream, arrived) = AsyncStream.makeStream(of: Void.self)
        let first = Counting {
            for await _ in stream { return false }
            return false
        }
        let second = Counting {
            arrived.yield()
            return false
        }
        let policy: any AccessPolicy = isAll ? AllOf([first, second]) : AnyOf([first, second])
        #expect(try await !policy.says(anna, for: session))
    }
}

struct RememberingTests {
    private let clock = ManualClock()

    @Test(arguments: [true, false])
    func `a cached policy answer is reused until it expires`(_ answer: Bool) async throws {
        let upstream = Counting { answer }
        let policy = upstream.caching(for: .seconds(5), clock: clock)
        for _ in 0..<3 { #expect(try await policy.says(anna, for: session) == answer) }
        #expect(upstream.calls == 1)
        clock.advance(by: .seconds(5))
        #expect(try await policy.says(anna, for: session) == answer)
        #expect(upstream.calls == 2)
        #expect(policy.binds == upstream.binds)
    }

    @Test func `a cached policy answer is reused only for the same principal and request`() async throws {
        let upstream = Counting { true }
        let policy = upstream.caching(for: .seconds(5), clock: clock)
        var others = [anna, anna, anna]
        others[0].subject = "bob"
        others[1].tenant = "other"
        others[2].claims["customer"] = "cus_2"
        for principal in [anna] + others { _ = try await policy.says(principal, for: session) }
        for (customer, invoice) in [("cus_1", "inv_2"), ("cus_2", "inv_1")] {
            _ = try await policy.says(anna, for: TokenRequest(customer: customer, invoice: invoice))
        }
        _ = try await policy.says(anna, for: TokenRequest(tenant: "t", customer: "cus_1", invoice: "inv_1"))
        #expect(upstream.calls == 7)
    }

    @Test func `a policy's failure is not cached`() async throws {
        let upstream = Counting { throw Broken() }
        let policy = upstream.caching(for: .seconds(5), clock: clock)
        for _ in 0..<2 {
            await #expect(throws: Broken.self) { try await policy.says(anna, for: session) }
        }
        #expect(upstream.calls == 2)
    }

    @Test func `concurrent callers share a policy's answer, and a cancelled one does not spoil it`() async throws {
        let (stream, gate) = AsyncStream.makeStream(of: Void.self)
        let (arrivals, arrived) = AsyncStream.makeStream(of: Void.self)
        let upstream = Counting {
            arrived.yield()
            for await _ in stream { break }
            return true
        }
        let policy = upstream.caching(for: .seconds(5), clock: clock)
        let first = Task { try await policy.says(anna, for: session) }
        for await _ in arrivals { break }
        let others = (0..<50).map { _ in Task { try await policy.says(anna, for: session) } }
        first.cancel()
        await #expect(throws: CancellationError.self) { try await first.value }
        gate.yield()
        for other in others { #expect(try await other.value) }
        #expect(upstream.calls == 1)
    }

    @Test func `a policy's cache is bounded`() async throws {
        let upstream = Counting { true }
        let policy = CachingPolicy(upstream, for: .seconds(5), clock: clock, maximumEntries: 3)
        func ask(_ invoice: Int) async throws {
            _ = try await policy.says(anna, for: TokenRequest(customer: "cus_1", invoice: "inv_\(invoice)"))
        }
        for invoice in 1...4 { try await ask(invoice) }
        try await ask(4)
        #expect(upstream.calls == 4)
        try await ask(1)
        #expect(upstream.calls == 5)
    }
}

struct CallbackPolicyTests {
    private func policy(
        _ transport: any HTTPTransport, secret: String? = nil, logger: Logger = quiet
    ) throws -> CallbackPolicy {
        CallbackPolicy(
            url: try ServerURL("https://shop.example/may?v=1"), transport: transport,
            secrets: secret.map { SharedSecrets(variable: "S", in: ["S": $0]) }, timeout: .seconds(2), logger: logger
        )
    }

    @Test func `a callback is told the principal, the customer and the invoice`() async throws {
        let transport = ScriptedTransport([.respond(.ok, #"{"allow": true, "more": 1}"#)])
        let principal = Principal(subject: "anna", tenant: "shop", claims: ["customer": "cus_1"])
        #expect(try await policy(transport, secret: "a-secret-for-the-service").says(principal, for: session))
        let sent = try #require(transport.sent.first)
        #expect(sent.request.method == .post)
        #expect(sent.request.path == "/may?v=1")
        #expect(sent.request.headerFields[.authorization] == "Bearer a-secret-for-the-service")
        #expect(sent.request.headerFields[.contentType] == "application/json")
        #expect(sent.options.timeout == .seconds(2))
        #expect(sent.options.account == nil)
        #expect(
            String(decoding: sent.body, as: UTF8.self)
                == #"{"customerId":"cus_1","invoiceId":"inv_1","principal":{"claims":{"customer":"cus_1"},"subject":"anna","tenant":"shop"}}"#
        )
    }

    private func answers(_ status: Int, _ body: String) async throws -> Bool {
        let transport = ScriptedTransport([
            .respond(.init(code: status), headerFields: [.location: "https://shop.example/yes"], body),
            .respond(.ok, #"{"allow": true}"#),
        ])
        defer { #expect(transport.sent.count == 1) }
        return try await policy(transport).says(anna, for: session)
    }

    @Test(arguments: [
        (200, #"{"allow": false}"#), (403, ""), (404, ""), (403, #"{"allow": true}"#), (404, #"{"allow": true}"#),
        (404, "<html>"),
    ])
    func `a callback denies with false, 403 or 404`(_ status: Int, _ body: String) async throws {
        #expect(try await answers(status, body) == false)
    }

    @Test(arguments: [
        (200, #"{"allow": "true"}"#), (200, #"{"allow": 1}"#), (200, #"{"allow": null}"#), (200, "{}"), (200, "true"),
        (200, ""), (200, "[true]"), (200, #"{"allow": true"#), (200, #"{"allow": false, "allow": true}"#),
        (200, #"{"Allow": true}"#), (200, #"{"allow": [true]}"#), (201, #"{"allow": true}"#), (204, ""),
        (202, #"{"allow": true}"#), (302, #"{"allow": true}"#), (307, #"{"allow": true}"#), (400, ""),
        (401, #"{"allow": true}"#), (408, ""), (429, ""), (500, #"{"allow": true}"#), (502, "<html>"),
        (503, #"{"allow": false}"#), (504, ""),
    ])
    func `a callback answer that is neither yes nor no decides nothing`(_ status: Int, _ body: String) async throws {
        await #expect(throws: CallbackPolicy.Undecided.self) { try await answers(status, body) }
    }

    @Test(arguments: [TransportError.Code.timedOut, .connect, .closed, .trust, .tooLarge, .shutDown])
    func `a callback that does not answer is a failure, not a decision`(_ code: TransportError.Code) async throws {
        let policy = try policy(ScriptedTransport([.fail(code)]))
        await #expect(throws: TransportError.self) { try await policy.says(anna, for: session) }
    }

    @Test func `an oversized callback response is not read`() async throws {
        let body = #"{"allow": true, "x": ""# + String(repeating: "x", count: 70_000) + #""}"#
        let policy = try policy(ScriptedTransport([.respond(.ok, body)]))
        await #expect(throws: TransportError.self) { try await policy.says(anna, for: session) }
    }

    @Test func `a callback ends at its own timeout`() async throws {
        let clock = ManualClock()
        let policy = try policy(ScriptedTransport([.hang], clock: clock))
        let asked = Task { try await policy.says(anna, for: session) }
        // One sleeper is the timeout's alarm, and the other is the hanging server.
        await clock.sleepers(2)
        clock.advance(by: .seconds(2))
        let error = await #expect(throws: TransportError.self) { try await asked.value }
        #expect(error?.code == .timedOut)
    }

    @Test func `an invalid callback response is logged without its content`() async throws {
        let handler = InMemoryLogHandler()
        var logger = Logger(label: "t") { _ in handler }
        logger.logLevel = .trace
        let answer = #"{"sentinel": "sentinel"}"#
        let policy = try policy(
            ScriptedTransport([.respond(.ok, answer)]), secret: "sentinel-secret-for-it", logger: logger
        )
        var principal = anna
        principal.subject = "sentinel"
        await #expect(throws: CallbackPolicy.Undecided.self) {
            try await policy.says(principal, for: session)
        }
        #expect(handler.entries.count == 1)
        #expect(!"\(handler.entries)".contains("sentinel"))
    }
}

struct VendorInvoicePolicyTests {
    private final class AccessTokens: TokenProvider {
        let demands = Mutex<[TokenDemand]>([])
        func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
            #expect(request == TokenRequest(tenant: "shop"))
            let number = demands.withLock { demands in
                demands.append(demand)
                return demands.count
            }
            return Token(
                id: Token.ID(rawValue: "\(number)"), secret: Secret("access-\(number)"), remaining: .seconds(100)
            )
        }
    }

    private let accessTokens = AccessTokens()
    private let session = TokenRequest(tenant: "shop", customer: "cus_1", invoice: "inv_1")

    private func policy(_ transport: any HTTPTransport) throws -> VendorInvoicePolicy {
        try #require(
            VendorInvoicePolicy(
                vendor: try testVendor(.alternativePayments), accessTokens: accessTokens, transport: transport,
                timeout: .seconds(3)
            )
        )
    }

    private func invoice(_ id: String = "inv_1", of customer: String = "cus_1") -> ScriptedTransport.Step {
        .respond(.ok, #"{"id": "\#(id)", "customer_id": "\#(customer)", "total": 1}"#)
    }

    @Test func `a vendor invoice policy asks the vendor who the invoice's customer is`() async throws {
        let transport = ScriptedTransport([invoice()])
        #expect(try await policy(transport).says(anna, for: session))
        let sent = try #require(transport.sent.first)
        #expect(sent.request.method == .get)
        #expect(sent.request.path == "/invoices/inv_1")
        #expect(sent.request.headerFields[.authorization] == "Bearer access-1")
        #expect(sent.options.account == "alternative-payments")
        #expect(
            (.seconds(2) ... .seconds(3)).contains(sent.options.timeout), "What is left of the time for both calls.")
    }

    @Test func `a missing invoice is refused like another customer's`() async throws {
        let answers: [ScriptedTransport.Step] = [
            invoice(of: "cus_2"), invoice("inv_2"), .respond(.ok, "{}"),
            .respond(.ok, #"{"id": 1, "customer_id": null}"#),
            .refuse(.notFound), .refuse(.badRequest), .refuse(.forbidden), .refuse(.unprocessableContent),
        ]
        for answer in answers {
            let transport = ScriptedTransport([answer])
            #expect(try await !policy(transport).says(anna, for: session))
            #expect(transport.sent.count == 1)
        }
    }

    @Test func `a 401 to an invoice look-up renews the access token once`() async throws {
        let transport = ScriptedTransport([.respond(.unauthorized), invoice()])
        #expect(try await policy(transport).says(anna, for: session))
        #expect(accessTokens.demands.withLock { $0.map(\.replacing) } == [nil, Token.ID(rawValue: "1")])
        #expect(transport.sent.last?.request.headerFields[.authorization] == "Bearer access-2")
        let refused = try policy(ScriptedTransport([.refuse(.unauthorized), .refuse(.unauthorized), invoice()]))
        #expect(await code { try await refused.says(anna, for: session) } == .credentialsRejected)
    }

    @Test(arguments: [
        (ScriptedTransport.Step.respond(.tooManyRequests), TokenError.Code.throttled),
        (.respond(.internalServerError), .unavailable), (.respond(.ok, "<html>"), .unavailable),
        (.respond(.notFound, "<html>"), .unavailable),
        (.respond(.forbidden, #"{"message": "Forbidden"}"#), .unavailable),
        (.respond(.ok, "[]"), .unavailable), (.respond(.found), .unavailable), (.fail(.timedOut), .timedOut),
        (.fail(.connect), .unavailable), (.fail(.throttled), .throttled),
    ])
    func `a vendor that gives no valid answer about an invoice decides nothing`(
        _ step: ScriptedTransport.Step, _ code: TokenError.Code
    ) async throws {
        let policy = try policy(ScriptedTransport([step]))
        #expect(await TokenBrokerTests.code { try await policy.says(anna, for: session) } == code)
    }

    @Test(arguments: [
        ("inv/../x", "/invoices/inv%2F..%2Fx"), ("a?b#c", "/invoices/a%3Fb%23c"), ("%2e%2e", "/invoices/%252e%252e"),
        ("a b\u{e9}", "/invoices/a%20b%C3%A9"), ("...", "/invoices/..."),
    ])
    func `an invoice id in a look-up stays within its path segment`(_ id: String, _ path: String) async throws {
        let transport = ScriptedTransport([.refuse(.notFound)])
        let request = TokenRequest(tenant: "shop", customer: "cus_1", invoice: id)
        #expect(try await !policy(transport).says(anna, for: request))
        #expect(transport.sent.first?.request.path == path)
    }

    @Test(arguments: [".", "..", ""])
    func `an invoice id that is empty or only dots is refused without a vendor call`(_ id: String) async throws {
        let transport = ScriptedTransport([invoice(id)])
        let request = TokenRequest(tenant: "shop", customer: "cus_1", invoice: id)
        #expect(try await !policy(transport).says(anna, for: request))
        #expect(transport.sent.isEmpty)
    }

    @Test func `a vendor without an invoice look-up has no vendor invoice policy`() throws {
        var profile = VendorProfile.alternativePayments
        profile.invoiceLookup = nil
        let policy = VendorInvoicePolicy(
            vendor: try testVendor(profile), accessTokens: accessTokens, transport: ScriptedTransport([])
        )
        #expect(policy == nil)
    }
}

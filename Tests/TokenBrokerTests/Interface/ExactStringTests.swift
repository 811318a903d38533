import HTTPTypes
import Logging
import TestSupport
import Testing
import TokenBrokerTesting

@testable import TokenBroker

private let quiet = Logger(label: "t") { _ in SwiftLogNoOpLogHandler() }

/// Tests that identifiers are compared by their bytes everywhere.
struct ExactStringTests {
    @Test func `two Unicode spellings are two strings, and are ordered and hashed as such`() {
        for pair in Spellings.generated(200, seed: 1) {
            #expect(pair.one == pair.other, "the pair tests nothing")
            let (one, other) = (ExactString(pair.one), ExactString(pair.other))
            #expect(one != other && one == ExactString(pair.one))
            #expect(Set([one, other, one]).count == 2)
            #expect((one < other) == pair.one.utf8.lexicographicallyPrecedes(pair.other.utf8))
            #expect((one < other) != (other < one))
            let optional: ExactString? = one
            #expect(optional == pair.one && optional != pair.other && pair.one == optional && pair.other != one)
        }
    }

    @Test func `requests and principals differ in every member by its bytes`() {
        for pair in Spellings.generated(50, seed: 2) {
            let (one, other) = (ExactString(pair.one), ExactString(pair.other))
            let requests = [one, other].flatMap { text in
                [
                    TokenRequest(tenant: text), TokenRequest(customer: text, invoice: "i"),
                    TokenRequest(customer: "c", invoice: text), TokenRequest(scopes: [text]),
                    TokenRequest(audience: text), TokenRequest(inputs: [.init(rawValue: text): "x"]),
                ]
            }
            #expect(Set(requests).count == requests.count)
            let principals = [one, other].flatMap { text in
                [
                    Principal(subject: text), Principal(subject: "s", tenant: text),
                    Principal(subject: "s", claims: [text: .null]),
                    Principal(subject: "s", claims: ["c": .string(text)]),
                ]
            }
            #expect(Set(principals).count == principals.count)
            #expect(Set([one, other].map { Audit.pseudonymWithinProcess(Principal(subject: $0)) }).count == 2)
            #expect(Token.ID(rawValue: one) != Token.ID(rawValue: other))
            #expect(Account(rawValue: one) != Account(rawValue: other))
        }
    }

    @Test func `no policy allows another Unicode spelling`() async throws {
        for pair in Spellings.generated(60, seed: 3) {
            let (one, other) = (ExactString(pair.one), ExactString(pair.other))
            let me = Principal(
                subject: "me",
                claims: ["text": .string(one), "list": .array([.string(one)]), one: ["in": .string(one)]])
            let asksVendor = InMemoryTransport { request, _ in
                let found: JSONValue = ["id": .string(one), "customer_id": .string(one)]
                return TransportResponse(head: HTTPResponse(status: .ok), body: found.serialized)
            }
            let vendor = try Vendor(profile: .alternativePayments, baseURL: "https://vendor.example")
            let lookup = try #require(
                VendorInvoicePolicy(
                    vendor: vendor,
                    accessTokens: ScriptedTokenProvider(otherwise: .token("access", remaining: .seconds(600))),
                    transport: asksVendor))
            let callback = CallbackPolicy(
                url: try ServerURL("https://shop.example/may"),
                transport: InMemoryTransport { _, body in
                    let asked = try JSONValue.parse(body)
                    let allows = asked["customerId"] == .string(one) && asked["invoiceId"] == .string(one)
                    return TransportResponse(
                        head: HTTPResponse(status: .ok), body: JSONValue.object(["allow": .bool(allows)]).serialized)
                }, logger: quiet)
            let own = ClosurePolicy(binds: .session) { _, request in request.inputs == [.customer: one, .invoice: one] }
            let policies: [any AccessPolicy] = [
                ClaimPolicy(customer: "text", invoice: "text"), ClaimPolicy(customer: "list", invoice: "list"),
                ClaimPolicy(customer: "/\(pair.one)/in".replacing("/x", with: "~1x"), invoice: "text"), lookup,
                callback, own,
            ]
            for policy in policies + policies.map({ remembered($0) }) + [AllOf(policies), AnyOf(policies)] {
                let right = TokenRequest(customer: one, invoice: one)
                guard try await policy.says(me, for: right) else { continue }
                for wrong in [
                    TokenRequest(customer: other, invoice: one), TokenRequest(customer: one, invoice: other),
                    TokenRequest(customer: other, invoice: other),
                ] {
                    #expect(try await !policy.says(me, for: wrong), "\(policy)")
                }
            }
            for policy in [policies[0], policies[1], lookup, callback, own] {
                #expect(try await policy.says(me, for: TokenRequest(customer: one, invoice: one)), "\(policy)")
            }
        }
    }

    @Test func `a claim is found by exactly its own name`() {
        for pair in Spellings.generated(50, seed: 4) {
            let me = Principal(subject: "me", claims: [pair.one: "yes"])
            let (one, other) = (pair.one.replacing("/", with: "~1"), pair.other.replacing("/", with: "~1"))
            #expect(me.claim("/" + one) == "yes" && me.claim("/" + other) == nil)
        }
        // In a string of characters, a slash with a combining mark after it would not be a separator.
        let marked = Principal(subject: "me", claims: ["a": ["\u{301}b": "yes"]])
        #expect(marked.claim("/a/\u{301}b") == "yes")
    }

    @Test func `a cached token belongs to exactly the request it was fetched for`() async throws {
        let cache = NumberedTokens().caching(clock: ManualClock())
        for pair in Spellings.generated(50, seed: 5) {
            let (one, other) = (ExactString(pair.one), ExactString(pair.other))
            let requests = { (text: ExactString) in
                [
                    TokenRequest(customer: text, invoice: "i"), TokenRequest(customer: "c", invoice: text),
                    TokenRequest(tenant: text, customer: "c", invoice: "i"), TokenRequest(scopes: [text]),
                    TokenRequest(audience: text),
                ]
            }
            for (first, second) in zip(requests(one), requests(other)) {
                let tokens = (try await cache.token(for: first), try await cache.token(for: second))
                #expect(tokens.0.id != tokens.1.id)
                #expect(try await cache.token(for: first).id == tokens.0.id)
                #expect(tokens.0.secret == secret(for: first) && tokens.1.secret == secret(for: second))
            }
        }
    }

    @Test func `a token that names another Unicode spelling is not handed out`() async throws {
        let vendor = try Vendor(profile: .alternativePayments, baseURL: "https://vendor.example")
        for pair in Spellings.generated(30, seed: 6) {
            let named = Token.named(customer: pair.one, invoice: pair.one)
            let provider = CheckoutTokenProvider(
                vendor: vendor,
                accessTokens: ScriptedTokenProvider(otherwise: .token("access", remaining: .seconds(600))),
                transport: InMemoryTransport { _, _ in named })
            _ = try await provider.token(for: TokenRequest(customer: pair.one, invoice: pair.one))
            for (customer, invoice) in [(pair.other, pair.one), (pair.one, pair.other)] {
                await #expect(throws: TokenError.self) {
                    try await provider.token(for: TokenRequest(customer: customer, invoice: invoice))
                }
            }
        }
    }

    @Test func `each Unicode spelling has a quota of its own`() async throws {
        var limits = RequestLimits.withoutQuotas
        limits.perPrincipal = Quota(perMinute: 1, burst: 1)
        let who = try #require(HTTPField.Name("X-Who"))
        let endpoint = CheckoutTokenEndpoint(
            tokens: NumberedTokens(),
            authenticator: ClosureAuthenticator { request in
                request.head.headerFields[who].map { Principal(subject: $0) }
            }, policy: ClosurePolicy(binds: .session) { _, _ in true },
            configuration: .init(environment: "demo", limits: limits), clock: ManualClock(), logger: quiet)
        for (index, pair) in Spellings.generated(20, seed: 7).enumerated() {
            for (name, status) in [(pair.one, 200), (pair.other, 200), (pair.one, 429), (pair.other, 429)] {
                var head = HTTPRequest(
                    method: .post, scheme: "https", authority: "pay.example", path: "/api/checkout-token",
                    headerFields: [.contentType: "application/json"])
                head.headerFields[who] = "\(index) \(name)"
                let body = Array(#"{"customerId": "c", "invoiceId": "i"}"#.utf8)
                let response = await endpoint.respond(to: EndpointRequest(head: head, body: EndpointBody(body)))
                #expect(response.head.status.code == status, "\(name)")
            }
        }
    }

    @Test func `an id in two Unicode spellings in one body is a conflict`() {
        for pair in Spellings.generated(50, seed: 8) {
            let body: JSONValue = [
                "customerId": .string(pair.one), "customer_id": .string(pair.other), "invoiceId": "i",
            ]
            #expect(throws: Problem.self) { try CheckoutSessionRequest(body.serialized) }
        }
    }
}

private func remembered(_ policy: some AccessPolicy) -> any AccessPolicy { policy.caching(for: .seconds(60)) }

/// A provider whose tokens name the request that they were fetched for.
private struct NumberedTokens: TokenProvider {
    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        Token(secret: secret(for: request), remaining: .seconds(600))
    }
}

private func secret(for request: TokenRequest) -> Secret {
    let inputs = request.inputs.map { "\($0)=\($1)" }.sorted()
    return Secret("\(request.tenant) \(inputs) \(request.scopes.sorted()) \(request.audience as Any)")
}

extension Token {
    /// Returns a vendor's response with a token for a session.
    fileprivate static func named(customer: String, invoice: String) -> TransportResponse {
        let claims: [ExactString: JSONValue] = [
            "customer_id": .string(customer), "invoice_id": .string(invoice), "exp": .number(4_000_000_000),
        ]
        let body: JSONValue = ["token": .string(UnverifiedJWT.text(claims: claims))]
        return TransportResponse(head: HTTPResponse(status: .ok), body: body.serialized)
    }
}

import Foundation
import HTTPTypes
import InMemoryLogging
import Logging
import Synchronization
import Testing
import TestSupport
import TokenBroker
import TokenBrokerTesting

private final class Tokens: TokenProvider {
    let asked = Mutex<[(TokenRequest, TokenDemand)]>([])
    private let result: Result<Token, TokenError>

    init(_ result: Result<Token, TokenError>) { self.result = result }

    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        asked.withLock { $0.append((request, demand)) }
        return try result.get()
    }
}

/// A provider that returns only when it is cancelled, whatever the caller's timeout.
private struct HangingTokens: TokenProvider {
    let asked: AsyncStream<Void>
    private let wasAsked: AsyncStream<Void>.Continuation

    init() { (asked, wasAsked) = AsyncStream.makeStream() }

    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        wasAsked.yield()
        try? await ContinuousClock().sleep(for: .seconds(60))
        throw TokenError(.cancelled, message: "cancelled")
    }
}

struct CheckoutTokenEndpointTests {
    private struct Boom: Error {}
    private static let token = Token(
        id: Token.ID(rawValue: "id-1"), secret: Secret("a.b.c"), remaining: .milliseconds(59_900),
        expiresAt: Date(timeIntervalSince1970: 1_800_000_000.7)
    )
    private static let session = #"{"customerId": "cus_1", "invoiceId": "inv_1"}"#

    private func endpoint(
        _ tokens: any TokenProvider = Tokens(.success(token)),
        authenticate: @escaping @Sendable (EndpointRequest) async throws -> Principal? = { _ in
            Principal(subject: "me", tenant: "shop")
        },
        allow: @escaping @Sendable (Principal, TokenRequest) async throws -> Bool = { _, _ in true },
        clock: any Clock<Duration> = ManualClock(),
        logger: Logger = Logger(label: "t") { _ in SwiftLogNoOpLogHandler() }
    ) -> CheckoutTokenEndpoint {
        CheckoutTokenEndpoint(
            tokens: tokens, authenticator: ClosureAuthenticator(authenticate),
            policy: ClosurePolicy(binds: .session, allow),
            configuration: .init(environment: "demo", allowedOrigins: ["https://shop.example"], limits: .withoutQuotas),
            clock: clock, logger: logger)
    }

    private func post(
        _ body: String = session, fields: HTTPFields = [.contentType: "application/json"],
        method: HTTPRequest.Method = .post
    ) -> EndpointRequest {
        EndpointRequest(
            head: HTTPRequest(
                method: method, scheme: "https", authority: "pay.example", path: "/api/checkout-token",
                headerFields: fields
            ),
            body: EndpointBody(Array(body.utf8)), peer: PeerAddress(ip: "127.0.0.1")
        )
    }

    @Test func `a provider that ignores its deadline is stopped at the route's timeout`() async throws {
        let clock = ManualClock()
        let tokens = HangingTokens()
        let endpoint = endpoint(tokens, clock: clock)
        let answer = Task { await endpoint.respond(to: post()) }
        for await _ in tokens.asked { break }
        await clock.sleepers(1)
        clock.advance(by: .seconds(8))
        let (status, code) = try problem(await answer.value)
        #expect(status == 503)
        #expect(code == "vendor_unavailable")
    }

    private func problem(_ response: EndpointResponse) throws -> (status: Int, code: String) {
        let body = try JSONValue.parse(response.body)
        #expect(response.head.headerFields[.contentType] == "application/problem+json")
        #expect(body["error"] == body["title"])
        #expect(body["status"]?.number == Double(response.head.status.code))
        #expect(body["type"]?.string == "about:blank")
        #expect(response.head.headerFields[.cacheControl] == "no-store")
        return (response.head.status.code, try #require(body["code"]?.string).unicode)
    }

    @Test func `a token is answered as documented`() async throws {
        let tokens = Tokens(.success(Self.token))
        let response = await endpoint(tokens).respond(to: post())
        #expect(response.head.status == .ok)
        let body = try JSONValue.parse(response.body)
        let expected: JSONValue = [
            "token": "a.b.c", "tokenId": "id-1", "expiresAt": "2027-01-15T08:00:00Z", "expiresIn": .number(59),
            "environment": "demo",
        ]
        #expect(body == expected)
        #expect(response.head.headerFields[.cacheControl] == "no-store")
        #expect(response.head.headerFields[.xContentTypeOptions] == "nosniff")
        #expect(response.head.headerFields[.vary] == "Origin")
        let (request, demand) = try #require(tokens.asked.withLock { $0.first })
        #expect(request == TokenRequest(tenant: "shop", customer: "cus_1", invoice: "inv_1"))
        #expect(demand.replacing == nil)
        #expect(try #require(demand.timeout) <= .seconds(8))
    }

    @Test(arguments: [
        #"{"customer_id": "cus_1", "invoice_id": "inv_1", "unknown": [1]}"#,
        #"{"customerId": "cus_1", "invoice_id": "inv_1"}"#,
        #"{"customerId": "cus_1", "customer_id": "cus_1", "invoiceId": "inv_1", "replaces": null}"#,
    ])
    func `a body can spell its members in camel case or snake case`(body: String) async {
        #expect(await endpoint().respond(to: post(body)).head.status == .ok)
    }

    @Test func `replaces names the token that was refused`() async throws {
        let tokens = Tokens(.success(Self.token))
        _ = await endpoint(tokens).respond(to: post(#"{"customerId": "c", "invoiceId": "i", "replaces": "old"}"#))
        #expect(tokens.asked.withLock { $0.first?.1.replacing } == Token.ID(rawValue: "old"))
    }

    @Test(arguments: [
        "", "x", "[]", "null", #""text""#, "{}", #"{"customerId": "c"}"#, #"{"invoiceId": "i"}"#,
        #"{"customerId": "", "invoiceId": "i"}"#,
        #"{"customerId": 5, "invoiceId": "i"}"#, #"{"customerId": null, "invoiceId": "i"}"#,
        #"{"customerId": "c\u0000", "invoiceId": "i"}"#,
        #"{"customerId": "c\n", "invoiceId": "i"}"#, #"{"customerId": "a", "customer_id": "b", "invoiceId": "i"}"#,
        #"{"customerId": "c", "customerId": "c", "invoiceId": "i"}"#,
        #"{"customerId": "c", "invoiceId": "i", "replaces": 5}"#,
        #"{"customerId": "c", "invoiceId": "i", "replaces": "a b"}"#,
        #"{"customerId": "c", "invoiceId": "i", "replaces": "\u00e9"}"#,
        #"{"customerId": "c", "invoiceId": "i", "x": [[[[[[[[[]]]]]]]]]}"#,
        #"{"customerId": "c", "invoiceId": "i"} {}"#,
        #"{"customerId": "c", "invoiceId": "\#(String(repeating: "i", count: 256))"}"#,
    ])
    func `an invalid body is refused without asking for a token`(body: String) async throws {
        let tokens = Tokens(.success(Self.token))
        let found = try problem(await endpoint(tokens).respond(to: post(body)))
        #expect(found == (400, "invalid_request"))
        #expect(tokens.asked.withLock { $0.isEmpty })
    }

    @Test func `an id can be as long as documented`() async {
        let id = String(repeating: "é", count: 255)
        #expect(await endpoint().respond(to: post(#"{"customerId": "\#(id)", "invoiceId": "i"}"#)).head.status == .ok)
    }

    @Test func `the content type has to be JSON`() async throws {
        for fields in [[:], [.contentType: "text/plain"], [.contentType: "application/json5"]] as [HTTPFields] {
            #expect(try problem(await endpoint().respond(to: post(fields: fields))) == (415, "unsupported_media_type"))
        }
        for type in ["application/json; charset=utf-8", "Application/JSON"] {
            #expect(await endpoint().respond(to: post(fields: [.contentType: type])).head.status == .ok)
        }
    }

    @Test func `a method other than POST is answered with the allowed ones`() async throws {
        for method in [HTTPRequest.Method.get, .head, .put, .delete, .patch] {
            let response = await endpoint().respond(to: post(method: method))
            #expect(try problem(response) == (405, "method_not_allowed"))
            #expect(response.head.headerFields[.allow] == "POST, OPTIONS")
        }
    }

    @Test func `a body that is too large is refused`() async throws {
        let body = String(repeating: " ", count: (64 << 10) + 1 - Self.session.utf8.count) + Self.session
        #expect(try problem(await endpoint().respond(to: post(body))) == (413, "too_large"))
        #expect(await endpoint().respond(to: post(String(body.dropFirst()))).head.status == .ok)
    }

    @Test func `a body that arrives too slowly is given up on`() async throws {
        let clock = ManualClock()
        let (isReading, started) = AsyncStream.makeStream(of: Void.self)
        // No chunk ever arrives, and the read ends when it is cancelled.
        let chunks = AsyncStream<[UInt8]> {
            started.finish()
            try? await ContinuousClock().sleep(for: .seconds(3600))
            return nil
        }
        let endpoint = endpoint(clock: clock)
        let response = Task {
            var request = post()
            request.body = EndpointBody(chunks)
            return await endpoint.respond(to: request)
        }
        for await _ in isReading {}
        await clock.sleepers(1)
        clock.advance(by: .seconds(8))
        #expect(try problem(await response.value) == (408, "too_slow"))
    }

    @Test func `a request without proof of identity gets no token`() async throws {
        let tokens = Tokens(.success(Self.token))
        let response = await endpoint(tokens, authenticate: { _ in nil }).respond(to: post())
        #expect(try problem(response) == (401, "unauthenticated"))
        #expect(response.head.headerFields[.wwwAuthenticate] == "Bearer")
        #expect(tokens.asked.withLock { $0.isEmpty })
    }

    @Test func `a request that the policy refuses is forbidden`() async throws {
        let tokens = Tokens(.success(Self.token))
        let response = await endpoint(tokens, allow: { _, _ in false }).respond(to: post())
        #expect(try problem(response) == (403, "forbidden"))
        #expect(tokens.asked.withLock { $0.isEmpty })
    }

    @Test(arguments: [
        (TokenError.Code.throttled, 503, "vendor_busy"), (.unavailable, 503, "vendor_unavailable"),
        (.timedOut, 503, "vendor_unavailable"), (.credentialsRejected, 500, "misconfigured"),
        // A policy that throws this refuses the session without a reason.
        (.requestRejected, 403, "forbidden"),
    ])
    func `a policy that cannot reach the vendor answers with a Retry-After`(
        code: TokenError.Code, status: Int, expected: String
    ) async throws {
        let tokens = Tokens(.success(Self.token))
        let error = TokenError(code, message: "", retryAfter: .seconds(7))
        let response = await endpoint(tokens, allow: { _, _ in throw error }).respond(to: post())
        #expect(try problem(response) == (status, expected))
        #expect(response.head.headerFields[.retryAfter] == (status == 503 ? "7" : nil))
        #expect(tokens.asked.withLock { $0.isEmpty })
    }

    @Test func `the caller is authenticated before the body is read`() async throws {
        let response = await endpoint(authenticate: { _ in nil }).respond(to: post("nonsense"))
        #expect(try problem(response).code == "unauthenticated")
    }

    @Test(arguments: [
        (TokenError.Code.requestRejected, 422, "session_rejected"), (.throttled, 503, "vendor_busy"),
        (.unavailable, 503, "vendor_unavailable"), (.timedOut, 503, "vendor_unavailable"),
        (.cancelled, 503, "vendor_unavailable"),
        (.credentialsRejected, 500, "misconfigured"), (.misconfigured, 500, "misconfigured"),
    ])
    func `each failure is answered with its documented status and code`(
        code: TokenError.Code, status: Int, expected: String
    ) async throws {
        let handler = InMemoryLogHandler()
        let error = TokenError(code, message: "inside", retryAfter: .milliseconds(2100))
        let response = await endpoint(Tokens(.failure(error)), logger: Logger(label: "t") { _ in handler }).respond(
            to: post())
        #expect(try problem(response) == (status, expected))
        #expect(!String(decoding: response.body, as: UTF8.self).contains("inside"))
        #expect(response.head.headerFields[.retryAfter] == (status == 503 ? "3" : nil))
        let incident = try JSONValue.parse(response.body)["incident"]?.string?.unicode
        #expect((incident != nil) == (status == 500))
        if let incident { #expect(handler.entries.contains { "\($0.metadata)".contains(incident) }) }
    }

    @Test func `an unavailable vendor is always answered with a Retry-After`() async {
        let response = await endpoint(Tokens(.failure(TokenError(.unavailable, message: "m")))).respond(to: post())
        #expect(response.head.headerFields[.retryAfter] == "5")
    }

    @Test func `only listed origins and the server's own may call the endpoint`() async throws {
        func fields(_ origin: String) -> HTTPFields { [.contentType: "application/json", .origin: origin] }
        let listed = await endpoint().respond(to: post(fields: fields("https://shop.example")))
        #expect(listed.head.status == .ok)
        #expect(listed.head.headerFields[.accessControlAllowOrigin] == "https://shop.example")
        let own = await endpoint().respond(to: post(fields: fields("https://pay.example")))
        #expect(own.head.status == .ok)
        #expect(own.head.headerFields[.accessControlAllowOrigin] == nil)
        for origin in [
            "null", "https://shop.example.evil", "https://evilshop.example", "http://shop.example",
            "https://shop.example:8443",
            "https://SHOP.example", "", "*", "https://shop.example, https://x",
        ] {
            let response = await endpoint().respond(to: post(fields: fields(origin)))
            #expect(try problem(response) == (403, "forbidden"), "\(origin)")
            #expect(response.head.headerFields[.accessControlAllowOrigin] == nil)
        }
    }

    @Test func `a CORS preflight is answered`() async {
        let response = await endpoint().respond(
            to: post(
                "", fields: [.origin: "https://shop.example", .accessControlRequestMethod: "POST"], method: .options)
        )
        #expect(response.head.status == .noContent)
        #expect(response.head.headerFields[.accessControlAllowMethods] == "POST")
        #expect(response.head.headerFields[.accessControlAllowOrigin] == "https://shop.example")
        #expect(response.head.headerFields[.accessControlMaxAge] != nil)
        let foreign = await endpoint().respond(
            to: post("", fields: [.origin: "https://evil.example"], method: .options))
        #expect(foreign.head.status == .forbidden)
    }

    @Test func `random bodies never crash the endpoint`() async {
        var generator = SystemRandomNumberGenerator()
        let endpoint = endpoint()
        for _ in 0..<2000 {
            var bytes = Array(Self.session.utf8)
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            var request = post()
            request.body = EndpointBody(bytes)
            let status = await endpoint.respond(to: request).head.status.code
            #expect(status == 200 || status == 400)
        }
    }
}

struct HealthEndpointTests {
    private struct Part: HealthReporting {
        let part = "access_token"
        let account = "vendor"
        var state = Health.State.ok
        func health() async -> Health {
            var health = Health(
                part: part, account: account, state: state, lastSuccess: .milliseconds(1500),
                lastFailure: .init(.timedOut, ago: .seconds(60))
            )
            (health.expiresIn, health.retryIn, health.coolDown, health.queued) = (
                .seconds(5), .seconds(6), .seconds(7), 8
            )
            return health
        }
    }

    private func get(
        _ endpoint: some Endpoint, peer: String = "10.0.0.1", method: HTTPRequest.Method = .get,
        _ fields: HTTPFields = [:]
    ) async -> EndpointResponse {
        let head = HTTPRequest(
            method: method, scheme: "http", authority: "a", path: endpoint.path.description, headerFields: fields
        )
        return await endpoint.respond(to: EndpointRequest(head: head, peer: PeerAddress(ip: peer)))
    }

    @Test func `the liveness endpoint always answers 200`() async {
        #expect(await get(HealthEndpoint()).head.status == .ok)
        #expect(await get(HealthEndpoint(), method: .head).head.status == .ok)
        #expect(await get(HealthEndpoint(), method: .post).head.status == .methodNotAllowed)
    }

    @Test func `readiness needs all parts and gives the reason on loopback only`() async {
        #expect(await get(ReadinessEndpoint([Part()])).head.status == .ok)
        let endpoint = ReadinessEndpoint([Part(), Part(state: .credentialsRefused)])
        let far = await get(endpoint)
        #expect(far.head.status == .serviceUnavailable)
        #expect(String(decoding: far.body, as: UTF8.self) == #"{"status":"not ready"}"#)
        let forwarded = await get(endpoint, peer: "127.0.0.1", [HTTPField.Name("X-Forwarded-For")!: "10.0.0.1"])
        #expect(forwarded.body == far.body)
        let near = await get(endpoint, peer: "127.0.0.1")
        #expect(String(decoding: near.body, as: UTF8.self).contains(#""reason":"credentials_refused""#))
    }

    /// A part whose health the test changes.
    private final class ChangingPart: HealthReporting {
        let part = "access_token"
        let account = "vendor"
        private let state = Mutex<(Health.State, holdsToken: Bool)>((.ok, false))
        func set(_ new: Health.State, holdsToken: Bool) { state.withLock { $0 = (new, holdsToken) } }
        func health() async -> Health {
            let (state, holdsToken) = state.withLock { $0 }
            var health = Health(part: part, account: account, state: state)
            (health.holdsToken, health.expiresIn) = (holdsToken, .seconds(90))
            return health
        }
    }

    @Test func `a held token keeps the broker in rotation, and each change is logged once`() async {
        let (part, handler) = (ChangingPart(), InMemoryLogHandler())
        let endpoint = ReadinessEndpoint([part], logger: Logger(label: "test") { _ in handler })
        var levels: [Logger.Level] = []
        for (state, holdsToken, status, code, level) in [
            (.ok, false, "ok", 200, nil), (.failing, false, "ok", 200, nil), (.suspended, false, "ok", 200, nil),
            (.credentialsRefused, true, "degraded", 200, .error), (.credentialsUnavailable, true, "degraded", 200, nil),
            (.blocked, true, "degraded", 200, nil), (.blocked, false, "degraded", 200, nil),
            (.credentialsRefused, false, "not ready", 503, .error),
            (.credentialsUnavailable, false, "not ready", 503, nil), (.ok, true, "ok", 200, .notice),
        ] as [(Health.State, Bool, String, Int, Logger.Level?)] {
            part.set(state, holdsToken: holdsToken)
            if let level { levels.append(level) }
            for _ in 0..<3 {
                let far = await get(endpoint)
                #expect(far.head.status.code == code)
                #expect(String(decoding: far.body, as: UTF8.self) == #"{"status":"\#(status)"}"#)
                let near = String(decoding: await get(endpoint, peer: "127.0.0.1").body, as: UTF8.self)
                #expect(near.contains(#""reason":"\#(state)""#) == (status != "ok"))
            }
            #expect(handler.entries.map(\.level) == levels)
        }
    }

    @Test(arguments: [Health.State.failing, .suspended])
    func `a transient failure does not take the broker out of rotation`(
        state: Health.State
    ) async {
        #expect(await get(ReadinessEndpoint([Part(state: state)])).head.status == .ok)
    }

    @Test func `the details of readiness are in seconds`() async {
        let near = await get(ReadinessEndpoint([Part()]), peer: "::1")
        let part =
            #"{"account":"vendor","coolDown":7,"expiresIn":5,"lastFailure":{"ago":60,"code":"timedOut"},"lastSuccess":1.5,"#
            + #""part":"access_token","queued":8,"retryIn":6,"state":"ok"}"#
        #expect(String(decoding: near.body, as: UTF8.self) == #"{"parts":[\#(part)],"status":"ok"}"#)
    }
}

struct OpenModeTests {
    private func principal(_ authority: String?, peer: String?, _ fields: HTTPFields = [:]) async throws -> Principal? {
        let head = HTTPRequest(method: .post, scheme: "http", authority: authority, path: "/", headerFields: fields)
        return try await OpenModeAuthenticator().principal(
            in:
                EndpointRequest(head: head, peer: peer.flatMap { PeerAddress(ip: $0) })
        )
    }

    @Test func `open mode lets in only callers on this machine`() async throws {
        for (authority, peer) in [
            ("localhost:8080", "127.0.0.1"), ("127.0.0.1", "::1"), ("[::1]:80", "::ffff:127.0.0.1"),
        ] {
            #expect(try await principal(authority, peer: peer) != nil)
        }
        for (authority, peer) in [
            ("localhost", nil), ("localhost", "10.0.0.1"), ("shop.example", "127.0.0.1"), (nil, "127.0.0.1"),
            ("rebound.example:8080", "127.0.0.1"),
        ] as [(String?, String?)] {
            #expect(try await principal(authority, peer: peer) == nil)
        }
        for host in ["evil.com/.localhost", "a b.localhost", "[evil.localhost]", "localhost:x", "u@localhost", ""] {
            #expect(try await principal(host, peer: "127.0.0.1") == nil, "\(host)")
        }
        for name in [
            "Forwarded", "X-Forwarded-For", "x-forwarded-proto", "Via", "X-Forwarded", "X-Real-IP", "CF-Connecting-IP",
            "True-Client-IP", "X-Original-Host", "X-Original-URL", "X-Original-Forwarded-For", "X-Client-IP",
            "X-Cluster-Client-IP", "Fastly-Client-IP",
        ] {
            let field = try #require(HTTPField.Name(name))
            #expect(try await principal("localhost", peer: "127.0.0.1", [field: "x"]) == nil)
        }
    }
}

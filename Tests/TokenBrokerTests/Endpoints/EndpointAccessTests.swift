import FoundationEssentials
import HTTPTypes
import InMemoryLogging
import Logging
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

/// A provider that returns a token for every request and counts them.
private final class Counting: TokenProvider {
    let asked = Atomic(0)

    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        asked.wrappingAdd(1, ordering: .relaxed)
        return Token(id: Token.ID(rawValue: "id-1"), secret: Secret("sentinel.token"), remaining: .seconds(60))
    }
}

private let session = #"{"customerId": "cus_1", "invoiceId": "inv_1"}"#

/// Authenticates the subject that `X-Who` names.
private let who = ClosureAuthenticator { request in
    HTTPField.Name("X-Who").flatMap { request.head.headerFields[$0] }.map { Principal(subject: $0, tenant: "shop") }
}

private func endpoint(
    _ tokens: any TokenProvider = Counting(), authenticator: any Authenticator = who,
    allow: @escaping @Sendable (Principal, TokenRequest) async throws -> Bool = { _, _ in true },
    clock: any Clock<Duration> = ManualClock(), pseudonym: (@Sendable (Principal) -> String)? = nil,
    logger: Logger = Logger(label: "t") { _ in SwiftLogNoOpLogHandler() },
    limits: RequestLimits = .withoutQuotas
) -> CheckoutTokenEndpoint {
    CheckoutTokenEndpoint(
        tokens: tokens, authenticator: authenticator, policy: ClosurePolicy(binds: .session, allow),
        configuration: .init(
            environment: "demo", allowedOrigins: ["https://shop.example"], limits: limits, pseudonym: pseudonym),
        clock: clock, logger: logger)
}

private func limits(_ change: (inout RequestLimits) -> Void) -> RequestLimits {
    var limits = RequestLimits.withoutQuotas
    change(&limits)
    return limits
}

private func request(
    _ body: String = session, who: String? = "me", peer: String? = "203.0.113.5", method: HTTPRequest.Method = .post,
    fields: [String: String] = [:], host: String? = "pay.example"
) -> EndpointRequest {
    var head = HTTPRequest(
        method: method, scheme: "https", authority: host, path: "/api/checkout-token",
        headerFields: [.contentType: "application/json"]
    )
    for (name, value) in fields.merging(who.map { ["X-Who": $0] } ?? [:], uniquingKeysWith: { old, _ in old }) {
        if let name = HTTPField.Name(name) { head.headerFields.append(HTTPField(name: name, value: value)) }
    }
    return EndpointRequest(head: head, body: EndpointBody(Array(body.utf8)), peer: peer.flatMap { PeerAddress(ip: $0) })
}

private func code(_ response: EndpointResponse) -> String? {
    (try? JSONValue.parse(response.body))?["code"]?.string?.unicode
}

private struct Boom: Error {}

struct BrowserRuleTests {
    /// The arguments are the fields, whether the request is allowed with a cookie, and whether with a bearer token.
    @Test(
        arguments: [
            ([:], false, true),
            (["Sec-Fetch-Site": "same-origin"], true, true), (["Sec-Fetch-Site": "none"], true, true),
            (["Sec-Fetch-Site": "same-site"], false, false), (["Sec-Fetch-Site": "cross-site"], false, false),
            (["Sec-Fetch-Site": ""], false, false), (["Sec-Fetch-Site": "same-origin, cross-site"], false, false),
            (["Origin": "https://pay.example"], true, true), (["Origin": "http://pay.example"], true, true),
            (["Origin": "https://pay.example", "Sec-Fetch-Site": "same-origin"], true, true),
            // A page with the same host but without TLS belongs to another site.
            (["Origin": "http://pay.example", "Sec-Fetch-Site": "cross-site"], false, false),
            (["Origin": "https://shop.example", "Sec-Fetch-Site": "cross-site"], true, true),
            (["Origin": "https://shop.example", "Sec-Fetch-Site": "same-site"], true, true),
            (["Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"], false, false),
            (["Origin": "https://evil.example", "Sec-Fetch-Site": "same-site"], false, false),
            // No page can set `Sec-Fetch-Site`, so it counts although the public name differs from the name behind the
            // proxy.
            (["Origin": "https://public.example", "Sec-Fetch-Site": "same-origin"], true, true),
            (["Origin": "null", "Sec-Fetch-Site": "same-origin"], true, true),
            (["Origin": "null", "Sec-Fetch-Site": "cross-site"], false, false), (["Origin": "null"], false, false),
            (["Origin": "https://pay.example:443"], true, true), (["Origin": "https://PAY.example."], true, true),
            (["Origin": "http://pay.example:80"], true, true), (["Origin": "http://pay.example:443"], false, false),
            (["Origin": "ftp://pay.example"], false, false), (["Origin": "https://pay.example/"], false, false),
            (["Origin": "https://u@pay.example"], false, false), (["Origin": "pay.example"], false, false),
            (["Origin": ""], false, false), (["Origin": "https://pay.example, https://pay.example"], false, false),
            (["Origin": "https://pay.example.evil.example"], false, false),
            (["Origin": "https://pay.example:8443"], false, false),
        ] as [([String: String], Bool, Bool)])
    func `a request with a cookie has to come from the server's own or a listed page`(
        fields: [String: String], withCookie: Bool, withBearer: Bool
    ) async {
        for (proof, expected) in [
            (["Cookie": "session=1"], withCookie), (["Authorization": "Bearer x"], withBearer),
            (["Authorization": "Basic eDp5"], withCookie),
        ] {
            let tokens = Counting()
            let response = await endpoint(tokens).respond(to: request(fields: fields.merging(proof) { old, _ in old }))
            #expect(response.head.status == (expected ? .ok : .forbidden), "\(fields) \(proof)")
            #expect(tokens.asked.load(ordering: .relaxed) == (expected ? 1 : 0))
            let isListed = fields["Origin"] == "https://shop.example"
            #expect(
                response.head.headerFields[.accessControlAllowOrigin] == (isListed ? "https://shop.example" : nil))
            #expect(response.head.headerFields[.vary] == "Origin")
            #expect(response.head.headerFields[.cacheControl] == "no-store")
            #expect(response.head.headerFields[.xContentTypeOptions] == "nosniff")
        }
    }

    @Test func `repeated Origin or Sec-Fetch-Site fields are refused`() async throws {
        for name in ["Origin", "Sec-Fetch-Site"] {
            var twice = request(fields: [name: name == "Origin" ? "https://shop.example" : "same-origin"])
            let field = try #require(twice.head.headerFields.last { $0.name.canonicalName == name.lowercased() })
            twice.head.headerFields.append(field)
            #expect(await endpoint().respond(to: twice).head.status == .forbidden)
        }
    }

    @Test(arguments: [
        ("pay.example:443", "https://pay.example", true), ("pay.example:80", "http://pay.example", true),
        ("pay.example:443", "http://pay.example", false), ("pay.example:80", "https://pay.example", false),
        ("pay.example:8443", "https://pay.example:8443", true), ("pay.example:8443", "https://pay.example", false),
        ("PAY.Example.", "https://pay.example", true), ("[::1]:443", "https://[::1]", true),
        ("upstream", "https://pay.example", false), (nil, "https://pay.example", false),
    ])
    func `without Sec-Fetch-Site, a page is the server's own if host and port match`(
        host: String?, origin: String, isOwn: Bool
    ) async {
        let request = request(fields: ["Origin": origin, "Cookie": "a=b"], host: host)
        #expect(await endpoint().respond(to: request).head.status == (isOwn ? .ok : .forbidden))
    }

    /// By default, nginx's `proxy_pass` sends the upstream's name as `Host`.
    @Test func `a page behind a proxy is the server's own if its browser says so`() async {
        let request = request(
            fields: ["Origin": "https://pay.example", "Sec-Fetch-Site": "same-origin", "Cookie": "a=b"],
            host: "upstream")
        #expect(await endpoint().respond(to: request).head.status == .ok)
    }

    @Test(arguments: [
        (["X-Forwarded-Host": "pay.example"], true), (["X-Forwarded-Host": "evil.example, pay.example:443"], true),
        (["X-Forwarded-Host": "pay.example, evil.example"], false), (["X-Forwarded-Host": "pay.example,"], false),
        (["Forwarded": "for=192.0.2.1;host=pay.example"], true),
        (["Forwarded": "host=evil.example, for=192.0.2.1;HOST=\"pay.example:443\""], true),
        (["Forwarded": "host=pay.example, host=evil.example"], false), (["Forwarded": "host=\"pay.example"], false),
        (["Forwarded": "host=pay.example;host=pay.example"], false),
        (["Forwarded": "for=192.0.2.1", "X-Forwarded-Host": "pay.example"], true),
        (["Forwarded": "host=pay.example", "X-Forwarded-Host": "PAY.example."], true),
        (["Forwarded": "host=pay.example", "X-Forwarded-Host": "evil.example"], false),
        (["Forwarded": "host=evil.example", "X-Forwarded-Host": "pay.example"], false),
        (["X-Forwarded-Host": "pay.example/"], false), ([:], false),
    ])
    func `the requested host is taken from a listed proxy only`(fields: [String: String], isOwn: Bool) async {
        let fields = fields.merging(["Origin": "https://pay.example", "Cookie": "a=b"]) { $1 }
        let endpoint = endpoint(
            limits: limits { $0.trustedProxies = [IPAddressBlock("10.0.0.0/8")].compactMap(\.self) })
        let listed = await endpoint.respond(to: request(peer: "10.0.0.1", fields: fields, host: "upstream"))
        #expect(listed.head.status == (isOwn ? .ok : .forbidden))
        for peer in ["11.0.0.1", nil] {
            let unlisted = await endpoint.respond(to: request(peer: peer, fields: fields, host: "upstream"))
            #expect(unlisted.head.status == .forbidden)
        }
        // A forwarded host counts only from a listed proxy; otherwise the request's own host does.
        let other = fields.merging(["X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"]) { $1 }
        #expect(await endpoint.respond(to: request(peer: "11.0.0.1", fields: other)).head.status == .ok)
        #expect(await endpoint.respond(to: request(peer: "10.0.0.1", fields: other)).head.status == .forbidden)
    }

    @Test(arguments: [
        "", "evil.com/.localhost", "a b.localhost", "[evil.localhost]", "u@pay.example", "pay.example:x",
        "pay..example",
    ])
    func `an invalid host is a bad request`(host: String) async {
        let tokens = Counting()
        let response = await endpoint(tokens).respond(to: request(host: host))
        #expect(response.head.status == .badRequest)
        #expect(code(response) == "invalid_request")
        #expect(tokens.asked.load(ordering: .relaxed) == 0)
    }

    @Test func `a request without a host is answered`() async {
        #expect(await endpoint().respond(to: request(host: nil)).head.status == .ok)
    }

    @Test func `a preflight allows Sentry's and OpenTelemetry's tracing headers, and configured ones`() async {
        func allowed(_ names: [String]) async -> String? {
            let endpoint = CheckoutTokenEndpoint(
                tokens: Counting(),
                authenticator: ForwardedAuthenticator(
                    subject: HTTPField.Name("X-User") ?? .from, secretField: HTTPField.Name("X-Key") ?? .from,
                    secrets: nil), policy: ClosurePolicy(binds: .session) { _, _ in true },
                configuration: .init(
                    environment: "demo", allowedOrigins: ["https://shop.example"],
                    allowedHeaders: names.compactMap { HTTPField.Name($0) }),
                logger: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() })
            let response = await endpoint.respond(
                to: request("", who: nil, method: .options, fields: ["Origin": "https://shop.example"]))
            #expect(response.head.headerFields[.accessControlExposeHeaders] == "Retry-After, Date, X-Request-ID")
            return response.head.headerFields[.accessControlAllowHeaders]
        }
        let usual = "Authorization, Content-Type, baggage, sentry-trace, traceparent, tracestate"
        #expect(await allowed([]) == usual)
        #expect(
            await allowed(["X-CSRF-Token", "x-csrf-token", "content-type", "X-Shop"]) == usual
                + ", X-CSRF-Token, X-Shop")
        #expect(
            await allowed([
                "Forwarded", "X-Forwarded-For", "x-forwarded-host", "X-Real-IP", "Cookie", "Host", "Sec-Fetch-Site",
                "Proxy-Authorization",
                "Origin", "Connection", "Via", "X-User", "x-key", "X-Proxy-Secret", "Access-Control-Request-Method",
                "*",
            ]) == usual)
    }

    @Test func `a preflight response can be cached and varies with what it asks for`() async {
        let response = await endpoint().respond(
            to: request(
                "", who: nil, method: .options,
                fields: [
                    "Origin": "https://shop.example", "Access-Control-Request-Method": "POST",
                    "Sec-Fetch-Site": "cross-site",
                ])
        )
        #expect(response.head.status == .noContent)
        #expect(response.head.headerFields[.accessControlMaxAge] == "7200")
        #expect(
            Set(response.head.headerFields[values: .vary]) == [
                "Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers",
            ])
    }
}

struct EndpointQuotaTests {
    @Test func `a principal is stopped at its quota from whatever address`() async {
        let clock = ManualClock()
        let tokens = Counting()
        let endpoint = endpoint(
            tokens, clock: clock, limits: limits { $0.perPrincipal = Quota(perMinute: 30, burst: 2) })
        for index in 0..<2 {
            #expect(await endpoint.respond(to: request(peer: "203.0.113.\(index)")).head.status == .ok)
        }
        let refused = await endpoint.respond(to: request(peer: "203.0.113.9"))
        #expect(refused.head.status == .tooManyRequests)
        #expect(code(refused) == "too_many_requests")
        #expect(refused.head.headerFields[.retryAfter] == "2")
        #expect(await endpoint.respond(to: request(who: "another")).head.status == .ok)
        #expect(tokens.asked.load(ordering: .relaxed) == 3)
        clock.advance(by: .seconds(2))
        #expect(await endpoint.respond(to: request()).head.status == .ok)
    }

    @Test func `an address is stopped at its quota whoever the principal is`() async {
        let endpoint = endpoint(limits: limits { $0.perAddress = Quota(perMinute: 1, burst: 2) })
        func status(_ peer: String?, who: String) async -> Int {
            await endpoint.respond(to: request(who: who, peer: peer)).head.status.code
        }
        // An IPv6 client is a /64 prefix. An IPv4 address is the same client in each spelling.
        for (one, same, other) in [
            ("203.0.113.5", "::ffff:203.0.113.5", "203.0.113.6"),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::9", "2001:db8:0:2::1"),
        ] {
            #expect(await status(one, who: "a") == 200)
            #expect(await status(same, who: "b") == 200)
            #expect(await status(same, who: "c") == 429)
            #expect(await status(other, who: "c") == 200)
        }
        // Clients with unknown addresses share one quota.
        #expect(await [status(nil, who: "a"), status(nil, who: "b"), status("?", who: "c")] == [200, 200, 429])
    }

    @Test func `refused requests count against the quota`() async {
        let endpoint = endpoint(
            allow: { _, request in request.inputs[.invoice] == "inv_1" },
            limits: limits { $0.perPrincipal = Quota(perMinute: 1, burst: 3) }
        )
        for index in 2...4 {
            let body = #"{"customerId": "cus_1", "invoiceId": "inv_\#(index)"}"#
            #expect(await endpoint.respond(to: request(body)).head.status == .forbidden)
        }
        #expect(await endpoint.respond(to: request()).head.status == .tooManyRequests)
    }

    @Test func `replacements have a smaller quota`() async {
        let tokens = Counting()
        let limits = limits {
            $0.perPrincipal = Quota(perMinute: 1, burst: 5)
            $0.replacementsPerPrincipal = Quota(perMinute: 1, burst: 1)
        }
        let endpoint = endpoint(tokens, limits: limits)
        let replacing = #"{"customerId": "c", "invoiceId": "i", "replaces": "old"}"#
        #expect(await endpoint.respond(to: request(replacing)).head.status == .ok)
        #expect(await endpoint.respond(to: request(replacing)).head.status == .tooManyRequests)
        #expect(await endpoint.respond(to: request()).head.status == .ok)
        #expect(tokens.asked.load(ordering: .relaxed) == 2)
    }

    @Test func `the address's quota is checked before the body, and the principal's after it`() async {
        let byAddress = endpoint(limits: limits { $0.perAddress = Quota(perMinute: 1, burst: 1) })
        let byPrincipal = endpoint(limits: limits { $0.perPrincipal = Quota(perMinute: 1, burst: 1) })
        for endpoint in [byAddress, byPrincipal] { _ = await endpoint.respond(to: request()) }
        #expect(await byAddress.respond(to: request("nonsense")).head.status == .tooManyRequests)
        #expect(await byPrincipal.respond(to: request("nonsense")).head.status == .badRequest)
    }

    @Test func `failed authentications count against the address`() async {
        let asked = Atomic(0)
        let guessed = ClosureAuthenticator { _ in
            asked.wrappingAdd(1, ordering: .relaxed)
            return nil
        }
        let endpoint = endpoint(
            authenticator: guessed, limits: limits { $0.perAddress = Quota(perMinute: 1, burst: 3) })
        var statuses: [Int] = []
        for _ in 0..<6 { statuses.append(await endpoint.respond(to: request()).head.status.code) }
        #expect(statuses == [401, 401, 401, 429, 429, 429])
        #expect(asked.load(ordering: .relaxed) == 3)
        #expect(await endpoint.respond(to: request(peer: "203.0.113.6")).head.status == .unauthorized)
    }

    @Test func `requests that fail before the address is checked do not count against it`() async {
        let endpoint = endpoint(limits: limits { $0.perAddress = Quota(perMinute: 1, burst: 1) })
        for _ in 0..<5 {
            #expect(await endpoint.respond(to: request(method: .get)).head.status == .methodNotAllowed)
            #expect(
                await endpoint.respond(to: request(fields: ["Origin": "https://evil.example"])).head.status
                    == .forbidden)
        }
        #expect(await endpoint.respond(to: request()).head.status == .ok)
    }

    @Test func `the default quotas keep one visitor far below the vendor's limit`() {
        let limits = RequestLimits()
        // Five calls a second are 300 a minute.
        for quota in [limits.perAddress, limits.perPrincipal, limits.replacementsPerPrincipal] {
            #expect((quota?.perMinute ?? .max) <= 150)
            #expect((quota?.burst ?? .max) <= 50)
        }
    }

    @Test func `a proxy that is not listed causes one warning`() async {
        let handler = InMemoryLogHandler()
        let endpoint = endpoint(
            logger: Logger(label: "t") { _ in handler },
            limits: limits { $0.perAddress = Quota(perMinute: 1000, burst: 1000) }
        )
        for _ in 0..<3 {
            _ = await endpoint.respond(to: request(peer: "10.0.0.1", fields: ["X-Forwarded-For": "203.0.113.5"]))
        }
        #expect(handler.entries.filter { $0.level == .warning }.count == 1)
        #expect(!"\(handler.entries)".contains("203.0.113.5"))
    }
}

struct EndpointLimitTests {
    /// A policy that holds a request until the test releases it.
    private struct Held: AccessPolicy {
        let binds = AccessBinding.session
        let entered = AsyncStream.makeStream(of: Void.self)
        let released = AsyncStream.makeStream(of: Void.self)
        func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
            entered.continuation.yield()
            for await _ in released.stream { break }
            return true
        }
    }

    @Test func `requests beyond the concurrency limit are refused`() async throws {
        let policy = Held()
        var limits = RequestLimits.withoutQuotas
        limits.concurrentRequests = 1
        let endpoint = CheckoutTokenEndpoint(
            tokens: Counting(), authenticator: who, policy: policy,
            configuration: .init(environment: "demo", limits: limits), clock: ManualClock(),
            logger: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() })
        let first = Task { await endpoint.respond(to: request()) }
        for await _ in policy.entered.stream { break }
        let second = await endpoint.respond(to: request())
        #expect(second.head.status == .serviceUnavailable)
        #expect(code(second) == "vendor_busy")
        #expect(second.head.headerFields[.retryAfter] == "1")
        policy.released.continuation.finish()
        #expect(await first.value.head.status == .ok)
        #expect(await endpoint.respond(to: request()).head.status == .ok)
    }

    /// A body in chunks that reports each demand for the next chunk.
    private struct Chunks: AsyncSequence, AsyncIteratorProtocol, Sendable {
        let wanted: AsyncStream<Void>
        private let isWanted: AsyncStream<Void>.Continuation
        let chunks: AsyncStream<[UInt8]>
        let source: AsyncStream<[UInt8]>.Continuation

        init() {
            (wanted, isWanted) = AsyncStream.makeStream()
            (chunks, source) = AsyncStream.makeStream()
        }

        func makeAsyncIterator() -> Chunks { self }
        func next() async -> [UInt8]? {
            isWanted.yield()
            for await chunk in chunks { return chunk }
            return nil
        }

        /// Sends the chunks and waits until they are taken.
        func send(_ chunks: [[UInt8]]) async {
            for chunk in chunks { source.yield(chunk) }
            var left = chunks.count + 1
            for await _ in wanted {
                left -= 1
                if left == 0 { break }
            }
        }
    }

    /// A body fails long before the timeout of 8 s if it stalls for 3 s, or if it then arrives at less than 1 KiB/s.
    @Test(arguments: [(0, 3), (1, 3), (2048, 5)])
    func `a body that arrives below the minimum pace is refused`(count: Int, seconds: Int) async throws {
        let clock = ManualClock()
        let body = Chunks()
        var slow = request()
        slow.body = EndpointBody(body)
        let answer = Task { [slow] in await endpoint(clock: clock).respond(to: slow) }
        await body.send(count == 0 ? [] : [[UInt8](repeating: 32, count: count)])
        clock.advance(by: .seconds(seconds))
        #expect(code(await answer.value) == "too_slow")
    }

    @Test func `a body that arrives steadily may take longer`() async {
        let clock = ManualClock()
        let body = Chunks()
        var steady = request()
        steady.body = EndpointBody(body)
        let answer = Task { [steady] in await endpoint(clock: clock).respond(to: steady) }
        await body.send([Array(session.utf8), [UInt8](repeating: 32, count: 10_000)])
        await clock.sleepers(1)
        clock.advance(by: .seconds(5))
        // The alarm that was due has been handled.
        await clock.sleepers(1)
        body.source.finish()
        #expect(await answer.value.head.status == .ok)
    }

    /// Invalid ids as JSON escapes, and the scalars that an id must not contain anywhere.
    private static let noIDs: [String] = {
        let scalars = [
            // Controls, formatting, separators.
            "0000", "001f", "007f", "0085", "00ad", "061c", "200b", "200d", "200e", "202e", "2028", "2029", "2066",
            "feff",
            // Default ignorable: fillers, joiners, variation selectors, tags.
            "034f", "115f", "17b4", "180b", "2065", "3164", "fe00", "fe0f", "ffa0", "fff0", #"db40\udc20"#,
            #"db40\udd00"#,
            // Noncharacters, private use, unassigned.
            "fdd0", "ffff", "fffe", #"d83f\udfff"#, "e000", "f8ff", #"db80\udc00"#, #"dbff\udffd"#, "0378",
            #"da00\udc00"#,
        ]
        let inside = scalars.flatMap { ["\\u\($0)", "cus_\\u\($0)1", "\\u\($0)cus_1", "cus_1\\u\($0)"] }
        let spaces = ["0020", "0009", "00a0", "2003", "3000", "1680"].flatMap {
            ["\\u\($0)x", "x\\u\($0)", "\\u\($0)"]
        }
        let dots = [
            ".", "..", "../x", "x/..", "./x", "x/.", "../customers/cus_2", #"a\\..\\b"#, #"x/.\\y"#, "a//..",
            // A combining mark or a prepended letter beside the slash or the dots does not hide them.
            #"x\u0d4e/../inv_2"#, #"../\u0301x"#, #"a/../\u0308b"#, #"\u0600/../x"#, #"..\\\u20ddx"#, #"x/..\\"#,
        ]
        return inside + spaces + dots + ["", #"\ud800"#, String(repeating: "x", count: 256)]
    }()

    @Test(arguments: noIDs) func `an id has to be visible text that stays the same in a path`(id: String) async {
        for body in [
            #"{"customerId": "\#(id)", "invoiceId": "i"}"#, #"{"customer_id": "c", "invoice_id": "\#(id)"}"#,
        ] { #expect(code(await endpoint().respond(to: request(body))) == "invalid_request", "\(body)") }
    }

    @Test(arguments: [
        #"{"customerId": "c", "invoiceId": "i", "replaces": "a\nb"}"#,
        #"{"customerId": "c", "invoiceId": "i", "x": {"a": 1, "\u0061": 2}}"#,
    ])
    func `a body with duplicate members or an invalid replaces is refused`(body: String) async {
        #expect(code(await endpoint().respond(to: request(body))) == "invalid_request", "\(body)")
    }

    @Test func `an id has up to 255 Unicode scalars, however they combine into characters`() async {
        for (id, isID) in [
            (String(repeating: "e\u{301}", count: 127) + "e", true), (String(repeating: "e\u{301}", count: 128), false),
            (String(repeating: "😀", count: 255), true), (String(repeating: "😀", count: 256), false),
        ] {
            let body: JSONValue = ["customerId": "c", "invoiceId": .string(id)]
            let response = await endpoint().respond(to: request(String(decoding: body.serialized, as: UTF8.self)))
            #expect((response.head.status == .ok) == isID)
        }
    }

    @Test func `a body with invalid UTF-8 is refused`() async {
        var broken = request()
        broken.body = EndpointBody(
            Array(#"{"customerId": "c"#.utf8) + [0xFF, 0xFE] + Array(#"", "invoiceId": "i"}"#.utf8))
        #expect(code(await endpoint().respond(to: broken)) == "invalid_request")
    }

    @Test func `ids in the style of other vendors are accepted`() async {
        for id in [
            "cus_1", "gid://shop/Invoice/1", "a b", "ä", "中", "1.2.3", "...", "INV-2026/0007", "a%2Fb", "e\u{301}",
            "\u{E9}", "a..b", "中 文", "٣", "हिन्दी", "..a/b..",
        ] {
            let body: JSONValue = ["customerId": .string(id), "invoiceId": .string(id)]
            let text = String(decoding: body.serialized, as: UTF8.self)
            #expect(await endpoint().respond(to: request(text)).head.status == .ok, "\(id)")
        }
    }
}

struct FailClosedTests {
    /// An authenticator and policy that ignores cancellation.
    private struct Stubborn: Authenticator, AccessPolicy {
        let binds = AccessBinding.session
        let isPolicy: Bool
        let entered = AsyncStream.makeStream(of: Void.self)
        let released = AsyncStream.makeStream(of: Void.self)
        private func hold() async {
            entered.continuation.yield()
            await Task { for await _ in released.stream {} }.value
        }
        func authenticate(_ request: EndpointRequest) async throws -> Principal? {
            if !isPolicy { await hold() }
            return Principal(subject: "me")
        }
        func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
            if isPolicy { await hold() }
            return true
        }
    }

    /// A part that takes too long is a refusal at the timeout, even if it would allow the request later and ignores
    /// cancellation.
    @Test(arguments: [false, true])
    func `an authenticator or policy that exceeds the timeout gives no token, not even later`(
        isPolicy: Bool
    ) async throws {
        let clock = ManualClock()
        let tokens = Counting()
        let part = Stubborn(isPolicy: isPolicy)
        var limits = RequestLimits.withoutQuotas
        limits.concurrentRequests = 1
        let handler = InMemoryLogHandler()
        let endpoint = CheckoutTokenEndpoint(
            tokens: tokens, authenticator: part, policy: part,
            configuration: .init(environment: "demo", limits: limits), clock: clock,
            logger: Logger(label: "t") { _ in handler })
        let answer = Task { await endpoint.respond(to: request()) }
        for await _ in part.entered.stream { break }
        await clock.sleepers(1)
        clock.advance(by: .seconds(8))
        let response = await answer.value
        #expect(response.head.status == .serviceUnavailable)
        #expect(code(response) == "access_unavailable")
        let reason = isPolicy ? "policy_timed_out" : "authenticator_timed_out"
        #expect(handler.entries.contains { $0.metadata["reason"] == "\(reason)" })
        // The stuck call still occupies its slot, so that such calls cannot pile up.
        #expect(await endpoint.respond(to: request()).head.status == .serviceUnavailable)
        part.released.continuation.finish()
        try await waitUntil { await endpoint.respond(to: request()).head.status != .serviceUnavailable }
        // The late approval did not lead to a token. The one call is from the request above.
        #expect(tokens.asked.load(ordering: .relaxed) == 1)
    }

    @Test func `a failing authenticator or policy is answered with 503, a Retry-After and no details`() async throws {
        for _ in 0..<20 {
            for failing in [
                endpoint(authenticator: ClosureAuthenticator { _ in throw Boom() }),
                endpoint(
                    authenticator: ClosureAuthenticator { _ in throw TokenError(.unavailable, message: "inside") }),
                endpoint(allow: { _, _ in throw Boom() }), endpoint(allow: { _, _ in throw TransportError(.connect) }),
                endpoint(allow: { _, _ in throw CancellationError() }),
            ] {
                let tokens = Counting()
                let response = await failing.respond(to: request())
                #expect(response.head.status == .serviceUnavailable)
                #expect(code(response) == "access_unavailable")
                #expect(response.head.headerFields[.wwwAuthenticate] == nil)
                let pause = try #require(response.head.headerFields[.retryAfter].flatMap { Int($0) })
                #expect((1...5).contains(pause))
                #expect(!String(decoding: response.body, as: UTF8.self).contains("Boom"))
                #expect(tokens.asked.load(ordering: .relaxed) == 0)
            }
        }
    }

    @Test func `callers are told to retry after different pauses`() async {
        var pauses: Set<String?> = []
        let failing = endpoint(authenticator: ClosureAuthenticator { _ in throw Boom() })
        for _ in 0..<200 { pauses.insert(await failing.respond(to: request()).head.headerFields[.retryAfter]) }
        #expect(pauses.count > 1)
    }

    @Test(arguments: [
        (TokenError.Code.throttled, "vendor_busy"), (.unavailable, "vendor_unavailable"),
        (.timedOut, "vendor_unavailable"),
        (.misconfigured, "misconfigured"), (.credentialsRejected, "misconfigured"), (.requestRejected, "forbidden"),
    ])
    func `a vendor failure in a policy is answered like one for a token`(_ error: TokenError.Code, _ expected: String)
        async
    {
        let failing = endpoint(allow: { _, _ in throw TokenError(error, message: "inside") })
        #expect(code(await failing.respond(to: request())) == expected)
        let broken = ClosurePolicy(binds: .session) { _, _ in throw TokenError(error, message: "inside") }
        let no = ClosurePolicy(binds: .session) { _, _ in false }
        for policy in [AnyOf([no, broken]).caching(for: .zero), AllOf([broken]).caching(for: .zero)]
            as [any AccessPolicy]
        {
            let endpoint = CheckoutTokenEndpoint(
                tokens: Counting(), authenticator: who, policy: policy,
                configuration: .init(environment: "demo", limits: .withoutQuotas),
                logger: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() })
            #expect(code(await endpoint.respond(to: request())) == expected)
        }
    }

    @Test func `an authenticator's no is a 401, and a policy's no a 403`() async {
        let none = await endpoint(authenticator: ClosureAuthenticator { _ in nil }).respond(to: request())
        #expect(none.head.status == .unauthorized)
        #expect(none.head.headerFields[.wwwAuthenticate] == "Bearer")
        #expect(await endpoint(allow: { _, _ in false }).respond(to: request()).head.status == .forbidden)
    }
}

struct AuditTests {
    private func events(
        _ request: EndpointRequest, _ tokens: any TokenProvider = Counting(),
        pseudonym: (@Sendable (Principal) -> String)? = nil,
        authenticator: any Authenticator = who,
        allow: @escaping @Sendable (Principal, TokenRequest) async throws -> Bool = { _, _ in true }
    ) async -> [InMemoryLogHandler.Entry] {
        let handler = InMemoryLogHandler()
        var logger = Logger(label: "t") { _ in handler }
        logger.logLevel = .trace
        _ = await endpoint(tokens, authenticator: authenticator, allow: allow, pseudonym: pseudonym, logger: logger)
            .respond(to: request)
        return handler.entries
    }

    @Test func `a token that is given out is one audit event`() async throws {
        let body = #"{"customerId": "cus 1 outcome=refused", "invoiceId": "inv_1", "replaces": "old"}"#
        let events = await events(
            request(body, fields: ["Authorization": "Bearer sentinel"]), pseudonym: { "\($0.subject.utf8.count)" })
        let event = try #require(events.first)
        #expect(events.count == 1)
        #expect(event.message.description == "checkout token given")
        #expect(event.level == .info)
        var metadata = event.metadata
        #expect(metadata.removeValue(forKey: "request")?.description.count == 16)
        #expect(
            metadata == [
                "outcome": "given", "reason": "allowed", "status": "200", "principal": "2", "token": "id-1",
                "customer": "cus%201%20outcome%3Drefused", "invoice": "inv_1", "replaces": "true",
            ])
    }

    @Test func `a refusal is one audit event with its reason`() async throws {
        let cases: [(EndpointRequest, String, Logger.Level, [InMemoryLogHandler.Entry])] = [
            (request(who: nil), "no_proof", .info, await events(request(who: nil))),
            (
                request(), "authenticator_failed", .error,
                await events(request(), authenticator: ClosureAuthenticator { _ in throw Boom() })
            ),
            (request("x"), "body", .info, await events(request("x"))),
            (request(), "policy", .info, await events(request(), allow: { _, _ in false })),
            (request(), "policy_failed", .error, await events(request(), allow: { _, _ in throw Boom() })),
            (request(), "no_token", .error, await events(request(), ScriptedTokenProvider())),
            (
                request(fields: ["Origin": "https://evil.example"]), "origin", .info,
                await events(request(fields: ["Origin": "https://evil.example"]))
            ),
            (
                request(fields: ["Cookie": "a=b"]), "origin_unknown", .info,
                await events(request(fields: ["Cookie": "a=b"]))
            ),
            (request(method: .get), "method", .info, await events(request(method: .get))),
        ]
        for (_, reason, level, events) in cases {
            #expect(events.count == 1, "\(reason)")
            let event = try #require(events.first)
            #expect(event.message.description == "checkout token refused")
            #expect(event.metadata["outcome"] == "refused")
            #expect(event.metadata["reason"] == "\(reason)")
            #expect(event.level == level)
            #expect(event.metadata["code"] != nil)
            #expect(
                (event.metadata["principal"] != nil) == reason.hasPrefix("policy") || reason == "body"
                    || reason == "no_token")
            #expect(event.metadata["incident"] != nil || reason != "no_token")
            #expect(event.metadata["origin"] == (reason == "origin" ? "https://evil.example" : nil))
            #expect(event.metadata["host"] == (reason.hasPrefix("origin") ? "pay.example" : nil))
        }
    }

    @Test(arguments: [
        ("https://Evil.example:443", "https://evil.example:443"), ("null", "null"),
        ("https://evil.example/sentinel", "malformed"),
        ("https://sentinel@evil.example", "malformed"), ("sentinel", "malformed"), ("", "malformed"),
        ("chrome-extension://abc", "chrome-extension://abc"), ("https://evil.example\tsentinel", "malformed"),
    ])
    func `an origin is logged as scheme, host and port only`(origin: String, told: String) async throws {
        let event = try #require(await events(request(fields: ["Origin": origin], host: "PAY.example:8443")).first)
        #expect(event.metadata["reason"] == "origin")
        #expect(event.metadata["origin"] == "\(told)")
        #expect(event.metadata["host"] == "pay.example:8443")
        #expect(!"\(event.metadata)".contains("sentinel"))
    }

    @Test func `a principal can be recognized in the log but not identified`() async throws {
        let first = try #require(await events(request(who: "alice@example")).first?.metadata["principal"])
        let again = try #require(await events(request(who: "alice@example")).first?.metadata["principal"])
        let other = try #require(await events(request(who: "bob@example")).first?.metadata["principal"])
        #expect(first == again)
        #expect(first != other)
        #expect("\(first)".count == 16)
    }
}

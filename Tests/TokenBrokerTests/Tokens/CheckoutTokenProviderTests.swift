import Foundation
import HTTPTypes
import Synchronization
import Testing
import TokenBroker
import TokenBrokerTesting

private final class AccessTokens: TokenProvider {
    private let asked = Mutex<[(TokenRequest, TokenDemand)]>([])
    let credential = Lineage()

    var requests: [TokenRequest] { asked.withLock { $0.map(\.0) } }
    var demands: [TokenDemand] { asked.withLock { $0.map(\.1) } }

    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        let number = asked.withLock { asked in
            asked.append((request, demand))
            return asked.count
        }
        return Token(
            id: Token.ID(rawValue: "access \(number)"), secret: Secret("access-\(number)"), remaining: .seconds(100),
            lineage: Lineage(descendingFrom: credential)
        )
    }
}

/// Returns an unsigned token; the broker cannot verify signatures anyway.
func jwt(_ claims: String) -> String {
    func part(_ text: String) -> String {
        Data(text.utf8).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing(
            "=", with: "")
    }
    return "\(part(#"{"alg":"none"}"#)).\(part(claims)).sig"
}

struct CheckoutTokenProviderTests {
    private static let now = 1_800_000_000.0
    private let access = AccessTokens()
    private let request = TokenRequest(tenant: "shop", customer: "cus_1", invoice: "inv_1")

    private func claims(_ customer: String = "cus_1", _ invoice: String = "inv_1", exp: Double? = now + 900) -> String {
        let end = exp.map { #", "exp": \#($0)"# } ?? ""
        return #"{"customer_id": "\#(customer)", "invoice_id": "\#(invoice)"\#(end)}"#
    }

    private let clock = ManualClock()

    private func provider(
        _ transport: any HTTPTransport, _ profile: VendorProfile = .alternativePayments,
        accessTokens: (any TokenProvider)? = nil
    ) throws -> CheckoutTokenProvider {
        CheckoutTokenProvider(
            vendor: try testVendor(profile), accessTokens: accessTokens ?? access, transport: transport, clock: clock,
            wallClock: { Date(timeIntervalSince1970: Self.now) }
        )
    }

    private func ok(_ token: String? = nil) -> ScriptedTransport.Step {
        .respond(.ok, #"{"token": "\#(token ?? jwt(claims()))"}"#)
    }

    @Test func `the checkout request names the session and carries the access token`() async throws {
        let transport = ScriptedTransport([ok()])
        let token = try await provider(transport).token(for: request)
        let sent = try #require(transport.sent.first)
        #expect(sent.request.path == "/v1/checkout-auth/init")
        #expect(sent.request.headerFields[.authorization] == "Bearer access-1")
        #expect(String(decoding: sent.body, as: UTF8.self) == #"{"customer_id":"cus_1","invoice_id":"inv_1"}"#)
        #expect(access.requests == [TokenRequest(tenant: "shop")])
        #expect(token.secret == Secret(jwt(claims())))
        #expect(token.remaining == .seconds(900))
    }

    @Test func `a missing path is skipped and the working one remembered`() async throws {
        let transport = ScriptedTransport([.respond(.notFound, "404 page not found"), ok(), ok()])
        let provider = try provider(transport)
        _ = try await provider.token(for: request)
        _ = try await provider.token(for: request)
        #expect(
            transport.sent.map(\.request.path) == [
                "/v1/checkout-auth/init", "/checkout-auth/init", "/checkout-auth/init",
            ]
        )
    }

    @Test func `a remembered path that disappears is looked for again`() async throws {
        let transport = ScriptedTransport([.respond(.notFound), ok(), .respond(.notFound), ok()])
        let provider = try provider(transport)
        _ = try await provider.token(for: request)
        _ = try await provider.token(for: request)
        #expect(transport.sent.last?.request.path == "/v1/checkout-auth/init")
    }

    @Test func `a 404 in the vendor's own format is about the session`() async throws {
        let transport = ScriptedTransport([.respond(.notFound, #"{"code": "not_found", "message": "no such invoice"}"#)]
        )
        let provider = try provider(transport)
        #expect(await code { try await provider.token(for: request) } == .requestRejected)
        #expect(transport.sent.count == 1)
    }

    @Test func `a vendor without any of the paths is a misconfiguration`() async throws {
        let provider = try provider(ScriptedTransport([.respond(.notFound), .respond(.notFound, "<html>")]))
        #expect(await code { try await provider.token(for: request) } == .misconfigured)
    }

    @Test func `a 401 to a checkout request renews the access token once`() async throws {
        let transport = ScriptedTransport([.respond(.unauthorized), ok()])
        let provider = try provider(transport)
        _ = try await provider.token(for: request)
        #expect(access.demands.map(\.replacing) == [nil, Token.ID(rawValue: "access 1")])
        #expect(transport.sent.last?.request.headerFields[.authorization] == "Bearer access-2")
    }

    @Test func `a second 401 to a checkout request is final`() async throws {
        let transport = ScriptedTransport([.refuse(.unauthorized), .refuse(.unauthorized)])
        let provider = try provider(transport)
        #expect(await code { try await provider.token(for: request) } == .credentialsRejected)
        #expect(transport.sent.count == 2)
    }

    @Test(arguments: [
        (400, TokenError.Code.requestRejected), (403, .credentialsRejected), (422, .requestRejected), (429, .throttled),
        (500, .unavailable), (503, .unavailable), (302, .unavailable),
    ])
    func `each status of a checkout response has the meaning that the profile gives it`(
        status: Int, expected: TokenError.Code
    ) async throws {
        let transport = ScriptedTransport([.refuse(.init(code: status))])
        let provider = try provider(transport)
        #expect(await code { try await provider.token(for: request) } == expected)
        #expect(transport.sent.count == 1)
    }

    @Test func `a token for another session is not handed out`() async throws {
        for token in [
            jwt(claims("cus_2")), jwt(claims("cus_1", "inv_2")), jwt("{}"), jwt("[]"), "opaque", "a.b.c", "..", "",
        ] {
            let provider = try provider(ScriptedTransport([ok(token)]))
            #expect(await code { try await provider.token(for: request) } == .unavailable, "\(token)")
        }
    }

    @Test func `a checkout token may have either member name`() async throws {
        let transport = ScriptedTransport([.respond(.ok, #"{"access_token": "\#(jwt(claims()))"}"#)])
        #expect(try await provider(transport).token(for: request).secret == Secret(jwt(claims())))
    }

    @Test(arguments: [
        ("\"2027-01-15T08:10:00Z\"", 600.0), ("\"2027-01-15T08:10:00.5Z\"", 600.5),
        ("\"2027-01-15T09:10:00+01:00\"", 600),
        ("\"2027-01-15T08:10:00\"", 600), ("\"2027-01-15 08:10:00\"", 600), ("1800000600", 600), ("1800000600000", 600),
        ("\"1800000600\"", 600), ("\"1800000600000\"", 600),
        // If the stated expiry is unreadable, null or past, the token's own applies.
        ("\"tomorrow\"", 900), ("null", 900), ("1799999999", 900), ("\"2020-01-01T00:00:00Z\"", 900), ("{}", 900),
        ("-1", 900),
        ("\"2027-02-30T00:00:00Z\"", 900), ("1e300", 900),
    ])
    func `a checkout token's expiry is read in any form`(text: String, seconds: Double) async throws {
        let transport = ScriptedTransport([.respond(.ok, #"{"token": "\#(jwt(claims()))", "expires_at": \#(text)}"#)])
        let token = try await provider(transport).token(for: request)
        #expect(abs(token.remaining / .seconds(1) - seconds) < 0.001)
    }

    @Test func `a checkout token that has already expired is a failure`() async throws {
        let provider = try provider(ScriptedTransport([ok(jwt(claims(exp: Self.now - 1)))]))
        #expect(await code { try await provider.token(for: request) } == .unavailable)
    }

    @Test func `a checkout token without an expiry has the profile's lifetime`() async throws {
        let provider = try provider(ScriptedTransport([ok(jwt(claims(exp: nil)))]))
        #expect(try await provider.token(for: request).remaining == .seconds(300))
    }

    @Test func `a checkout token ends with its access token only if the vendor ties them`() async throws {
        var tied = VendorProfile.alternativePayments
        tied.checkoutToken.endsWithAccessToken = true
        let free = try await provider(ScriptedTransport([ok()])).token(for: request)
        let bound = try await provider(ScriptedTransport([ok()]), tied).token(for: request)
        #expect(free.remaining == .seconds(900))
        #expect(bound.remaining == .seconds(100))
        access.credential.supersede()
        #expect(free.lineage.state == .superseded)
        #expect(bound.lineage.state == .superseded)
    }

    @Test func `a thousand sessions share one access token`() async throws {
        let transport = InMemoryTransport { request, body in
            let session = try JSONDecoder().decode([String: String].self, from: Data(body))
            let token = jwt(claims("cus_1", session["invoice_id"] ?? ""))
            return TransportResponse(head: HTTPResponse(status: .ok), body: Array(#"{"token": "\#(token)"}"#.utf8))
        }
        let provider = CheckoutTokenProvider(
            vendor: try testVendor(), accessTokens: access.caching(), transport: transport,
            wallClock: { Date(timeIntervalSince1970: Self.now) }
        ).caching()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<1000 {
                group.addTask {
                    let request = TokenRequest(tenant: "shop", customer: "cus_1", invoice: "inv_\(index)")
                    let token = try await provider.token(for: request)
                    #expect(UnverifiedJWT(token.secret.reveal())?.claims["invoice_id"] == .string("inv_\(index)"))
                }
            }
            try await group.waitForAll()
        }
        #expect(access.requests.count == 1)
    }
}

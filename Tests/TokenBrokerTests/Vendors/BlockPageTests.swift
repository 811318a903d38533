import Foundation
import HTTPTypes
import InMemoryLogging
import Logging
import Testing
import TestSupport
import TokenBroker
import TokenBrokerTesting

/// Tests of 4xx responses that are not the vendor's own: pages of firewalls, gateways and content delivery networks in
/// front of it.
struct BlockPageTests {
    /// Responses of servers in front of a vendor.
    static let pages: [(status: Int, body: String)] = [
        (400, "<html>400 Bad Request</html>"), (401, "<html>"), (403, "<!doctype html><h1>Access denied</h1>"),
        (404, "404 page not found"), (403, ""), (401, ""), (403, "RBAC: access denied"), (409, "<html>"),
        (451, "<html>"),
        (403, #"{"message": "Forbidden"}"#), (401, #"{"message": "Unauthorized"}"#),
        (401, #"{"error": "Unauthorized"}"#),
        (403, #"{"error": "forbidden"}"#), (403, #"{"message": "no API key", "request_id": "1"}"#),
        (403, #"{"title": "Error 1020", "status": 403, "detail": "Access denied", "cloudflare_error": true}"#),
        (403, #"{"code": 403, "message": "Forbidden"}"#), (403, #"{"code": "x"}"#), (400, #"{"errors": []}"#),
        (403, #"{"error": {"status": 403}}"#), (400, #"{"error": ["invalid_client"]}"#),
        (400, #"{"validation_errors": {}}"#),
        (403, #"{"code": "forbidden", "mess"#), (403, #"[{"code": "forbidden", "message": "no"}]"#), (403, "null"),
        (400, #"{"error": null}"#), (400, #"{"error": ""}"#), (401, #""invalid_client""#),
    ]

    private let clock = ManualClock()
    private let vendor: ScriptedTransport
    private let handler = InMemoryLogHandler()

    init() { vendor = ScriptedTransport([], clock: clock) }

    private func access(_ credentials: any CredentialSource = ChangingCredentials(), logged: Bool = false) throws
        -> ClientCredentialsProvider
    {
        ClientCredentialsProvider(
            vendor: try testVendor(), credentials: credentials, transport: vendor, clock: clock,
            logger: logged ? Logger(label: "test") { _ in handler } : nil)
    }

    private func checkout(logged: Bool = false) throws -> CheckoutTokenProvider {
        CheckoutTokenProvider(
            vendor: try testVendor(),
            accessTokens: ScriptedTokenProvider(otherwise: .token("access", remaining: .seconds(1000))),
            transport: vendor, clock: clock,
            logger: logged ? Logger(label: "test") { _ in handler } : nil)
    }

    private func session(_ invoice: Int = 0) -> TokenRequest { TokenRequest(customer: "c", invoice: "\(invoice)") }

    private func page(_ status: Int, _ body: String) -> ScriptedTransport.Step { .respond(.init(code: status), body) }

    private func error(_ body: () async throws -> Token) async throws -> TokenError {
        do {
            _ = try await body()
        } catch {
            return try #require(error as? TokenError)
        }
        throw TokenError(.cancelled, message: "there was no error")
    }

    @Test(arguments: pages)
    func `a block page does not count as the vendor's answer, in any step`(status: Int, body: String) async throws {
        let credentials = ChangingCredentials()
        let pair = { Credential(clientID: Secret($0), clientSecret: Secret("s")) }
        credentials.set(.success([pair("one"), pair("two")]))
        let access = try access(credentials)
        vendor.then(page(status, body))
        let first = try await error { try await access.token(for: TokenRequest()) }
        #expect(first.code == .unavailable && first.isForeign)
        #expect(await access.health().isReady)
        // The other credential would fail as well, and a block page that goes away has no lasting effect.
        #expect(vendor.sent.count == 1)
        vendor.then(.respond(.ok, #"{"access_token": "t"}"#))
        _ = try await access.token(for: TokenRequest())

        let checkout = try checkout()
        // A 401 leads to one renewal, and a 404 to the other path.
        for _ in 0..<(status == 401 ? 2 : 1) { vendor.then(page(status, body)) }
        if status == 404 {
            vendor.then(page(403, "<html>"))
        }
        let second = try await error { try await checkout.token(for: session()) }
        #expect(second.code == .unavailable && second.isForeign)
        #expect(await checkout.health().state == .failing)
        let policy = try #require(
            VendorInvoicePolicy(
                vendor: try testVendor(),
                accessTokens: ScriptedTokenProvider(otherwise: .token("access", remaining: .seconds(1000))),
                transport: vendor, clock: clock))
        for _ in 0..<(status == 401 ? 2 : 1) { vendor.then(page(status, body)) }
        let principal = Principal(subject: "a")
        #expect(await code { try await policy.says(principal, for: session()) } == .unavailable)
        #expect(vendor.remainingSteps == 0)
    }

    @Test(arguments: [
        #"{"code": "forbidden", "message": "no"}"#, #"{"code": "x", "message": "", "validation_errors": {"a": "b"}}"#,
        #"{"error": {"message": "no"}}"#, #"{"errors": [{"detail": "no"}]}"#, #"{"errors": ["no"], "data": null}"#,
    ])
    func `errors in the shapes that the profile names count as the vendor's own`(body: String) async throws {
        vendor.then(page(403, body))
        #expect(try await error { try await access().token(for: TokenRequest()) }.code == .credentialsRejected)
        vendor.then(page(404, body))
        #expect(try await error { try await checkout().token(for: session()) }.code == .requestRejected)
        vendor.then(page(403, body))
        #expect(try await error { try await checkout().token(for: session()) }.code == .credentialsRejected)
    }

    @Test(arguments: [
        ("invalid_client", TokenError.Code.credentialsRejected), ("unauthorized_client", .credentialsRejected),
        ("invalid_grant", .credentialsRejected), ("invalid_scope", .misconfigured),
        ("unsupported_grant_type", .misconfigured), ("invalid_request", .misconfigured),
        ("temporarily_unavailable", .unavailable), ("server_error", .unavailable),
    ])
    func `an RFC 6749 error code takes precedence over the status of a 4xx`(
        text: String, expected: TokenError.Code
    ) async throws {
        for status in [400, 401, 403, 404, 409, 422] {
            for rest in ["", #", "error_description": "own words""#, #", "code": "x", "message": "y""#] {
                vendor.then(page(status, #"{"error": "\#(text)"\#(rest)}"#))
                let error = try await error { try await access().token(for: TokenRequest()) }
                #expect(error.code == expected && !error.isForeign)
                #expect(!"\(error)".contains("own words"))
            }
        }
        for (status, meaning) in [(429, TokenError.Code.throttled), (500, .unavailable), (503, .unavailable)] {
            vendor.then(page(status, #"{"error": "\#(text)"}"#))
            #expect(try await error { try await access().token(for: TokenRequest()) }.code == meaning)
        }
        // At step 2, which is not an OAuth issuer, the code has no meaning.
        vendor.then(page(400, #"{"error": "\#(text)"}"#))
        #expect(try await error { try await checkout().token(for: session()) }.isForeign)
    }

    @Test(arguments: [
        (#"{"error": "access_denied", "error_description": ""}"#, 401, TokenError.Code.credentialsRejected),
        (#"{"error": "unauthorized", "error_description": "Bad credentials"}"#, 401, .credentialsRejected),
        (#"{"error": "account_locked", "error_description": "x"}"#, 400, .misconfigured),
        (#"{"error": "slow_down", "error_description": "x"}"#, 409, .unavailable),
    ])
    func `an extension's error code is the issuer's own, and the status decides its meaning`(
        body: String, status: Int, expected: TokenError.Code
    ) async throws {
        vendor.then(page(status, body))
        let error = try await error { try await access().token(for: TokenRequest()) }
        #expect(error.code == expected && !error.isForeign)
    }

    @Test func `an invalid_client error makes the second credential be tried at once`() async throws {
        let credentials = ChangingCredentials()
        let pair = { Credential(clientID: Secret($0), clientSecret: Secret("s")) }
        credentials.set(.success([pair("one"), pair("two")]))
        vendor.then(page(400, #"{"error": "invalid_client"}"#))
        vendor.then(.respond(.ok, #"{"access_token": "t"}"#))
        _ = try await access(credentials).token(for: TokenRequest())
        #expect(vendor.sent.count == 2)
    }

    @Test(arguments: ["<html>", "", #"{"message": "Too many"}"#, #"{"code": "x", "message": "y"}"#, "[]"])
    func `a 429 is throttling whatever its body`(body: String) async throws {
        vendor.then(.respond(.tooManyRequests, headerFields: [.retryAfter: "7"], body))
        vendor.then(.respond(.tooManyRequests, headerFields: [.retryAfter: "7"], body))
        for error in [
            try await error { try await access().token(for: TokenRequest()) },
            try await error { try await checkout().token(for: session()) },
        ] { #expect(error.code == .throttled && error.retryAfter == .seconds(7) && !error.isForeign) }
    }

    @Test func `a block page is retried after one second, doubling to sixty, and never at once`() async throws {
        let tokens = CachingTokenProvider(RetryingTokenProvider(try access(), clock: clock) { 0 }, clock: clock) { 0 }
        for _ in 0..<1000 { vendor.then(page(403, "<html>")) }
        var calls: [Int] = []
        for second in 0..<400 {
            let before = vendor.sent.count
            #expect(await code { try await tokens.token(for: TokenRequest()) } == .unavailable)
            if vendor.sent.count > before { calls.append(second) }
            clock.advance(by: .seconds(1))
        }
        #expect(vendor.sent.count == calls.count)
        #expect(calls == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363])
    }

    @Test func `the third consecutive block page is logged, and then once in a while`() async throws {
        let access = try access(logged: true)
        func ask(_ step: ScriptedTransport.Step) async {
            vendor.then(step)
            _ = try? await access.token(for: TokenRequest())
        }
        for _ in 0..<2 { await ask(page(403, "<html>sentinel</html>")) }
        await ask(.respond(.ok, #"{"access_token": "t"}"#))
        for _ in 0..<2 { await ask(page(403, "<html>sentinel</html>")) }
        #expect(handler.entries.isEmpty)
        await ask(page(401, "sentinel"))
        let entry = try #require(handler.entries.first)
        #expect("\(entry.message)" == "a block page, or credentials that are refused without an explanation")
        #expect(entry.metadata["step"] == "access_token" && entry.metadata["status"] == "401")
        for _ in 0..<59 {
            clock.advance(by: .seconds(1))
            await ask(page(403, "sentinel"))
        }
        #expect(handler.entries.count == 1)
        clock.advance(by: .seconds(1))
        await ask(page(403, "sentinel"))
        #expect(handler.entries.count == 2)
        #expect(!"\(handler.entries)".contains("sentinel"))
        #expect(await access.health().state == .blocked)
        await ask(.respond(.ok, #"{"access_token": "t"}"#))
        #expect(await access.health().state == .ok)
    }

    @Test(arguments: [403, 401, 404, 400])
    func `a renewal that meets a block page leaves the token in service`(status: Int) async {
        let complaints = await World.run { world in
            world.issuer.then(.issues(lifetime: .seconds(1000)))
            _ = world.now()
            world.issuer.otherwise(.answersHTML(status: .init(code: status)))
            for _ in 0..<1000 {
                world.expect(world.now().text == "access-1", "the held token is not served")
                world.pass(.seconds(1))
            }
            world.expect((5...15).contains(world.issuer.calls.count), "\(world.issuer.calls.count) calls")
            world.expect(world.now().error?.code == .unavailable, "another error")
            world.issuer.otherwise(.issues())
            world.pass(.seconds(60))
            world.expect(world.now().text == "access-2", "it does not recover")
        }
        #expect(complaints == [])
    }

    @Test(arguments: [
        (#"{"code": "forbidden", "message": "no"}"#, Health.State.credentialsRefused), ("<html>", .blocked),
    ])
    func `refused credentials and block pages keep the broker in rotation while a token is held`(
        body: String, state: Health.State
    ) async throws {
        let tokens = try access().caching(clock: clock)
        vendor.then(.respond(.ok, #"{"access_token": "held", "expires_in": 100}"#))
        _ = try await tokens.token(for: TokenRequest())
        vendor.then(page(403, body))
        _ = try await error { try await tokens.token(for: TokenRequest(scopes: ["another"])) }
        var health = await tokens.health()
        #expect(health.state == state && health.holdsToken && health.isReady && health.isDegraded)
        #expect(health.expiresIn == .seconds(100))
        clock.advance(by: .seconds(100))
        health = await tokens.health()
        #expect(health.state == state && !health.holdsToken && health.expiresIn == .zero)
        #expect(health.isReady == (state == .blocked))
    }

    @Test func `a revoked token does not count as held`() async throws {
        let tokens = try access().caching(clock: clock)
        vendor.then(.respond(.ok, #"{"access_token": "held", "expires_in": 100}"#))
        let token = try await tokens.token(for: TokenRequest())
        vendor.then(.refuse(.forbidden))
        _ = try await error {
            try await tokens.token(for: TokenRequest(), demand: TokenDemand(replacing: token.id))
        }
        let health = await tokens.health()
        #expect(!health.holdsToken && !health.isReady && health.expiresIn == .zero)
    }

    @Test func `a missing path is transient if it once answered, and otherwise a misconfiguration`() async throws {
        let checkout = try checkout()
        for _ in 0..<2 { vendor.then(page(404, "<html>")) }
        #expect(try await error { try await checkout.token(for: session(1)) }.code == .misconfigured)
        vendor.then(page(404, "<html>"))
        vendor.then(.refuse(.notFound))
        #expect(try await error { try await checkout.token(for: session(2)) }.code == .requestRejected)
        for invoice in 0..<20 {
            for _ in 0..<2 { vendor.then(page(404, "<html>")) }
            let error = try await error { try await checkout.token(for: session(invoice)) }
            #expect(error.code == .unavailable && error.isForeign)
        }
        // None of this delays a session.
        #expect(await checkout.health().state == .failing)
        let before = vendor.sent.count
        vendor.then(.refuse(.unprocessableContent))
        #expect(try await error { try await checkout.token(for: session()) }.code == .requestRejected)
        #expect(vendor.sent.count == before + 1)
    }

    @Test(arguments: [(VendorProfile.BasicEncoding.form, "raw"), (.raw, "form")])
    func `a refusal of credentials that encode in two ways is logged with the other encoding`(
        encoding: VendorProfile.BasicEncoding, other: String
    ) async throws {
        for (id, secret, isSaid) in [
            ("id", "secret", false), ("id", "sent+inel", true), ("sent inel", "secret", true),
            ("id-1", "a.b_c*", false),
            ("id", "sentinelé", true),
        ] {
            for refusal in [page(400, #"{"error": "invalid_client"}"#), .refuse(.unauthorized), .refuse(.forbidden)] {
                handler.clear()
                vendor.then(refusal)
                let provider = ClientCredentialsProvider(
                    vendor: try testVendor(encoding: encoding), credentials: ChangingCredentials(id, secret),
                    transport: vendor, clock: clock, logger: Logger(label: "test") { _ in handler })
                _ = try? await provider.token(for: TokenRequest())
                let text = "\(handler.entries.map { "\($0.message) \($0.metadata)" })"
                #expect(text.contains("vendor.basicEncoding: \(other)") == isSaid)
                #expect(!text.contains("sent"))
                #expect(handler.entries.count == 1)
            }
        }
    }

    @Test(arguments: ["null", "false", "\"\"", "\" \"", "0", "[]", "{}"])
    func `an empty error member is ignored, and an empty token_type counts as Bearer`(text: String) async throws {
        vendor.then(.respond(.ok, #"{"access_token": "t", "error": \#(text), "token_type": \#(text)}"#))
        #expect(try await access().token(for: TokenRequest()).secret == Secret("t"))
    }

    @Test(arguments: ["true", "\"x\"", "1", "[0]", #"{"a": 1}"#])
    func `an error member with content is an error, and so is an unknown token_type`(text: String) async throws {
        vendor.then(.respond(.ok, #"{"access_token": "t", "error": \#(text)}"#))
        #expect(try await error { try await access().token(for: TokenRequest()) }.code == .unavailable)
        vendor.then(.respond(.ok, #"{"access_token": "t", "token_type": \#(text)}"#))
        #expect(try await error { try await access().token(for: TokenRequest()) }.code == .unavailable)
    }
}

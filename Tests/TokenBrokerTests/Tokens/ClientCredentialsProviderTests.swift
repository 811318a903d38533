import Foundation
import HTTPTypes
import Synchronization
import Testing
import TokenBroker
import TokenBrokerTesting

/// A source whose credentials a test can change.
final class ChangingCredentials: CredentialSource {
    private let answer: Mutex<Result<[Credential], CredentialError>>

    init(_ id: String = "id", _ secret: String = "secret") {
        answer = Mutex(.success([Credential(clientID: Secret(id), clientSecret: Secret(secret))]))
    }

    func set(_ new: Result<[Credential], CredentialError>) { answer.withLock { $0 = new } }

    func credentials(for account: Account) async throws(CredentialError) -> [Credential] {
        try answer.withLock { $0 }.get()
    }
}

func testVendor(_ profile: VendorProfile = .alternativePayments, encoding: VendorProfile.BasicEncoding? = nil) throws
    -> Vendor
{
    try Vendor(profile: profile, baseURL: "https://vendor.example", basicEncoding: encoding)
}

func code<Value>(_ body: () async throws -> Value) async -> TokenError.Code? {
    do {
        _ = try await body()
        return nil
    } catch {
        return (error as? TokenError)?.code
    }
}

extension ScriptedTransport.Step {
    /// Returns a refusal with the vendor's own error schema.
    static func refuse(_ status: HTTPResponse.Status, headerFields: HTTPFields = [:]) -> Self {
        .respond(status, headerFields: headerFields, #"{"code": "refused", "message": "the vendor's own words"}"#)
    }
}

/// A transport whose calls take time before the response.
struct SlowTransport: HTTPTransport {
    private let upstream: ScriptedTransport
    private let clock: ManualClock
    private let duration: Duration

    init(_ upstream: ScriptedTransport, _ clock: ManualClock, takes duration: Duration) {
        (self.upstream, self.clock, self.duration) = (upstream, clock, duration)
    }

    func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        let response = try await upstream.send(request, body: body, options: options)
        clock.advance(by: duration)
        return response
    }
}

struct ClientCredentialsProviderTests {
    private let clock = ManualClock()
    private let now = Date(timeIntervalSince1970: 1_800_000_000)

    private func provider(
        _ transport: any HTTPTransport, _ credentials: any CredentialSource = ChangingCredentials(),
        encoding: VendorProfile.BasicEncoding? = nil
    ) throws -> ClientCredentialsProvider {
        let now = now
        return ClientCredentialsProvider(
            vendor: try testVendor(encoding: encoding), credentials: credentials, transport: transport, clock: clock,
            wallClock: { now }
        )
    }

    private func answer(_ body: String, elapsed: Duration = .zero) async throws -> Token {
        try await provider(ScriptedTransport([.respond(.ok, body, elapsed: elapsed)])).token(for: TokenRequest())
    }

    @Test func `the token request is a client credentials grant`() async throws {
        let transport = ScriptedTransport([
            .respond(.ok, #"{"access_token": "580d", "expires_in": 3600, "token_type": "bearer"}"#)
        ])
        let token = try await provider(transport).token(for: TokenRequest(scopes: ["b", "a"], audience: "x y"))
        let sent = try #require(transport.sent.first)
        #expect(sent.request.method == .post)
        #expect(sent.request.scheme == "https")
        #expect(sent.request.authority == "vendor.example")
        #expect(sent.request.path == "/oauth/token")
        #expect(sent.request.headerFields[.authorization] == "Basic " + Data("id:secret".utf8).base64EncodedString())
        #expect(sent.request.headerFields[.contentType] == "application/x-www-form-urlencoded")
        #expect(String(decoding: sent.body, as: UTF8.self) == "grant_type=client_credentials&scope=a+b&audience=x+y")
        #expect(sent.options.priority == .high)
        #expect(sent.options.account == "alternative-payments")
        #expect(token.secret == Secret("580d"))
        #expect(token.remaining == .seconds(3600))
        #expect(token.expiresAt == now.addingTimeInterval(3600))
    }

    @Test func `id and secret are form-encoded unless configured otherwise`() async throws {
        let credentials = ChangingCredentials("i+d%:", "s =&é")
        for (encoding, expected) in [
            (VendorProfile.BasicEncoding.form, "i%2Bd%25%3A:s+%3D%26%C3%A9"), (.raw, "i+d%::s =&é"),
        ] {
            let transport = ScriptedTransport([.respond(.ok, #"{"access_token": "t", "expires_in": 60}"#)])
            _ = try await provider(transport, credentials, encoding: encoding).token(for: TokenRequest())
            let field = try #require(transport.sent.first?.request.headerFields[.authorization])
            let decoded = try #require(Data(base64Encoded: String(field.dropFirst(6))))
            #expect(String(decoding: decoded, as: UTF8.self) == expected)
        }
    }

    @Test(arguments: [
        ("3600", 3600.0), ("\"3600\"", 3600), ("1.5", 1.5), ("3600000", 3600), ("999999", 86_400), ("1e300", 86_400),
        ("null", 300), ("\"soon\"", 300), ("[]", 300), ("true", 300),
    ])
    func `an access token's lifetime is read in any form`(text: String, seconds: Double) async throws {
        let token = try await answer(#"{"access_token": "t", "expires_in": \#(text)}"#)
        #expect(token.remaining == .seconds(seconds))
    }

    @Test func `an access token without a lifetime has the profile's`() async throws {
        #expect(try await answer(#"{"access_token": "t"}"#).remaining == .seconds(300))
    }

    @Test func `an access token's lifetime counts from when the request was sent`() async throws {
        let token = try await answer(#"{"access_token": "t", "expires_in": 60}"#, elapsed: .seconds(10))
        #expect(token.remaining == .seconds(50))
    }

    @Test(arguments: ["0", "-5", "\"-1\"", "1e-9"])
    func `an access token that has expired on arrival is a failure`(text: String) async throws {
        let body = #"{"access_token": "t", "expires_in": \#(text)}"#
        #expect(await code { try await answer(body, elapsed: .milliseconds(1)) } == .unavailable)
    }

    @Test(arguments: [
        "", "null", "[]", "<html>oops</html>", #"{"access_token": ""#, #"{"access_token": 5}"#,
        #"{"access_token": ""}"#,
        #"{"error": "invalid_client", "access_token": "t"}"#, #"{"access_token": "t", "token_type": "mac"}"#,
        #"{"access_token": "t", "token_type": 1}"#, #"{"access_token": "t", "access_token": "u"}"#, "{}",
    ])
    func `a nonsensical token response counts as unavailable`(body: String) async throws {
        #expect(await code { try await answer(body) } == .unavailable)
    }

    @Test(arguments: ["bearer", "Bearer", "BEARER"])
    func `the token type is compared without case`(type: String) async throws {
        _ = try await answer(#"{"access_token": "t", "token_type": "\#(type)"}"#)
    }

    @Test(arguments: [
        (400, TokenError.Code.misconfigured), (401, .credentialsRejected), (403, .credentialsRejected),
        (404, .misconfigured),
        (429, .throttled), (500, .unavailable), (502, .unavailable), (503, .unavailable), (302, .unavailable),
        (307, .unavailable), (408, .unavailable),
    ])
    func `each status of a token response has the meaning that the profile gives it`(
        status: Int, expected: TokenError.Code
    ) async throws {
        let transport = ScriptedTransport([.refuse(.init(code: status), headerFields: [.retryAfter: "7"])])
        let provider = try provider(transport)
        do {
            _ = try await provider.token(for: TokenRequest())
            Issue.record("no error")
        } catch {
            #expect(error.code == expected)
            #expect(error.retryAfter == .seconds(7))
        }
        #expect(transport.sent.count == 1)
    }

    @Test(arguments: [
        (TransportError.Code.timedOut, TokenError.Code.timedOut), (.connect, .unavailable), (.trust, .unavailable),
        (.tooLarge, .unavailable), (.shutDown, .cancelled), (.throttled, .throttled), (.refusedScheme, .misconfigured),
    ])
    func `a transport failure maps to what a caller can do about it`(
        failure: TransportError.Code, expected: TokenError.Code
    ) async throws {
        let provider = try provider(ScriptedTransport([.fail(failure)]))
        #expect(await code { try await provider.token(for: TokenRequest()) } == expected)
    }

    private func pair(_ name: String) -> Credential { Credential(clientID: Secret(name), clientSecret: Secret("s")) }
    private let good = ScriptedTransport.Step.respond(.ok, #"{"access_token": "t", "expires_in": 3600}"#)

    @Test func `the second credential is used when the first is refused`() async throws {
        let credentials = ChangingCredentials()
        credentials.set(.success([pair("old"), pair("new")]))
        let transport = ScriptedTransport([.respond(.ok, #"{"access_token": "t"}"#), .refuse(.forbidden), good, good])
        let provider = try provider(transport, credentials)
        let first = try await provider.token(for: TokenRequest())
        #expect(first.lineage.state == .current)
        let second = try await provider.token(for: TokenRequest())
        #expect(first.lineage.state == .superseded)
        #expect(second.lineage.state == .current)
        #expect(await provider.health().state == .ok)
        // The provider remembers the refusal.
        _ = try await provider.token(for: TokenRequest())
        let users = transport.sent.map { $0.request.headerFields[.authorization] }
        let (old, new) = (
            "Basic " + Data("old:s".utf8).base64EncodedString(), "Basic " + Data("new:s".utf8).base64EncodedString()
        )
        #expect(users == [old, old, new, new])
    }

    @Test func `a rotation supersedes the old tokens without a fetch`() async throws {
        let credentials = ChangingCredentials()
        let provider = try provider(ScriptedTransport([good]), credentials)
        let token = try await provider.token(for: TokenRequest())
        await provider.refresh()
        #expect(token.lineage.state == .current)
        // While the file is being written, the previous credential stays in use.
        for broken in [.success([]), .failure(CredentialError(.incomplete, source: "file", message: "it is empty"))]
            as [Result<[Credential], CredentialError>]
        {
            credentials.set(broken)
            await provider.refresh()
            #expect(token.lineage.state == .current)
            #expect(await provider.health().isReady)
        }
        credentials.set(.success([pair("rotated")]))
        await provider.refresh()
        #expect(token.lineage.state == .superseded)
    }

    @Test func `refused credentials are not sent again for half a minute`() async throws {
        let transport = ScriptedTransport([.refuse(.forbidden)])
        let provider = try provider(transport)
        for _ in 0..<100 {
            #expect(await code { try await provider.token(for: TokenRequest()) } == .credentialsRejected)
        }
        #expect(transport.sent.count == 1)
        #expect(await provider.health().state == .credentialsRefused)
        clock.advance(by: .seconds(30))
        // The state stays until the vendor accepts the credentials.
        #expect(await provider.health().state == .credentialsRefused)
        transport.then(.respond(.ok, #"{"access_token": "t"}"#))
        _ = try await provider.token(for: TokenRequest())
        #expect(await provider.health().state == .ok)
    }

    @Test func `refused credentials are retried ever more slowly without callers`() async throws {
        let transport = ScriptedTransport(Array(repeating: .refuse(.forbidden), count: 1000))
        let provider = try provider(transport)
        _ = try? await provider.token(for: TokenRequest())
        for _ in 0..<1800 {
            clock.advance(by: .seconds(2))
            await provider.refresh()
        }
        // Attempts in one hour: the pause doubles from 30 s to ten minutes.
        #expect(transport.sent.count == 10)
        #expect(await provider.health().lastFailure?.code == .credentialsRejected)
    }

    @Test func `a request that is refused for good is remembered and does not affect others`() async throws {
        let credentials = ChangingCredentials()
        let transport = ScriptedTransport([.respond(.badRequest, #"{"error": "invalid_scope"}"#)])
        let provider = try provider(transport, credentials)
        let wrong = TokenRequest(scopes: ["wrong"])
        for _ in 0..<100 { #expect(await code { try await provider.token(for: wrong) } == .misconfigured) }
        #expect(transport.sent.count == 1)
        // Another scope and readiness are not affected.
        transport.then(good)
        _ = try await provider.token(for: TokenRequest(scopes: ["right"]))
        #expect(await provider.health().isReady)
        // Other credentials may have that scope.
        credentials.set(.success([pair("other")]))
        transport.then(good)
        _ = try await provider.token(for: wrong)
    }

    @Test func `two credentials together take no longer than the caller's timeout`() async throws {
        let credentials = ChangingCredentials()
        credentials.set(.success([pair("old"), pair("new")]))
        let vendor = ScriptedTransport([.refuse(.forbidden), .refuse(.forbidden)])
        let provider = try provider(SlowTransport(vendor, clock, takes: .seconds(3)), credentials)
        let demand = TokenDemand(timeout: .seconds(8))
        #expect(await code { try await provider.token(for: TokenRequest(), demand: demand) } == .credentialsRejected)
        #expect(vendor.sent.map(\.options.timeout) == [.seconds(8), .seconds(5)])
    }

    @Test func `nothing is sent when no time is left`() async throws {
        let credentials = ChangingCredentials()
        credentials.set(.success([pair("old"), pair("new")]))
        let vendor = ScriptedTransport([.refuse(.forbidden)])
        let provider = try provider(SlowTransport(vendor, clock, takes: .seconds(8)), credentials)
        let demand = TokenDemand(timeout: .seconds(8))
        #expect(await code { try await provider.token(for: TokenRequest(), demand: demand) } == .timedOut)
        #expect(vendor.sent.count == 1)
    }

    @Test func `new credentials are tried at once and supersede the tokens of the former ones`() async throws {
        let credentials = ChangingCredentials()
        let transport = ScriptedTransport([.respond(.ok, #"{"access_token": "old"}"#), .refuse(.forbidden)])
        let provider = try provider(transport, credentials)
        let old = try await provider.token(for: TokenRequest())
        #expect(await code { try await provider.token(for: TokenRequest()) } == .credentialsRejected)
        #expect(old.lineage.state == .current)
        credentials.set(.success([Credential(clientID: Secret("id"), clientSecret: Secret("rotated"))]))
        transport.then(.respond(.ok, #"{"access_token": "new"}"#))
        let new = try await provider.token(for: TokenRequest())
        #expect(old.lineage.state == .superseded)
        #expect(new.lineage.state == .current)
    }

    @Test func `credentials that cannot be loaded are a misconfiguration`() async throws {
        let credentials = ChangingCredentials()
        let transport = ScriptedTransport([])
        let provider = try provider(transport, credentials)
        for broken in [.success([]), .failure(CredentialError(.incomplete, source: "file x", message: "it is empty"))]
            as [Result<[Credential], CredentialError>]
        {
            credentials.set(broken)
            #expect(await code { try await provider.token(for: TokenRequest()) } == .misconfigured)
            #expect(await provider.health().state == .credentialsUnavailable)
        }
        #expect(transport.sent.isEmpty)
    }
}

#if JWTSupport
import Foundation
import HTTPTypes
import InMemoryLogging
import JWTKit
import Logging
import Synchronization
import Testing
import TokenBroker
import TokenBrokerTesting

@testable import TokenBrokerJWT

@Suite struct `A set of keys` {
    private func keys(
        _ elements: [JSONValue], allowsSecrets: Bool = true
    ) async throws -> (keys: [VerificationKey], problems: [String]) {
        var problems: [String] = []
        let set = try await KeySet(jwks: ["keys": .array(elements)], allowsSecrets: allowsSecrets) {
            problems.append("\($0): \($1)")
        }
        return (set.keys, problems)
    }

    @Test func `is read key by key`() async throws {
        let (rsa, elliptic) = (try await Signers.make(.rs256), try await Signers.make(.es256))
        var broken = elliptic.jwk
        broken["x"] = broken["y"]
        let (keys, problems) = try await keys([
            ["kty": "AKP", "alg": "ML-DSA-65", "pub": "AAAA"], ["kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"],
            .object(broken), ["kty": "RSA", "n": "AQAB", "e": "AQAB"], .null, "text", [:], rsa.jwk(kid: "r"),
            elliptic.jwk(kid: "e"), ["kty": "OKP", "crv": "X25519", "x": "AA"],
        ])
        #expect(keys.map(\.id) == ["r", "e"])
        #expect(
            problems == [
                "2: its numbers are no key", "3: its n is missing, malformed or of the wrong length",
                "4: it has no kty",
                "5: it has no kty", "6: it has no kty",
            ]
        )
    }

    @Test func `has only keys for signatures`() async throws {
        let signer = try await Signers.make(.es256)
        func with(_ members: [String: JSONValue]) -> JSONValue { .object(signer.jwk.merging(members) { $1 }) }
        let (keys, problems) = try await keys([
            with(["use": "enc"]), with(["key_ops": .array(["sign"])]), with(["alg": "ECDH-ES"]), with(["alg": "ES384"]),
            with(["use": "sig", "kid": "1"]), with(["key_ops": .array(["verify"]), "kid": "2"]),
            with(["alg": "ES256", "kid": "3"]),
        ])
        #expect(keys.map(\.id) == ["1", "2", "3"])
        #expect(problems.isEmpty)
    }

    @Test func `has shared secrets only where they are secret`() async throws {
        let secret = try await Signers.make(.hs512).jwk()
        #expect(try await keys([secret]).keys.count == 1)
        let (found, problems) = try await keys([secret], allowsSecrets: false)
        #expect(found.isEmpty)
        #expect(problems == ["0: a shared secret does not belong here"])
        let short: JSONValue = ["kty": "oct", "k": .string(base64URL([UInt8](repeating: 1, count: 31)))]
        #expect(try await keys([short]).problems == ["0: the secret is shorter than 32 bytes"])
        let medium: JSONValue = ["kty": "oct", "k": .string(base64URL([UInt8](repeating: 1, count: 47)))]
        let key = try await keys([medium]).keys.first
        #expect(key?.supports(.hs256) == true)
        #expect(key?.supports(.hs384) == false)
    }

    @Test(arguments: ["{}", "[]", "null", #"{"keys": {}}"#, #"{"keys": 1}"#, #""keys""#])
    func `is a map with a list`(_ json: String) async throws {
        let value = try JSONValue.parse(Array(json.utf8))
        await #expect(throws: VerificationKey.Unusable.self) { try await KeySet(jwks: value, allowsSecrets: true) }
    }

    @Test func `is not too large, and nobody makes us try all of it`() async throws {
        let jwk = try await Signers.make(.es256).jwk()
        await #expect(throws: VerificationKey.Unusable.self) {
            try await keys([JSONValue](repeating: jwk, count: 101))
        }
        let signer = try await Signers.make(.es256)
        let authenticator = try await authenticator(
            .jwkSet(["keys": .array((1...5).map { signer.jwk(kid: "\($0)") })]), [.es256]
        )
        #expect(try await authenticator.authenticate(bearing(signer.token(kid: "5"))) != nil)
        #expect(try await authenticator.authenticate(bearing(signer.token(kid: nil))) == nil)
    }

    @Test func `whatever it contains is read or passed over`() async throws {
        var generator = SystemRandomNumberGenerator()
        let good = try await [
            Signers.make(.rs256).jwk, Signers.make(.es256).jwk, Signers.make(.edDSA).jwk, Signers.make(.hs256).jwk,
        ]
        let names = ["kty", "crv", "x", "y", "n", "e", "k", "kid", "alg", "use", "key_ops", "d"]
        let values: [JSONValue] = [
            .null, .number(1e300), .number(-0.5), .bool(true), "", "AQAB", "EC", "RSA", "OKP", "oct", "P-256", "P-521",
            "Ed25519",
            "sig", "====", "\u{0}", "\u{1F511}", .array([]), .array(["verify"]), [:],
            .string(String(repeating: "A", count: 2_000)),
            "HS256", "none",
        ]
        for _ in 0..<1_500 {
            var jwk = good.randomElement(using: &generator) ?? [:]
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let name = names.randomElement(using: &generator) ?? ""
                jwk[name] =
                    Bool.random(using: &generator)
                    ? values.randomElement(using: &generator) : jwk.values.randomElement()
            }
            _ = try await keys([.object(jwk)])
        }
    }
}

@Suite struct `A file of keys` {
    @Test func `takes effect when it changes, and what it had counts while it cannot be used`() async throws {
        let (old, new) = (try await Signers.ecdsa(ES256PrivateKey(), "P-256"), try await Signers.make(.es256))
        let (logger, handler) = recordingLogger()
        try await withFile(text(old.jwk())) { path in
            let authenticator = try await authenticator(.file(path, logger: logger), [.es256])
            func believes(_ signer: Signer) async throws -> Bool {
                try await authenticator.authenticate(bearing(signer.token())) != nil
            }
            #expect(try await believes(old))
            for broken in [
                "", "{", #"{"keys": []}"#, "-----BEGIN PUBLIC KEY-----\nsentinel\n-----END PUBLIC KEY-----\n",
            ] {
                try broken.write(toFile: path, atomically: true, encoding: .utf8)
                #expect(try await believes(old))
            }
            #expect(handler.entries.filter { $0.level == .warning }.count == 4)
            #expect(!"\(handler.entries)".contains("sentinel"))
            try text(new.jwk()).write(toFile: path, atomically: true, encoding: .utf8)
            #expect(try await believes(new))
            #expect(try await !believes(old))
        }
    }

    @Test(arguments: [
        ("", "expected a JWK set in JSON, or public keys in PEM form"), ("{}", "expected a JWK set"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "expected a public key or a certificate"),
        (Signers.es256Key.pemRepresentation, "expected public keys only, found a private key"),
        (#"{"kty": "RSA", "n": "AQAB", "e": "AQAB"}"#, "it has no key for signatures that can be used"),
    ])
    func `has to be one at the start`(_ content: String, _ message: String) async throws {
        try await withFile(content) { path in
            let error = await #expect(throws: CredentialError.self) {
                try await authenticator(.file(path, logger: quiet), [.es256])
            }
            #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
        }
    }
}

@Suite(.timeLimit(.minutes(2))) struct `Keys at a URL` {
    private let clock = ManualClock()
    private let signer: Signer

    init() async throws { signer = try await Signers.make(.es256) }

    /// Answers with what it was told last, counts, and may be made to wait.
    private final class Issuer: HTTPTransport {
        private struct State {
            var answer: TransportResponse?
            var calls: [HTTPRequest] = []
            var gate: AsyncStream<Void>?
        }
        private let state = Mutex(State())

        var calls: Int { state.withLock { $0.calls.count } }
        var requests: [HTTPRequest] { state.withLock { $0.calls } }

        func publish(_ keys: [JSONValue]?, status: HTTPResponse.Status = .ok) {
            state.withLock { state in
                state.answer = keys.map {
                    TransportResponse(
                        head: HTTPResponse(status: status), body: JSONValue.object(["keys": .array($0)]).serialized)
                }
            }
        }

        func wait() -> AsyncStream<Void>.Continuation {
            let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
            state.withLock { $0.gate = stream }
            return continuation
        }

        func send(
            _ request: HTTPRequest, body: [UInt8], options: TransportOptions
        ) async throws(TransportError) -> TransportResponse {
            let gate = state.withLock { state in
                state.calls.append(request)
                return state.gate
            }
            if let gate { for await _ in gate { break } }
            guard let answer = state.withLock({ $0.answer }) else { throw TransportError(.connect) }
            return answer
        }
    }

    private let issuer = Issuer()

    private func authenticator(logger: Logger = quiet) async throws -> JWTAuthenticator {
        let url = try ServerURL("https://id.example/jwks?v=1")
        return try await TokenBrokerJWTTests.authenticator(
            .url(url, transport: issuer, maximumAge: .seconds(3600), clock: clock, logger: logger), [.es256]
        )
    }

    @Test func `are fetched when they are needed, once for all`() async throws {
        issuer.publish([signer.jwk()])
        let authenticator = try await authenticator()
        #expect(issuer.calls == 0)
        let gate = issuer.wait()
        let token = try signer.token()
        let asking = (0..<50).map { _ in Task { try await authenticator.authenticate(bearing(token)) } }
        gate.finish()
        for asking in asking { #expect(try await asking.value != nil) }
        #expect(issuer.calls == 1)
        #expect(issuer.requests.first?.method == .get)
        #expect(issuer.requests.first?.path == "/jwks?v=1")
    }

    @Test func `are fetched again for a key that is new, but not for each that is invented`() async throws {
        issuer.publish([signer.jwk()])
        let authenticator = try await authenticator()
        #expect(try await authenticator.authenticate(bearing(signer.token())) != nil)
        for number in 0..<100 {
            #expect(try await authenticator.authenticate(bearing(signer.token(kid: "invented-\(number)"))) == nil)
        }
        #expect(issuer.calls == 1)
        clock.advance(by: .seconds(30))
        for number in 0..<100 {
            #expect(try await authenticator.authenticate(bearing(signer.token(kid: "invented-\(number)"))) == nil)
        }
        #expect(issuer.calls == 2)
        issuer.publish([signer.jwk(), signer.jwk(kid: "2")])
        #expect(try await authenticator.authenticate(bearing(signer.token(kid: "2"))) == nil)
        clock.advance(by: .seconds(30))
        #expect(try await authenticator.authenticate(bearing(signer.token(kid: "2"))) != nil)
        #expect(issuer.calls == 3)
        // Who is known never waits for that.
        #expect(try await authenticator.authenticate(bearing(signer.token())) != nil)
        #expect(issuer.calls == 3)
    }

    @Test func `are not fetched for a token that could not be right anyway`() async throws {
        issuer.publish([signer.jwk()])
        let authenticator = try await authenticator()
        for token in ["", "a.b.c", try signer.token(alg: "none"), try signer.token(alg: "HS256")] {
            #expect(try await authenticator.authenticate(bearing(token)) == nil)
        }
        #expect(issuer.calls == 0)
    }

    @Test func `are renewed behind, and are worth nothing when they are too old`() async throws {
        issuer.publish([signer.jwk()])
        let (logger, handler) = recordingLogger()
        let authenticator = try await authenticator(logger: logger)
        #expect(try await authenticator.authenticate(bearing(signer.token())) != nil)
        issuer.publish(nil)
        clock.advance(by: .seconds(900))
        let gate = issuer.wait()
        // Neither waits, and one of them sets off the renewal.
        for _ in 0..<2 { #expect(try await authenticator.authenticate(bearing(signer.token())) != nil) }
        gate.finish()
        while handler.entries.filter({ $0.level == .warning }).isEmpty { await Task.yield() }
        #expect(issuer.calls == 2)
        clock.advance(by: .seconds(2699))
        #expect(try await authenticator.authenticate(bearing(signer.token())) != nil)
        clock.advance(by: .seconds(60))
        await #expect(throws: (any Error).self) { try await authenticator.authenticate(bearing(signer.token())) }
    }

    @Test func `that are withdrawn count no more`() async throws {
        let other = try await Signers.ecdsa(ES256PrivateKey(), "P-256")
        issuer.publish([signer.jwk(), other.jwk(kid: "2")])
        let authenticator = try await authenticator()
        #expect(try await authenticator.authenticate(bearing(other.token(kid: "2"))) != nil)
        issuer.publish([signer.jwk()])
        clock.advance(by: .seconds(900))
        _ = try await authenticator.authenticate(bearing(signer.token()))
        while issuer.calls < 2 { await Task.yield() }
        while try await authenticator.authenticate(bearing(other.token(kid: "2"))) != nil { await Task.yield() }
    }

    @Test func `that cannot be had are asked for ever more rarely`() async throws {
        let (logger, handler) = recordingLogger()
        let authenticator = try await authenticator(logger: logger)
        func fails() async throws {
            await #expect(throws: (any Error).self) { try await authenticator.authenticate(bearing(signer.token())) }
        }
        for _ in 0..<3 { try await fails() }
        #expect(issuer.calls == 1)
        for (pause, calls) in [(1, 2), (1, 2), (1, 3), (3, 3), (1, 4), (100, 5), (15, 5), (1, 6), (29, 6), (1, 7)] {
            clock.advance(by: .seconds(pause))
            try await fails()
            #expect(issuer.calls == calls, "\(pause)")
        }
        for (keys, status) in [([], 200), ([signer.jwk()], 404), ([signer.jwk()], 302)] as [([JSONValue], Int)] {
            issuer.publish(keys, status: .init(code: status))
            clock.advance(by: .seconds(60))
            try await fails()
        }
        issuer.publish([signer.jwk()])
        clock.advance(by: .seconds(60))
        #expect(try await authenticator.authenticate(bearing(signer.token())) != nil)
        #expect(!"\(handler.entries)".contains("id.example"))
    }

    @Test func `of which a caller has left are still fetched for the others`() async throws {
        issuer.publish([signer.jwk()])
        let authenticator = try await authenticator()
        let gate = issuer.wait()
        let token = try signer.token()
        let first = Task { try await authenticator.authenticate(bearing(token)) }
        while issuer.calls == 0 { await Task.yield() }
        let second = Task { try await authenticator.authenticate(bearing(token)) }
        first.cancel()
        await #expect(throws: (any Error).self) { try await first.value }
        gate.finish()
        #expect(try await second.value != nil)
        #expect(issuer.calls == 1)
    }

    @Test func `hold no secrets`() async throws {
        issuer.publish([try await Signers.make(.hs256).jwk()])
        let url = try ServerURL("https://id.example/jwks")
        let keys = JWTKeys.url(url, transport: issuer, clock: clock, logger: quiet)
        let authenticator = try await TokenBrokerJWTTests.authenticator(keys, [.hs256])
        let token = try await Signers.make(.hs256).token()
        await #expect(throws: (any Error).self) { try await authenticator.authenticate(bearing(token)) }
    }
}
#endif

#if JWTSupport
import Foundation
import HTTPTypes
import InMemoryLogging
import JWTKit
import Logging
import Synchronization
import Testing
import TestSupport
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

    @Test func `a key set is read key by key`() async throws {
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
                "2: its parameters are not a valid key", "3: its n is missing, malformed or of the wrong length",
                "4: it has no kty",
                "5: it has no kty", "6: it has no kty",
            ]
        )
    }

    @Test func `a key set contains only signature keys`() async throws {
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

    @Test func `a key set contains shared secrets only where they are allowed`() async throws {
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
    func `a key set is an object with a list of keys`(_ json: String) async throws {
        let value = try JSONValue.parse(Array(json.utf8))
        await #expect(throws: VerificationKey.Unusable.self) { try await KeySet(jwks: value, allowsSecrets: true) }
    }

    @Test func `a key set is bounded, and a token without a key id cannot make us try all of it`() async throws {
        let jwk = try await Signers.make(.es256).jwk()
        await #expect(throws: VerificationKey.Unusable.self) {
            try await keys([JSONValue](repeating: jwk, count: 101))
        }
        let signer = try await Signers.make(.es256)
        let authenticator = try await authenticator(
            .jwkSet(["keys": .array((1...5).map { signer.jwk(kid: "\($0)") })]), [.es256]
        )
        #expect(try await authenticator.principal(in: bearing(signer.token(kid: "5"))) != nil)
        #expect(try await authenticator.principal(in: bearing(signer.token(kid: nil))) == nil)
    }

    @Test func `every key in a random key set is read or skipped without a crash`() async throws {
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

@Suite struct `A key that proves nothing` {
    /// The eight points of small order in all their encodings, and encodings that are not below the prime.
    static let points: [[UInt8]] = {
        let zeros = [UInt8](repeating: 0, count: 31)
        let ones = [UInt8](repeating: 0xFF, count: 30)
        let eighth: [UInt8] = [
            0x26, 0xE8, 0x95, 0x8F, 0xC2, 0xB2, 0x27, 0xB0, 0x45, 0xC3, 0xF4, 0x89, 0xF2, 0xEF, 0x98, 0xF0, 0xD5, 0xDF,
            0xAC, 0x05, 0xD3, 0xC6, 0x33, 0x39, 0xB1, 0x38, 0x02, 0x88, 0x6D, 0x53, 0xFC, 0x05,
        ]
        // The negative of that point: the prime (0xED, 0xFF …, 0x7F) minus it, byte by byte with borrows.
        var borrow = 0
        var other: [UInt8] = []
        for (index, byte) in eighth.enumerated() {
            let minuend = index == 0 ? 0xED : index == 31 ? 0x7F : 0xFF
            let difference = minuend - Int(byte) - borrow
            borrow = difference < 0 ? 1 : 0
            other.append(UInt8(truncatingIfNeeded: difference))
        }
        let plain: [[UInt8]] =
            [[0] + zeros, [1] + zeros, eighth, other]
            + (UInt8(0xEC)...0xFF).map { [$0] + ones + [0x7F] }
        return plain + plain.map { $0.dropLast() + [($0.last ?? 0) | 0x80] }
    }()

    @Test(arguments: points) func `an Edwards point of small order is refused as a key`(point: [UInt8]) async throws {
        let jwk: JSONValue = ["kty": "OKP", "crv": "Ed25519", "x": .string(base64URL(point))]
        await #expect(throws: VerificationKey.Unusable.self) { try await VerificationKey(jwk: jwk) }
        let der: [UInt8] = [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00] + point
        let pem = "-----BEGIN PUBLIC KEY-----\n\(Data(der).base64EncodedString())\n-----END PUBLIC KEY-----\n"
        await #expect(throws: VerificationKey.Unusable.self) { try await VerificationKey(pem: pem) }
    }

    @Test(arguments: ["AQ", "Ag", "AA", "AQAA", "AAE", "AQAAAAE"])
    func `an RSA key with an invalid exponent is refused`(e: String) async throws {
        let signer = try await Signers.make(.rs256)
        let jwk = JSONValue.object(signer.jwk.merging(["e": .string(e)]) { $1 })
        await #expect(throws: VerificationKey.Unusable.self) { try await VerificationKey(jwk: jwk) }
    }

    @Test func `an RSA key with a short or even modulus is refused`() async throws {
        let n = [UInt8](repeating: 0xFF, count: 256)
        for modulus in [[0] + n.dropLast(), n.dropLast() + [0xFE], [0x01] + n.dropFirst(1)] as [[UInt8]] {
            let jwk: JSONValue = ["kty": "RSA", "n": .string(base64URL(modulus)), "e": "AQAB"]
            await #expect(throws: VerificationKey.Unusable.self) { try await VerificationKey(jwk: jwk) }
        }
    }

    @Test(arguments: [SigningAlgorithm.rs256, .es256, .es384, .es512, .edDSA])
    func `a private key is refused as a verification key`(algorithm: SigningAlgorithm) async throws {
        let signer = try await Signers.make(algorithm)
        for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            let jwk = JSONValue.object(signer.jwk.merging([name: "c2VudGluZWw"]) { $1 })
            let error = await #expect(throws: VerificationKey.Unusable.self) { try await VerificationKey(jwk: jwk) }
            #expect(error?.reason.contains("private key") == true)
            await #expect(throws: CredentialError.self) { try await JWTKeys.jwkSet(["keys": .array([jwk])]) }
            // A usable key in the same set is used.
            let (logger, handler) = recordingLogger()
            try await withFile(text(["keys": .array([jwk, signer.jwk()])])) { path in
                let authenticator = try await authenticator(.file(path, logger: logger), [algorithm])
                #expect(try await authenticator.principal(in: bearing(signer.token())) != nil)
            }
            #expect(handler.entries.contains { $0.level == .warning && "\($0)".contains("private key") })
            #expect(!"\(handler.entries)".contains("c2VudGluZWw"))
        }
    }
}

@Suite struct `A key's members` {
    @Test func `null members of a key count as absent`() async throws {
        for algorithm in [SigningAlgorithm.rs256, .es256, .edDSA] {
            let signer = try await Signers.make(algorithm)
            let nulls: [String: JSONValue] = ["kid": .null, "alg": .null, "use": .null, "key_ops": .null, "d": .null]
            let key = try #require(try await VerificationKey(jwk: .object(signer.jwk.merging(nulls) { $1 })))
            #expect(key.id == nil)
            #expect(key.supports(algorithm))
        }
    }

    @Test func `a key can name EdDSA by its curve`() async throws {
        let signer = try await Signers.make(.edDSA)
        for name in ["EdDSA", "Ed25519", nil] {
            let authenticator = try await authenticator(.jwkSet(signer.jwk(alg: name)), [.edDSA])
            for algorithm in ["EdDSA", "Ed25519"] {
                #expect(try await authenticator.principal(in: bearing(signer.token(alg: algorithm))) != nil)
            }
            #expect(try await authenticator.principal(in: bearing(signer.token(alg: "Ed448"))) == nil)
        }
        #expect(try await VerificationKey(jwk: signer.jwk(alg: "Ed448")) == nil)
        let elliptic = try await Signers.make(.es256)
        #expect(try await VerificationKey(jwk: elliptic.jwk(alg: "Ed25519")) == nil)
    }
}

@Suite struct `A token's members` {
    @Test(arguments: [
        #""crit": null"#, #""kid": null"#, #""typ": null"#, #""alg": null"#, #""crit": []"#,
    ]) func `a token with a null member in its header is refused`(member: String) async throws {
        let signer = try await Signers.make(.es256)
        let authenticator = try await authenticator(.jwkSet(signer.jwk(kid: nil)), [.es256])
        let header = member.hasPrefix("\"alg") ? "{\(member)}" : "{\"alg\": \"ES256\", \(member)}"
        #expect(
            try await authenticator.principal(
                in:
                    bearing(signer.token(header: header, payload: text(.object(validClaims))))) == nil)
        let good = try signer.token(header: #"{"alg": "ES256"}"#, payload: text(.object(validClaims)))
        #expect(try await authenticator.principal(in: bearing(good)) != nil)
    }

    @Test(arguments: ["exp", "nbf", "iss", "aud", "sub"]) func `a token with a null claim is refused`(claim: String)
        async throws
    {
        let signer = try await Signers.make(.es256)
        let authenticator = try await authenticator(.jwkSet(signer.jwk()), [.es256])
        let token = try signer.token(validClaims.merging([claim: .null]) { $1 })
        #expect(try await authenticator.principal(in: bearing(token)) == nil)
    }

    @Test func `a token has exactly one valid spelling`() async throws {
        let signer = try await Signers.make(.es256)
        let authenticator = try await authenticator(.jwkSet(signer.jwk()), [.es256])
        let token = try signer.token()
        #expect(try await authenticator.principal(in: bearing(token)) != nil)
        // 64 bytes encode to 86 characters, and four bits of the last one are unused.
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
        let last = try #require(alphabet.firstIndex(of: token.last ?? " "))
        for bits in 1..<16 {
            let other = String(token.dropLast()) + String(alphabet[last ^ bits])
            #expect(try await authenticator.principal(in: bearing(other)) == nil)
        }
        // 87 characters decode to 65 bytes, which is a different signature.
        #expect(try await authenticator.principal(in: bearing("\(token)A")) == nil)
        for other in [
            "\(token)=", "\(token)==", "\(token) ", "\(token)\u{301}", "\u{301}\(token)",
            token.replacing(".", with: ".\u{301}"), token.replacing(".", with: "\u{301}."), "\(token)\n",
        ] {
            #expect(throws: CompactToken.Refusal.self) { try CompactToken(other, algorithms: [.es256]) }
        }
    }

    @Test func `a token is found whatever stands next to it`() async throws {
        let signer = try await Signers.make(.es256)
        let authenticator = try await authenticator(.jwkSet(signer.jwk()), [.es256], cookie: "shop")
        let token = try signer.token()
        func isBelieved(_ fields: [(String, String)]) async throws -> Bool {
            try await authenticator.principal(in: request(fields)) != nil
        }
        #expect(try await isBelieved([("Cookie", "a=\u{301}; shop=\(token)")]))
        #expect(try await isBelieved([("Cookie", "a=b;\u{301}shop=1; shop=\(token)")]))
        // Two cookies of that name count as none, and a combining mark does not hide either of them.
        #expect(try await !isBelieved([("Cookie", "shop=\u{301}x; shop=\(token)")]))
        #expect(try await !isBelieved([("Cookie", "shop\u{301}=\(token)")]))
        #expect(try await !isBelieved([("Cookie", "SHOP=\(token)")]))
        #expect(try await isBelieved([("Authorization", "bEaReR   \(token)")]))
        #expect(try await !isBelieved([("Authorization", "Bearer \u{301}\(token)")]))
        #expect(try await !isBelieved([("Authorization", "Bearer\(token)")]))
    }
}

@Suite struct `A file of keys` {
    @Test func `a file of keys can begin with a byte order mark`() async throws {
        let signer = try await Signers.make(.es256)
        for content in [text(signer.jwk(kid: nil)), Signers.es256Key.publicKey.pemRepresentation] {
            try await withFile("\u{FEFF}\(content)") { path in
                let authenticator = try await authenticator(.file(path, logger: quiet), [.es256])
                #expect(try await authenticator.principal(in: bearing(signer.token(kid: nil))) != nil)
            }
        }
    }

    @Test func `a changed file of keys takes effect, and an unusable one leaves the last keys in use`() async throws {
        let (old, new) = (try await Signers.ecdsa(ES256PrivateKey(), "P-256"), try await Signers.make(.es256))
        let (logger, handler) = recordingLogger()
        try await withFile(text(old.jwk())) { path in
            let authenticator = try await authenticator(.file(path, logger: logger), [.es256])
            func believes(_ signer: Signer) async throws -> Bool {
                try await authenticator.principal(in: bearing(signer.token())) != nil
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
        (#"{"kty": "RSA", "n": "AQAB", "e": "AQAB"}"#, "it has no usable signature key"),
    ])
    func `a file of keys has to be usable at the start`(_ content: String, _ message: String) async throws {
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

    /// An issuer of keys that counts its requests, responds with what was published last, and can be made to wait.
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

    @Test func `keys at a URL are fetched on demand, once for all callers`() async throws {
        issuer.publish([signer.jwk()])
        let authenticator = try await authenticator()
        #expect(issuer.calls == 0)
        let gate = issuer.wait()
        let token = try signer.token()
        let asking = (0..<50).map { _ in Task { try await authenticator.principal(in: bearing(token)) } }
        gate.finish()
        for asking in asking { #expect(try await asking.value != nil) }
        #expect(issuer.calls == 1)
        #expect(issuer.requests.first?.method == .get)
        #expect(issuer.requests.first?.path == "/jwks?v=1")
    }

    @Test func `keys are fetched again for a new key id, but not for each invented one`() async throws {
        issuer.publish([signer.jwk()])
        let authenticator = try await authenticator()
        #expect(try await authenticator.principal(in: bearing(signer.token())) != nil)
        for number in 0..<100 {
            #expect(try await authenticator.principal(in: bearing(signer.token(kid: "invented-\(number)"))) == nil)
        }
        #expect(issuer.calls == 1)
        clock.advance(by: .seconds(30))
        for number in 0..<100 {
            #expect(try await authenticator.principal(in: bearing(signer.token(kid: "invented-\(number)"))) == nil)
        }
        #expect(issuer.calls == 2)
        issuer.publish([signer.jwk(), signer.jwk(kid: "2")])
        #expect(try await authenticator.principal(in: bearing(signer.token(kid: "2"))) == nil)
        clock.advance(by: .seconds(30))
        #expect(try await authenticator.principal(in: bearing(signer.token(kid: "2"))) != nil)
        #expect(issuer.calls == 3)
        // A token whose key is known never waits for the refresh.
        #expect(try await authenticator.principal(in: bearing(signer.token())) != nil)
        #expect(issuer.calls == 3)
    }

    @Test func `keys are not fetched for a token that is invalid anyway`() async throws {
        issuer.publish([signer.jwk()])
        let authenticator = try await authenticator()
        for token in ["", "a.b.c", try signer.token(alg: "none"), try signer.token(alg: "HS256")] {
            #expect(try await authenticator.principal(in: bearing(token)) == nil)
        }
        #expect(issuer.calls == 0)
    }

    @Test func `keys are renewed in the background, and not used when they are too old`() async throws {
        issuer.publish([signer.jwk()])
        let (logger, handler) = recordingLogger()
        let authenticator = try await authenticator(logger: logger)
        #expect(try await authenticator.principal(in: bearing(signer.token())) != nil)
        issuer.publish(nil)
        clock.advance(by: .seconds(900))
        let gate = issuer.wait()
        // Neither call waits, and one of them starts the refresh.
        for _ in 0..<2 { #expect(try await authenticator.principal(in: bearing(signer.token())) != nil) }
        gate.finish()
        try await waitUntil { !handler.entries.filter({ $0.level == .warning }).isEmpty }
        #expect(issuer.calls == 2)
        clock.advance(by: .seconds(2699))
        #expect(try await authenticator.principal(in: bearing(signer.token())) != nil)
        clock.advance(by: .seconds(60))
        await #expect(throws: (any Error).self) { try await authenticator.principal(in: bearing(signer.token())) }
    }

    @Test func `keys that are withdrawn are no longer used`() async throws {
        let other = try await Signers.ecdsa(ES256PrivateKey(), "P-256")
        issuer.publish([signer.jwk(), other.jwk(kid: "2")])
        let authenticator = try await authenticator()
        #expect(try await authenticator.principal(in: bearing(other.token(kid: "2"))) != nil)
        issuer.publish([signer.jwk()])
        clock.advance(by: .seconds(900))
        _ = try await authenticator.principal(in: bearing(signer.token()))
        try await waitUntil { issuer.calls >= 2 }
        try await waitUntil { try await authenticator.principal(in: bearing(other.token(kid: "2"))) == nil }
    }

    @Test func `keys that cannot be fetched are requested ever more rarely`() async throws {
        let (logger, handler) = recordingLogger()
        let authenticator = try await authenticator(logger: logger)
        func fails() async throws {
            await #expect(throws: (any Error).self) { try await authenticator.principal(in: bearing(signer.token())) }
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
        #expect(try await authenticator.principal(in: bearing(signer.token())) != nil)
        #expect(!"\(handler.entries)".contains("id.example"))
    }

    @Test func `a cancelled caller leaves the fetch of keys to the others`() async throws {
        issuer.publish([signer.jwk()])
        let authenticator = try await authenticator()
        let gate = issuer.wait()
        let token = try signer.token()
        let first = Task { try await authenticator.principal(in: bearing(token)) }
        try await waitUntil { issuer.calls != 0 }
        let second = Task { try await authenticator.principal(in: bearing(token)) }
        first.cancel()
        await #expect(throws: (any Error).self) { try await first.value }
        gate.finish()
        #expect(try await second.value != nil)
        #expect(issuer.calls == 1)
    }

    @Test func `callers do not wait for keys whose server is down`() async throws {
        let authenticator = try await authenticator()
        func fails() async throws {
            await #expect(throws: (any Error).self) { try await authenticator.principal(in: bearing(signer.token())) }
        }
        try await fails()
        clock.advance(by: .seconds(1))
        // The next fetch hangs. The caller that started it waits for one second; all others do not wait.
        let gate = issuer.wait()
        let token = try signer.token()
        let first = Task { try await authenticator.principal(in: bearing(token)) }
        try await waitUntil { issuer.calls >= 2 }
        for _ in 0..<10 { try await fails() }
        await clock.sleepers(1)
        clock.advance(by: .seconds(1))
        await #expect(throws: (any Error).self) { try await first.value }
        #expect(issuer.calls == 2)
        gate.finish()
    }

    @Test func `a new key stays unknown while the server of keys is down`() async throws {
        issuer.publish([signer.jwk()])
        let authenticator = try await authenticator()
        #expect(try await authenticator.principal(in: bearing(signer.token())) != nil)
        issuer.publish(nil)
        clock.advance(by: .seconds(30))
        for _ in 0..<3 {
            await #expect(throws: (any Error).self) {
                try await authenticator.principal(in: bearing(signer.token(kid: "2")))
            }
            // A token whose key is known is accepted all the same.
            #expect(try await authenticator.principal(in: bearing(signer.token())) != nil)
        }
    }

    @Test func `keys report their health without affecting readiness`() async throws {
        let authenticator = try await authenticator()
        let part = try #require(components(of: authenticator, as: (any HealthReporting).self).first)
        #expect(part.part == "access_keys")
        #expect(part.account == "id.example")
        #expect(await part.health() == Health(part: "access_keys", account: "id.example"))
        await #expect(throws: (any Error).self) { try await authenticator.principal(in: bearing(signer.token())) }
        clock.advance(by: .milliseconds(400))
        var expected = Health(
            part: "access_keys", account: "id.example", state: .failing,
            lastFailure: .init(.unavailable, ago: .milliseconds(400)))
        expected.retryIn = .milliseconds(600)
        #expect(await part.health() == expected)
        #expect(expected.isReady)
        issuer.publish([signer.jwk()])
        clock.advance(by: .seconds(1))
        #expect(try await authenticator.principal(in: bearing(signer.token())) != nil)
        let recovered = await part.health()
        #expect(recovered.state == .ok)
        #expect(recovered.lastSuccess == .zero)
        let local = try await TokenBrokerJWTTests.authenticator(.jwkSet(signer.jwk()), [.es256])
        #expect(components(of: local, as: (any HealthReporting).self).isEmpty)
    }

    @Test func `keys at a URL cannot be shared secrets`() async throws {
        issuer.publish([try await Signers.make(.hs256).jwk()])
        let url = try ServerURL("https://id.example/jwks")
        let keys = JWTKeys.url(url, transport: issuer, clock: clock, logger: quiet)
        let authenticator = try await TokenBrokerJWTTests.authenticator(keys, [.hs256])
        let token = try await Signers.make(.hs256).token()
        await #expect(throws: (any Error).self) { try await authenticator.principal(in: bearing(token)) }
    }
}
#endif

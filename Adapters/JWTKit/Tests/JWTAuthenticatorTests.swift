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

@Suite struct `A token that is signed as configured` {
    @Test(arguments: SigningAlgorithm.allCases)
    func `a token signed as configured names the user`(_ algorithm: SigningAlgorithm) async throws {
        let signer = try await Signers.make(algorithm)
        for alg in [nil, algorithm.rawValue] {
            let principal = try await withFile(text(signer.jwk(alg: alg))) { path in
                try await authenticator(.file(path, logger: quiet), [algorithm])
                    .authenticate(bearing(try signer.token()))
            }
            #expect(principal == Principal(subject: "anna", claims: validClaims))
        }
    }

    @Test func `the examples of RFC 7515's appendix are verified`() async throws {
        let payload =
            "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        let cases = [
            (
                "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\(payload).dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
                #"{"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#
            ),
            (
                "eyJhbGciOiJFUzI1NiJ9.\(payload).DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
                #"{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#
            ),
        ]
        for (text, jwk) in cases {
            let token = try CompactToken(text, algorithms: Set(SigningAlgorithm.allCases))
            let key = try await VerificationKey(jwk: JSONValue.parse(Array(jwk.utf8)))
            #expect(key?.verifies(token) == true)
        }
    }

    @Test func `a token can be verified with PEM keys and certificates`() async throws {
        let rsa = try await Signers.make(.rs256)
        let elliptic = try await Signers.make(.es256)
        let edwards = try await Signers.make(.edDSA)
        let pem = [
            Signers.rsaKey.publicKey.pemRepresentation, Signers.es256Key.publicKey.pemRepresentation,
            try #require(Signers.edDSAKey).publicKey.pemRepresentation,
        ].joined(separator: "\n")
        try await withFile(pem) { path in
            let authenticator = try await authenticator(.file(path, logger: quiet), [.rs256, .es256, .edDSA])
            for signer in [rsa, elliptic, edwards] {
                #expect(try await authenticator.principal(in: bearing(signer.token())) != nil)
                #expect(try await authenticator.principal(in: bearing(signer.token(kid: nil))) != nil)
            }
        }
    }

    @Test func `a token can be verified with a shared secret, and with the next one`() async throws {
        let signer = try await Signers.make(.hs256)
        let other = String(repeating: "another-secret", count: 4)
        try await withFile("\(other)\n\(Signers.secret)\n") { path in
            let authenticator = try await authenticator(.secrets(SharedSecrets(file: path)), [.hs256])
            #expect(try await authenticator.principal(in: bearing(signer.token())) != nil)
            try other.write(toFile: path, atomically: true, encoding: .utf8)
            #expect(try await authenticator.principal(in: bearing(signer.token())) == nil)
        }
    }

    @Test(
        arguments: [
            (["aud": .array(["other", "checkout"])], true), (["exp": .number(now - 29)], true),
            (["exp": .number(now - 31)], false), (["nbf": .number(now + 29)], true),
            (["nbf": .number(now + 31)], false),
            (["nbf": .number(now)], true), (["exp": .number(now + 0.5)], true),
        ] as [([String: JSONValue], Bool)])
    func `a token is valid only as long as its claims say`(
        _ claims: [String: JSONValue], _ isValid: Bool
    ) async throws {
        let signer = try await Signers.make(.es256)
        let authenticator = try await authenticator(.jwkSet(signer.jwk()), [.es256])
        let token = try signer.token(validClaims.merging(claims) { $1 })
        #expect((try await authenticator.principal(in: bearing(token)) != nil) == isValid)
    }

    @Test func `a token may name a tenant, which is then required`() async throws {
        let signer = try await Signers.make(.es256)
        let authenticator = try await authenticator(.jwkSet(signer.jwk()), [.es256], tenantClaim: "org")
        #expect(try await authenticator.principal(in: bearing(signer.token())) == nil)
        let token = try signer.token(validClaims.merging(["org": "shop"]) { $1 })
        #expect(try await authenticator.principal(in: bearing(token))?.tenant == "shop")
    }
}

@Suite struct `Where a token stands` {
    @Test func `a token is read from one place, which decides the kind of proof`() async throws {
        let signer = try await Signers.make(.es256)
        let (token, other) = (try signer.token(), try signer.token(validClaims.merging(["sub": "bob"]) { $1 }))
        let both = try await authenticator(.jwkSet(signer.jwk()), [.es256], cookie: "session")
        let bearer = try await authenticator(.jwkSet(signer.jwk()), [.es256])
        let cases: [([(String, String)], String?, String?, Proof)] = [
            ([("Authorization", "Bearer \(token)")], "anna", "anna", .presented),
            ([("Authorization", "bearer  \(token)")], "anna", "anna", .presented),
            ([("Cookie", "a=b; session=\(token); c=d")], "anna", nil, .ambient),
            ([("Cookie", "a=b"), ("Cookie", "session=\(token)")], "anna", nil, .ambient),
            ([("Authorization", "Bearer \(token)"), ("Cookie", "session=\(other)")], "anna", "anna", .presented),
            ([("Authorization", "Bearer bad"), ("Cookie", "session=\(token)")], nil, nil, .presented),
            ([("Authorization", "Basic YTpi"), ("Cookie", "session=\(token)")], "anna", nil, .ambient),
            ([("Cookie", "session=\(token); session=\(token)")], nil, nil, .ambient),
            ([("Cookie", "session=\(token)"), ("Cookie", "session=\(other)")], nil, nil, .ambient),
            ([("Cookie", "xsession=\(token)")], nil, nil, .presented),
            ([("Cookie", "Session=\(token)")], nil, nil, .presented),
            ([("Cookie", "session=\"\(token)\"")], nil, nil, .ambient),
            ([("Authorization", "Bearer \(token)"), ("Authorization", "Bearer \(token)")], nil, nil, .presented),
            ([("Authorization", "Bearer \(token), Bearer \(token)")], nil, nil, .presented),
            ([("Authorization", token)], nil, nil, .presented), ([("Authorization", "Bearer")], nil, nil, .presented),
            ([("Authorization", "Bearer ")], nil, nil, .presented), ([("X-Token", token)], nil, nil, .presented),
            ([], nil, nil, .presented),
        ]
        for (fields, withCookie, without, proof) in cases {
            #expect(
                try await both.principal(in: request(fields))?.subject == withCookie.map { ExactString($0) },
                "\(fields)"
            )
            #expect(
                try await bearer.principal(in: request(fields))?.subject == without.map { ExactString($0) }, "\(fields)"
            )
            #expect(both.proof(in: request(fields)) == proof, "\(fields)")
            #expect(bearer.proof(in: request(fields)) == .presented)
        }
    }
}

/// For each attack the endpoint responds with 401, makes no outbound request, and logs no part of the token.
@Suite struct `An attack with a token` {
    private let elliptic: Signer
    private let rsa: Signer
    private let foreign: Signer
    private let transport = ScriptedTransport([])

    init() async throws {
        elliptic = try await Signers.make(.es256)
        rsa = try await Signers.make(.rs256)
        foreign = try await Signers.ecdsa(ES256PrivateKey(), "P-256")
    }

    private struct NoTokens: TokenProvider {
        func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
            Issue.record("the attack came as far as the vendor")
            throw TokenError(.unavailable, message: "")
        }
    }

    /// - Parameter algorithms: The algorithms that are configured. The key set has an ES256 key, an RS256 key and a
    ///   shared secret.
    private func expectRefusal(
        _ tokens: [String], _ algorithms: Set<SigningAlgorithm> = [.es256, .rs256, .hs256],
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let (logger, handler) = recordingLogger()
        let secret = try await Signers.make(.hs256)
        let set: JSONValue = [
            "keys": .array([elliptic.jwk(kid: "1"), rsa.jwk(kid: "2"), secret.jwk(kid: "3")])
        ]
        try await withFile(text(set)) { path in
            let authenticator = try await authenticator(.file(path, logger: logger), algorithms)
            // The same keys accept a valid token.
            for (signer, kid) in [(elliptic, "1"), (rsa, "2"), (secret, "3")]
            where algorithms.contains(where: { $0.rawValue == signer.algorithm.name }) {
                #expect(try await authenticator.principal(in: bearing(signer.token(kid: kid))) != nil)
            }
            let endpoint = CheckoutTokenEndpoint(
                tokens: NoTokens(), authenticator: authenticator,
                policy: ClosurePolicy(binds: .session) { _, _ in true },
                configuration: .init(environment: "demo", limits: .withoutQuotas), logger: logger)
            for token in tokens {
                let response = await endpoint.respond(to: bearing(token))
                #expect(response.head.status == .unauthorized, "\(token)", sourceLocation: sourceLocation)
                #expect(response.head.headerFields[.wwwAuthenticate] == "Bearer", sourceLocation: sourceLocation)
                let told = "\(handler.entries) \(String(decoding: response.body, as: UTF8.self))"
                for part in token.split(separator: ".") where part.count > 8 {
                    #expect(!told.contains(part), sourceLocation: sourceLocation)
                }
                #expect(!told.contains("sentinel"), sourceLocation: sourceLocation)
            }
        }
        #expect(transport.sent.isEmpty)
    }

    private var payload: String { text(.object(validClaims.merging(["x": "sentinel"]) { $1 })) }

    @Test func `a token without a signature is refused`() async throws {
        var tokens: [String] = []
        for alg in ["none", "None", "NONE", "nOnE", "", " none", "none\\u0000"] {
            let header = base64URL(Array(#"{"alg":"\#(alg)","kid":"1"}"#.utf8))
            for signature in ["", "AA", base64URL([UInt8](repeating: 0, count: 64))] {
                tokens.append("\(header).\(base64URL(Array(payload.utf8))).\(signature)")
            }
        }
        for header in [#"{"kid":"1"}"#, #"{"alg":null}"#, #"{"alg":["ES256"]}"#, #"{"alg":1}"#, #"{"alg":"es256"}"#] {
            tokens.append(try elliptic.token(header: header, payload: payload))
        }
        let right = try elliptic.token().split(separator: ".")
        tokens.append("\(right[0]).\(right[1]).")
        tokens.append("\(right[0]).\(right[1])")
        try await expectRefusal(tokens)
    }

    /// Everybody knows a public key, so a token signed with it as a shared secret must be refused.
    @Test func `a token that uses a public key as a shared secret is refused`() async throws {
        var tokens: [String] = []
        let pem = Signers.rsaKey.publicKey.pemRepresentation
        let numbers = try Signers.rsaKey.publicKey.getKeyPrimitives()
        let secrets: [[UInt8]] = [
            Array(pem.utf8), Array((pem + "\n").utf8), Array(Signers.rsaKey.publicKey.derRepresentation),
            Array(numbers.modulus), Array(text(rsa.jwk(kid: "2")).utf8), Array(text(rsa.jwk()).utf8),
            Array((rsa.jwk["n"]?.string ?? "").utf8), Array((elliptic.jwk["x"]?.string ?? "").utf8),
        ]
        for secret in secrets {
            let signer = try await Signer([:]) {
                await $0.add(hmac: HMACKey(from: secret), digestAlgorithm: .sha256, kid: $1)
            }
            for kid in ["1", "2", "3", nil] { tokens.append(try signer.token(kid: kid)) }
            for alg in ["RS256", "ES256"] { tokens.append(try signer.token(alg: alg, kid: "2")) }
        }
        try await expectRefusal(tokens)
        try await expectRefusal(tokens, [.rs256, .es256])
    }

    @Test func `a token with an algorithm that is not configured is refused`() async throws {
        let tokens = try await [SigningAlgorithm.rs384, .rs512, .ps256, .ps384, .ps512].concurrentMap {
            try await Signers.make($0).token(kid: "2")
        }
        try await expectRefusal(tokens, [.rs256, .es256])
        try await expectRefusal([rsa.token(kid: "2"), Signers.make(.hs256).token(kid: "3")], [.es256])
        // The `kid` or `alg` names a key of another type.
        try await expectRefusal([rsa.token(kid: "1"), elliptic.token(kid: "2"), elliptic.token(alg: "RS256", kid: "2")])
    }

    /// For a JWK without `alg`, jwt-kit 5.7 remembers the algorithm of the first token and uses it from then on.
    @Test func `a token cannot pin a key to another algorithm`() async throws {
        let algorithms: Set<SigningAlgorithm> = [.rs256, .rs512, .ps256]
        let authenticator = try await authenticator(.jwkSet(rsa.jwk()), algorithms)
        for alg in ["PS256", "RS512", "ES256", "none"] {
            #expect(try await authenticator.principal(in: bearing(rsa.token(alg: alg))) == nil)
            #expect(try await authenticator.principal(in: bearing(rsa.token())) != nil)
        }
        // A key with an `alg` is used for no other algorithm, even a configured one.
        let bound = try await self.authenticatorForBound(algorithms)
        #expect(try await bound.principal(in: bearing(Signers.make(.ps256).token())) == nil)
        #expect(try await bound.principal(in: bearing(rsa.token())) != nil)
    }

    private func authenticatorForBound(_ algorithms: Set<SigningAlgorithm>) async throws -> JWTAuthenticator {
        try await authenticator(.jwkSet(rsa.jwk(alg: "RS256")), algorithms)
    }

    @Test func `a token with a path, a URL or nothing as its key id is refused`() async throws {
        let ids = [
            "../../etc/passwd", "/dev/null", "file:///dev/null", "https://evil.example/sentinel.json", "", "0", "1 ",
            " 1",
            "1\\u0000", "1\\n", "' OR '1'='1", "$(sentinel)", "%31", "\u{661}", String(repeating: "1", count: 9_000),
        ]
        var tokens: [String] = []
        for id in ids {
            for signer in [foreign, elliptic] {
                tokens.append(try signer.token(header: #"{"alg":"ES256","kid":"\#(id)"}"#, payload: payload))
            }
        }
        for id in ["1", "null", #"["1"]"#, "{}", "true"] {
            tokens.append(try elliptic.token(header: #"{"alg":"ES256","kid":\#(id)}"#, payload: payload))
        }
        tokens.append(try foreign.token(kid: "1"))
        tokens.append(try foreign.token(kid: nil))
        try await expectRefusal(tokens)
    }

    @Test func `a token that brings its own key is refused`() async throws {
        let jwk = text(foreign.jwk())
        let url = "https://evil.example/sentinel"
        let headers = [
            #""jwk":\#(jwk)"#, #""jku":"\#(url)""#, #""x5u":"\#(url)""#, #""x5c":["c2VudGluZWw="]"#,
            #""jwk":\#(jwk),"jku":"\#(url)""#,
        ]
        var tokens: [String] = []
        for header in headers {
            for kid in ["", #","kid":"1""#, #","kid":"new""#] {
                tokens.append(try foreign.token(header: "{\"alg\":\"ES256\",\(header)\(kid)}", payload: payload))
            }
        }
        try await expectRefusal(tokens)
    }

    @Test func `a token that is too large or nested too deeply is refused`() async throws {
        let long = String(repeating: "sentinel", count: 2_000)
        let deep = String(repeating: "[", count: 3_000) + String(repeating: "]", count: 3_000)
        let payload = String(self.payload.dropLast())
        try await expectRefusal([
            try elliptic.token(header: #"{"alg":"ES256","kid":"1"}"#, payload: payload + #","y":"\#(long)"}"#),
            try elliptic.token(header: #"{"alg":"ES256","kid":"1","y":"\#(long)"}"#, payload: self.payload),
            try elliptic.token(header: #"{"alg":"ES256","kid":"1"}"#, payload: payload + #","y":\#(deep)}"#),
            try elliptic.token(header: #"{"alg":"ES256","kid":"1","y":\#(deep)}"#, payload: self.payload),
            String(repeating: ".", count: 100_000), String(repeating: "A", count: 100_000),
        ])
    }

    @Test(
        arguments: [
            ["exp": nil], ["exp": .number(now - 31)], ["exp": .number(0)], ["exp": .number(-1)],
            ["exp": .string("1900000000")],
            ["exp": .null], ["exp": .bool(true)], ["exp": .array([.number(now + 60)])], ["nbf": .number(now + 31)],
            ["nbf": .number(1e300)], ["nbf": .string("0")], ["nbf": .null], ["iss": nil],
            ["iss": "https://evil.example"],
            ["iss": "https://id.example/"], ["iss": "HTTPS://id.example"], ["iss": .array(["https://id.example"])],
            ["iss": .null],
            ["aud": nil], ["aud": "Checkout"], ["aud": "checkout "], ["aud": "checkout,other"], ["aud": .array([])],
            ["aud": .array(["other"])], ["aud": .array([.array(["checkout"])])], ["aud": ["checkout": .bool(true)]],
            ["aud": .number(1)], ["sub": nil], ["sub": ""], ["sub": .number(1)], ["sub": .null],
            ["sub": .array(["anna"])],
            ["sub": .string(String(repeating: "a", count: 256))],
        ] as [[String: JSONValue?]])
    func `a token with missing or invalid claims is refused`(_ changes: [String: JSONValue?]) async throws {
        var claims = validClaims
        claims["x"] = "sentinel"
        for (name, value) in changes { claims[name] = value }
        try await expectRefusal([try elliptic.token(claims)])
    }

    @Test func `a token with a duplicate member or without an object is refused`() async throws {
        let header = #"{"alg":"ES256","kid":"1"}"#
        let rest = payload.dropFirst()
        try await expectRefusal([
            try elliptic.token(header: header, payload: #"{"sub":"sentinel",\#(rest)"#),
            try elliptic.token(header: header, payload: #"{"exp":99999999999,\#(rest)"#),
            try elliptic.token(header: header, payload: #"{"\u0073ub":"sentinel",\#(rest)"#),
            try elliptic.token(header: header, payload: #"{"x1":{"a":1,"a":2},\#(rest)"#),
            try elliptic.token(header: #"{"alg":"ES256","alg":"ES256","kid":"1"}"#, payload: payload),
            try elliptic.token(header: #"{"alg":"none","kid":"1","alg":"ES256"}"#, payload: payload),
            try elliptic.token(header: #"{"alg":"ES256","kid":"0","kid":"1"}"#, payload: payload),
            try elliptic.token(header: header, payload: "[\(payload)]"),
            try elliptic.token(header: header, payload: ""),
            try elliptic.token(header: header, payload: "null"),
            try elliptic.token(header: header, payload: payload + "x"),
            try elliptic.token(header: header, payload: String(payload.dropLast())),
            try elliptic.token(header: "[]", payload: payload), try elliptic.token(header: "ES256", payload: payload),
            try elliptic.token(header: "", payload: payload),
        ])
    }

    @Test func `a token with critical extensions or of another type is refused`() async throws {
        var tokens: [String] = []
        for member in [
            #""crit":["exp"],"exp":1"#, #""crit":[]"#, #""crit":["b64"],"b64":false"#, #""crit":null"#,
            #""crit":"sentinel""#,
            #""typ":"logout+jwt""#, #""typ":"secevent+jwt""#, #""typ":"JWE""#, #""typ":1"#, #""typ":"""#,
        ] {
            tokens.append(try elliptic.token(header: "{\"alg\":\"ES256\",\"kid\":\"1\",\(member)}", payload: payload))
        }
        try await expectRefusal(tokens)
    }

    @Test func `a token with an empty, foreign or reencoded signature is refused`() async throws {
        let parts = try elliptic.token().split(separator: ".").map(String.init)
        let other = try elliptic.token(validClaims.merging(["sub": "sentinel"]) { $1 }).split(separator: ".")
        let signature = try #require(base64URLDecoded(parts[2]))
        // Some tools encode r and s as an ASN.1 sequence.
        func integer(_ bytes: ArraySlice<UInt8>) -> [UInt8] { [2, UInt8(bytes.count + 1), 0] + bytes }
        let integers = integer(signature[..<32]) + integer(signature[32...])
        let signatures: [[UInt8]] = [
            [UInt8](repeating: 0, count: 64), [UInt8](repeating: 0, count: 32) + [UInt8](repeating: 0, count: 31) + [1],
            Array(signature.prefix(63)), signature + [0], Array(signature.reversed()),
            [48, UInt8(integers.count)] + integers,
            Array(signature[32...] + signature[..<32]), [0], [UInt8](repeating: 255, count: 64),
        ]
        var tokens = signatures.map { "\(parts[0]).\(parts[1]).\(base64URL($0))" }
        tokens += [
            "\(parts[0]).\(other[1]).\(parts[2])", "\(parts[0]).\(parts[1]).\(other[2])",
            "\(parts[0]).\(parts[1]).\(parts[2])=", "\(parts[0]).\(parts[1]).\(parts[2])==",
            "\(parts[0]).\(parts[1]).\(parts[2]).",
            ".\(parts[0]).\(parts[1]).\(parts[2])", "\(parts[0]).\(parts[1]).\(parts[2]).\(parts[2]).\(parts[2])",
            "\(parts[0])..\(parts[2])", "\(parts[0]) .\(parts[1]).\(parts[2])", "\(parts[0]).\(parts[1]).\(parts[2]) x",
            "..", "",
            "\(parts[1]).\(parts[0]).\(parts[2])", "\(parts[0]).\(parts[1])+.\(parts[2])",
        ]
        try await expectRefusal(tokens)
    }

    /// A valid token with random changes is refused, unless it decodes to the same bytes.
    @Test func `a token with randomly changed bytes is refused`() async throws {
        let authenticator = try await authenticator(.jwkSet(elliptic.jwk()), [.es256])
        let valid = Array(try elliptic.token().utf8)
        let signature = try #require(base64URLDecoded(String(decoding: valid, as: UTF8.self).split(separator: ".")[2]))
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("ABab09-_=.+/ \0{}\"".utf8) + [0xFF, 0xC3]
        for _ in 0..<5_000 {
            var bytes = valid
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let index = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes[index] = alphabet.randomElement() ?? 0
                case 1: bytes.remove(at: index)
                case 2: bytes.insert(alphabet.randomElement() ?? 0, at: index)
                default: bytes.swapAt(index, Int.random(in: 0..<bytes.count, using: &generator))
                }
            }
            let text = String(decoding: bytes, as: UTF8.self)
            guard try await authenticator.principal(in: bearing(text)) != nil else { continue }
            // A header field cannot contain a zero byte, which becomes a space.
            let outside = CharacterSet.whitespaces.union(["\0"])
            let parts = text.trimmingCharacters(in: outside).split(separator: ".")
            #expect(
                text.trimmingCharacters(in: outside).hasPrefix(
                    String(decoding: valid.prefix(valid.count - 87), as: UTF8.self)))
            #expect(parts.count == 3 && base64URLDecoded(parts[2]) == signature)
        }
    }
}

extension Array where Element: Sendable {
    func concurrentMap<Value>(_ transform: (Element) async throws -> Value) async throws -> [Value] {
        var values: [Value] = []
        for element in self { values.append(try await transform(element)) }
        return values
    }
}

@Suite struct `A token that is refused says why` {
    @Test(
        arguments: [
            (["exp": .number(now - 3600)], "token_expired"), (["exp": .null], "expiry_missing"),
            (["nbf": .number(now + 3600)], "token_not_yet_valid"), (["aud": "other"], "wrong_audience"),
            (["iss": "https://other.example"], "wrong_issuer"), (["sub": ""], "subject_claim_missing"), ([:], nil),
        ] as [([String: JSONValue], String?)])
    func `a token that is refused for its claims says why`(changes: [String: JSONValue], reason: String?) async throws {
        let signer = try await Signers.make(.es256)
        let authenticator = try await authenticator(.jwkSet(["keys": .array([signer.jwk()])]), [.es256])
        let token = try signer.token(validClaims.merging(changes) { $1 })
        #expect(try await authenticator.refusal(of: bearing(token)) == reason)
    }

    @Test func `a token that is refused for its form or key says why`() async throws {
        let signer = try await Signers.make(.es256)
        let other = try await Signers.make(.rs256)
        let authenticator = try await authenticator(
            .jwkSet(["keys": .array([signer.jwk()])]), [.es256], tenantClaim: "org")
        let good = try signer.token()
        let parts = good.split(separator: ".")
        let foreign = try signer.token(kid: nil).split(separator: ".")[2]
        let typed = try signer.token(header: #"{"alg": "ES256", "typ": "logout+jwt"}"#, payload: "{}")
        let critical = try signer.token(header: #"{"alg": "ES256", "crit": ["x"]}"#, payload: "{}")
        let listed = try signer.token(header: #"{"alg": "ES256", "kid": "1"}"#, payload: "[]")
        for (token, reason) in [
            (good, "tenant_claim_missing"), ("nonsense", "token_malformed"),
            (String(repeating: "a", count: 17 << 10), "token_too_long"), (try other.token(), "wrong_algorithm"),
            (try signer.token(kid: "9"), "unknown_key"), (typed, "wrong_type"), (critical, "unknown_extension"),
            ("\(parts[0]).\(parts[1]).\(foreign)", "bad_signature"), (listed, "claims_malformed"),
        ] {
            #expect(try await authenticator.refusal(of: bearing(token)) == reason, "\(reason)")
        }
        #expect(try await authenticator.refusal(of: request([])) == "token_missing")
        let twice = request([("Authorization", "Bearer \(good)"), ("Authorization", "Bearer \(good)")])
        #expect(try await authenticator.refusal(of: twice) == "token_repeated")
    }
}
#endif

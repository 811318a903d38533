#if JWTSupport
import Foundation
import HTTPTypes
import InMemoryLogging
import JWTKit
import Logging
import TestSupport
import TokenBroker

@testable import TokenBrokerJWT

let now = 1_800_000_000.0
let quiet = Logger(label: "t") { _ in SwiftLogNoOpLogHandler() }

/// A private key that signs tokens, and its public key.
struct Signer: Sendable {
    var algorithm: any JWTAlgorithm
    /// The members of the JWK without `kid` and `alg`.
    var jwk: [String: JSONValue]

    init(
        _ jwk: [String: JSONValue], _ add: (JWTKeyCollection, JWKIdentifier) async -> JWTKeyCollection
    ) async throws {
        self.jwk = jwk
        self.algorithm = try await add(JWTKeyCollection(), "key").getKey(for: "key")
    }

    /// - Parameter header: The whole header as JSON, used unchanged.
    func token(header: String, payload: String) throws -> String {
        let signed = "\(base64URL(Array(header.utf8))).\(base64URL(Array(payload.utf8)))"
        return "\(signed).\(base64URL(try algorithm.sign(Array(signed.utf8))))"
    }

    func token(alg: String? = nil, kid: String? = "1", _ claims: [String: JSONValue] = validClaims) throws -> String {
        var header: [String: JSONValue] = ["alg": .string(alg ?? algorithm.name), "typ": "JWT"]
        header["kid"] = kid.map(JSONValue.string)
        return try token(header: text(.object(header)), payload: text(.object(claims)))
    }

    func jwk(kid: String? = "1", alg: String? = nil) -> JSONValue {
        var members = jwk
        members["kid"] = kid.map(JSONValue.string)
        members["alg"] = alg.map(JSONValue.string)
        return .object(members)
    }
}

let validClaims: [String: JSONValue] = [
    "iss": "https://id.example", "aud": "checkout", "sub": "anna", "exp": .number(now + 60), "customer": "cus_1",
]

func text(_ value: JSONValue) -> String { String(decoding: value.serialized, as: UTF8.self) }

func base64URL(_ bytes: [UInt8]) -> String {
    Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
}

/// Converts base64, the encoding in which jwt-kit returns coordinates.
private func base64URL(base64 text: String?) -> JSONValue {
    .string((text ?? "").replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: ""))
}

/// One signer of each kind, created once.
enum Signers {
    static let secret = String(repeating: "shared-secret-", count: 5)

    static let rsaKey: Insecure.RSA.PrivateKey = {
        let pem = try? shell("openssl genrsa 2048 2>/dev/null")
        guard let key = try? Insecure.RSA.PrivateKey(pem: pem ?? "") else { preconditionFailure("openssl is missing") }
        return key
    }()
    static let es256Key = ES256PrivateKey()
    static let edDSAKey = try? EdDSA.PrivateKey()

    static func make(_ algorithm: SigningAlgorithm) async throws -> Signer {
        switch algorithm {
        case .hs256: try await hmac(.sha256)
        case .hs384: try await hmac(.sha384)
        case .hs512: try await hmac(.sha512)
        case .rs256: try await rsa { await $0.add(rsa: rsaKey, digestAlgorithm: .sha256, kid: $1) }
        case .rs384: try await rsa { await $0.add(rsa: rsaKey, digestAlgorithm: .sha384, kid: $1) }
        case .rs512: try await rsa { await $0.add(rsa: rsaKey, digestAlgorithm: .sha512, kid: $1) }
        case .ps256: try await rsa { await $0.add(pss: rsaKey, digestAlgorithm: .sha256, kid: $1) }
        case .ps384: try await rsa { await $0.add(pss: rsaKey, digestAlgorithm: .sha384, kid: $1) }
        case .ps512: try await rsa { await $0.add(pss: rsaKey, digestAlgorithm: .sha512, kid: $1) }
        case .es256: try await ecdsa(es256Key, "P-256")
        case .es384: try await ecdsa(ES384PrivateKey(), "P-384")
        case .es512: try await ecdsa(ES512PrivateKey(), "P-521")
        case .edDSA: try await edDSA()
        }
    }

    private static func hmac(_ digest: DigestAlgorithm) async throws -> Signer {
        try await Signer(["kty": "oct", "k": .string(base64URL(Array(secret.utf8)))]) {
            await $0.add(hmac: HMACKey(from: secret), digestAlgorithm: digest, kid: $1)
        }
    }

    private static func rsa(
        _ add: (JWTKeyCollection, JWKIdentifier) async -> JWTKeyCollection
    ) async throws -> Signer {
        let numbers = try rsaKey.publicKey.getKeyPrimitives()
        return try await Signer(
            [
                "kty": "RSA", "n": .string(base64URL(Array(numbers.modulus))),
                "e": .string(base64URL(Array(numbers.publicExponent))),
            ], add
        )
    }

    static func ecdsa<Curve>(_ key: ECDSA.PrivateKey<Curve>, _ curve: String) async throws -> Signer {
        try await Signer([
            "kty": "EC", "crv": .string(curve), "x": base64URL(base64: key.parameters?.x),
            "y": base64URL(base64: key.parameters?.y),
        ]) { await $0.add(ecdsa: key, kid: $1) }
    }

    private static func edDSA() async throws -> Signer {
        let key = try edDSAKey ?? EdDSA.PrivateKey()
        return try await Signer([
            "kty": "OKP", "crv": "Ed25519", "x": .string(base64URL(Array(key.publicKey.rawRepresentation))),
        ]) { await $0.add(eddsa: key, kid: $1) }
    }
}

/// Runs `body` with the path of a temporary file with this content.
func withFile<Value>(_ content: String, _ body: (String) async throws -> Value) async throws -> Value {
    let path = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).path
    try content.write(toFile: path, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await body(path)
}

func authenticator(
    _ keys: JWTKeys, _ algorithms: Set<SigningAlgorithm>, cookie: String? = nil, tenantClaim: String? = nil
) async throws -> JWTAuthenticator {
    try await JWTAuthenticator(
        .init(
            issuer: "https://id.example", audience: "checkout", algorithms: algorithms, leeway: .seconds(30),
            tenantClaim: tenantClaim, cookie: cookie
        ),
        keys: keys, wallClock: { Date(timeIntervalSince1970: now) }
    )
}

func request(_ fields: [(String, String)]) -> EndpointRequest {
    var head = HTTPRequest(
        method: .post, scheme: "https", authority: "pay.example", path: "/api/checkout-token",
        headerFields: [.contentType: "application/json"]
    )
    for (name, value) in fields {
        if let name = HTTPField.Name(name) { head.headerFields.append(HTTPField(name: name, value: value)) }
    }
    let body = #"{"customerId": "cus_1", "invoiceId": "inv_1"}"#
    return EndpointRequest(head: head, body: EndpointBody(Array(body.utf8)), peer: PeerAddress(ip: "192.0.2.1"))
}

func bearing(_ token: String) -> EndpointRequest { request([("Authorization", "Bearer " + token)]) }

func recordingLogger() -> (Logger, InMemoryLogHandler) {
    let handler = InMemoryLogHandler()
    var logger = Logger(label: "test") { _ in handler }
    logger.logLevel = .trace
    return (logger, handler)
}
#endif

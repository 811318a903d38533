#if JWTSupport
import JWTKit
import TokenBroker

/// A key that verifies tokens, with the algorithms that it supports.
///
/// jwt-kit does the cryptography, for one key and one algorithm at a time. Its own key sets are not used. They choose
/// the algorithm by what a token says, fall back to a default key, and are refused as a whole because of one unknown
/// key.
struct VerificationKey: Sendable {
    /// The key's `kid`.
    var id: ExactString?
    private var verifiers: [SigningAlgorithm: any JWTAlgorithm] = [:]

    func supports(_ algorithm: SigningAlgorithm) -> Bool { verifiers[algorithm] != nil }

    func verifies(_ token: CompactToken) -> Bool {
        // jwt-kit throws for a malformed signature.
        (try? verifiers[token.algorithm]?.verify(token.signature, signs: token.signedPart)) ?? false
    }

    /// Why a key cannot be used. Contains none of the key's content.
    struct Unusable: Error {
        var reason: String
    }
}

extension VerificationKey {
    /// Creates a key from a shared secret, for the HS algorithms that the secret is long enough for.
    init(secret bytes: [UInt8], id: ExactString? = nil) async throws(Unusable) {
        self.id = id
        let digests: [(SigningAlgorithm, DigestAlgorithm)] = [
            (.hs256, .sha256), (.hs384, .sha384), (.hs512, .sha512),
        ]
        for (algorithm, digest) in digests where bytes.count >= algorithm.minimumSecretBytes ?? .max {
            await add(algorithm) { await $0.add(hmac: HMACKey(from: bytes), digestAlgorithm: digest, kid: $1) }
        }
        guard !verifiers.isEmpty else { throw Unusable(reason: "the secret is shorter than 32 bytes") }
    }

    /// Creates a key from a public key or a certificate.
    init(pem: String) async throws(Unusable) {
        let isCertificate = pem.contains("-----BEGIN CERTIFICATE-----")
        if let key = try? isCertificate ? Insecure.RSA.PublicKey(certificatePEM: pem) : .init(pem: pem) {
            try await add(key)
        } else if let key = try? isCertificate ? ES256PublicKey(certificate: pem) : .init(pem: pem) {
            await add(.es256) { await $0.add(ecdsa: key, kid: $1) }
        } else if let key = try? isCertificate ? ES384PublicKey(certificate: pem) : .init(pem: pem) {
            await add(.es384) { await $0.add(ecdsa: key, kid: $1) }
        } else if let key = try? isCertificate ? ES512PublicKey(certificate: pem) : .init(pem: pem) {
            await add(.es512) { await $0.add(ecdsa: key, kid: $1) }
        } else if !isCertificate, let key = try? EdDSA.PublicKey(pem: pem) {
            try Self.checkEd25519(Array(key.rawRepresentation))
            await add(.edDSA) { await $0.add(eddsa: key, kid: $1) }
        } else {
            throw Unusable(
                reason:
                    "expected a public key or a certificate: RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519"
            )
        }
    }

    /// Creates a key from a JSON Web Key (RFC 7517). Returns `nil` if it is not for signatures, or not of a supported
    /// kind.
    init?(jwk: JSONValue) async throws(Unusable) {
        guard case .object = jwk, let type = jwk["kty"]?.string else { throw Unusable(reason: "it has no kty") }
        /// Treats `null` as absent, because some servers write it for a member that they do not have.
        func optional(_ name: String) -> JSONValue? { jwk[name] == .null ? nil : jwk[name] }
        if type != "oct", Self.privateMembers.contains(where: { optional($0) != nil }) {
            throw Unusable(reason: "it is a private key, where only public keys belong")
        }
        if let use = optional("use"), use != "sig" { return nil }
        if case .array(let operations)? = jwk["key_ops"], !operations.contains("verify") { return nil }
        if let id = optional("kid") {
            guard let id = id.string else { throw Unusable(reason: "its kid is not a string") }
            self.id = id
        }
        func number(_ name: String, _ lengths: ClosedRange<Int>) throws(Unusable) -> String {
            guard let text = jwk[name]?.string?.unicode, let bytes = base64URLDecoded(text),
                lengths.contains(bytes.count)
            else {
                throw Unusable(reason: "its \(name) is missing, malformed or of the wrong length")
            }
            return text
        }
        do {
            switch (type, jwk["crv"]?.string) {
            case ("oct", _):
                guard let bytes = jwk["k"]?.string.flatMap({ base64URLDecoded($0.unicode) }) else {
                    throw Unusable(reason: "its k is missing or malformed")
                }
                self = try await VerificationKey(secret: bytes, id: id)
            case ("RSA", _):
                try await add(Insecure.RSA.PublicKey(modulus: number("n", 256...1024), exponent: number("e", 1...8)))
            case ("EC", "P-256"):
                let key = try ES256PublicKey(parameters: (number("x", 32...32), number("y", 32...32)))
                await add(.es256) { await $0.add(ecdsa: key, kid: $1) }
            case ("EC", "P-384"):
                let key = try ES384PublicKey(parameters: (number("x", 48...48), number("y", 48...48)))
                await add(.es384) { await $0.add(ecdsa: key, kid: $1) }
            case ("EC", "P-521"):
                let key = try ES512PublicKey(parameters: (number("x", 66...66), number("y", 66...66)))
                await add(.es512) { await $0.add(ecdsa: key, kid: $1) }
            case ("OKP", "Ed25519"):
                let key = try EdDSA.PublicKey(x: number("x", 32...32), curve: .ed25519)
                try Self.checkEd25519(Array(key.rawRepresentation))
                await add(.edDSA) { await $0.add(eddsa: key, kid: $1) }
            default:
                return nil
            }
        } catch let unusable as Unusable {
            throw unusable
        } catch {
            throw Unusable(reason: "its parameters are not a valid key")
        }
        // A key that names its algorithm is used for no other.
        if let name = optional("alg") {
            let algorithm = name.string.flatMap({ SigningAlgorithm(name: $0.unicode) })
            verifiers = verifiers.filter { $0.key == algorithm }
            if verifiers.isEmpty { return nil }
        }
    }

    /// The members that only private keys have (RFC 7518, sections 6.2.2, 6.3.2 and 6.4, and RFC 8037, section 2).
    private static let privateMembers = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"]

    /// Refuses a point of small order, for which anyone can make signatures that fit any message.
    ///
    /// Also refuses an encoding that is not below the prime, because it is another encoding of a smaller value (RFC
    /// 8032, section 5.1.3).
    private static func checkEd25519(_ bytes: [UInt8]) throws(Unusable) {
        var y = bytes
        // The highest bit is the sign of x. A point of small order occurs with either sign.
        if let last = y.indices.last { y[last] &= 0x7F }
        let isOverPrime = y.dropFirst().dropLast().allSatisfy { $0 == 0xFF } && y.last == 0x7F && y[0] >= 0xED
        guard y.count == 32, !isOverPrime, !smallOrders.contains(y) else {
            throw Unusable(reason: "it is a point of small order, for which anyone can forge signatures")
        }
    }

    /// The y coordinates of the eight points of small order: 0, 1, -1, and the two of the points of order 8.
    private static let smallOrders: Set<[UInt8]> = [
        [UInt8](repeating: 0, count: 32),
        [1] + [UInt8](repeating: 0, count: 31),
        [0xEC] + [UInt8](repeating: 0xFF, count: 30) + [0x7F],
        [
            0x26, 0xE8, 0x95, 0x8F, 0xC2, 0xB2, 0x27, 0xB0, 0x45, 0xC3, 0xF4, 0x89, 0xF2, 0xEF, 0x98, 0xF0, 0xD5, 0xDF,
            0xAC, 0x05,
            0xD3, 0xC6, 0x33, 0x39, 0xB1, 0x38, 0x02, 0x88, 0x6D, 0x53, 0xFC, 0x05,
        ],
        [
            0xC7, 0x17, 0x6A, 0x70, 0x3D, 0x4D, 0xD8, 0x4F, 0xBA, 0x3C, 0x0B, 0x76, 0x0D, 0x10, 0x67, 0x0F, 0x2A, 0x20,
            0x53, 0xFA,
            0x2C, 0x39, 0xCC, 0xC6, 0x4E, 0xC7, 0xFD, 0x77, 0x92, 0xAC, 0x03, 0x7A,
        ],
    ]

    /// Adds an RSA key for each of the RSA algorithms.
    ///
    /// - Throws: ``Unusable`` unless the modulus has 2048 to 8192 bits, and the exponent is odd, at least 3 and less
    ///   than 2³². With an exponent of 1, every message is its own signature.
    private mutating func add(_ key: Insecure.RSA.PublicKey) async throws(Unusable) {
        guard let (modulus, exponent) = try? key.getKeyPrimitives() else {
            throw Unusable(reason: "its parameters are not a valid key")
        }
        let n = modulus.drop { $0 == 0 }
        let e = exponent.drop { $0 == 0 }
        guard (256...1024).contains(n.count), n.first.map({ n.count > 256 || $0 >= 0x80 }) == true,
            n.last.map({ $0 & 1 == 1 }) == true
        else { throw Unusable(reason: "its modulus is even, or has fewer than 2048 or more than 8192 bits") }
        guard (1...4).contains(e.count), e.last.map({ $0 & 1 == 1 }) == true, e.elementsEqual([1]) == false else {
            throw Unusable(reason: "its exponent is even, 1 or too large")
        }
        let digests: [(SigningAlgorithm, SigningAlgorithm, DigestAlgorithm)] = [
            (.rs256, .ps256, .sha256), (.rs384, .ps384, .sha384), (.rs512, .ps512, .sha512),
        ]
        for (pkcs1, pss, digest) in digests {
            await add(pkcs1) { await $0.add(rsa: key, digestAlgorithm: digest, kid: $1) }
            await add(pss) { await $0.add(pss: key, digestAlgorithm: digest, kid: $1) }
        }
    }

    /// Adds an algorithm. It goes through a collection with one key, because only that gives access to jwt-kit's
    /// algorithm with its key.
    private mutating func add(
        _ algorithm: SigningAlgorithm, _ add: (JWTKeyCollection, JWKIdentifier) async -> JWTKeyCollection
    ) async {
        verifiers[algorithm] = try? await add(JWTKeyCollection(), "key").getKey(for: "key")
    }
}

/// A set of keys in which a token's key is looked up.
struct KeySet: Sendable {
    var keys: [VerificationKey] = []

    /// Returns the keys that `token` may have been signed with: those with its `kid`, or all if the token has none or
    /// no key has one.
    func candidates(for token: CompactToken) -> [VerificationKey] {
        let isNamed = keys.contains { $0.id != nil }
        let candidates = keys.filter { key in
            key.supports(token.algorithm) && (!isNamed || token.keyID.map { $0 == key.id } ?? true)
        }
        // A single token must not cause a whole set of keys to be tried.
        return candidates.count <= 4 ? candidates : []
    }
}

extension KeySet {
    private static let maximumKeys = 100

    /// Creates a set from a JWK set or a single JWK. A key that cannot be used does not affect the others.
    ///
    /// - Parameters:
    ///   - jwks: The JWK set, or a single JWK.
    ///   - allowsSecrets: Whether keys of the type `oct` are accepted.
    ///   - unusable: Called with the index of each key that is skipped although it may have been meant for use, and the
    ///     reason.
    init(
        jwks: JSONValue, allowsSecrets: Bool, unusable: (Int, String) -> Void = { _, _ in }
    ) async throws(VerificationKey.Unusable) {
        let elements: [JSONValue]
        switch jwks["keys"] {
        case .array(let keys)?: elements = keys
        case nil where jwks["kty"] != nil: elements = [jwks]
        default: throw VerificationKey.Unusable(reason: "expected a JWK set: a JSON object with an array \"keys\"")
        }
        guard elements.count <= Self.maximumKeys else {
            throw VerificationKey.Unusable(reason: "expected at most \(Self.maximumKeys) keys, found more")
        }
        for (index, element) in elements.enumerated() {
            if element["kty"] == "oct", !allowsSecrets {
                unusable(index, "a shared secret does not belong here")
                continue
            }
            do throws(VerificationKey.Unusable) {
                if let key = try await VerificationKey(jwk: element) { keys.append(key) }
            } catch {
                unusable(index, error.reason)
            }
        }
    }

    /// Creates a set from one or more public keys or certificates in PEM form, one after the other.
    init(pem text: String) async throws(VerificationKey.Unusable) {
        guard !text.contains("PRIVATE KEY-----") else {
            throw VerificationKey.Unusable(reason: "expected public keys only, found a private key")
        }
        for block in text.split(separator: "-----BEGIN ").dropFirst(text.hasPrefix("-----BEGIN ") ? 0 : 1) {
            keys.append(try await VerificationKey(pem: "-----BEGIN " + block))
        }
    }
}
#endif

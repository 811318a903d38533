#if JWTSupport
import JWTKit
import TokenBroker

/// A key that tokens are verified with, and with which algorithms.
///
/// jwt-kit does the cryptography, of one key with one algorithm at a time. Its own key sets choose the algorithm by what a
/// token says, fall back to a default key, and are refused whole for one key that they do not know.
struct VerificationKey: Sendable {
    /// `kid`.
    var id: ExactString?
    private var verifiers: [SigningAlgorithm: any JWTAlgorithm] = [:]

    func supports(_ algorithm: SigningAlgorithm) -> Bool { verifiers[algorithm] != nil }

    func verifies(_ token: CompactToken) -> Bool {
        // What it throws for is a signature of the wrong form.
        (try? verifiers[token.algorithm]?.verify(token.signature, signs: token.signedPart)) ?? false
    }

    /// Why a key cannot be used; without any of its content.
    struct Unusable: Error {
        var reason: String
    }
}

extension VerificationKey {
    /// A shared secret, for as many of the HS algorithms as it is long enough for.
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

    /// A public key or a certificate.
    init(pem: String) async throws(Unusable) {
        let isCertificate = pem.contains("-----BEGIN CERTIFICATE-----")
        if let key = try? isCertificate ? Insecure.RSA.PublicKey(certificatePEM: pem) : .init(pem: pem) {
            await add(key)
        } else if let key = try? isCertificate ? ES256PublicKey(certificate: pem) : .init(pem: pem) {
            await add(.es256) { await $0.add(ecdsa: key, kid: $1) }
        } else if let key = try? isCertificate ? ES384PublicKey(certificate: pem) : .init(pem: pem) {
            await add(.es384) { await $0.add(ecdsa: key, kid: $1) }
        } else if let key = try? isCertificate ? ES512PublicKey(certificate: pem) : .init(pem: pem) {
            await add(.es512) { await $0.add(ecdsa: key, kid: $1) }
        } else if !isCertificate, let key = try? EdDSA.PublicKey(pem: pem) {
            await add(.edDSA) { await $0.add(eddsa: key, kid: $1) }
        } else {
            throw Unusable(
                reason:
                    "expected a public key or a certificate: RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519"
            )
        }
    }

    /// One JSON Web Key (RFC 7517); `nil` for one that is not for signatures.
    init?(jwk: JSONValue) async throws(Unusable) {
        guard case .object = jwk, let type = jwk["kty"]?.string else { throw Unusable(reason: "it has no kty") }
        if let use = jwk["use"], use != "sig" { return nil }
        if case .array(let operations)? = jwk["key_ops"], !operations.contains("verify") { return nil }
        if let id = jwk["kid"] {
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
                await add(try Insecure.RSA.PublicKey(modulus: number("n", 256...1024), exponent: number("e", 1...8)))
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
                await add(.edDSA) { await $0.add(eddsa: key, kid: $1) }
            default:
                return nil
            }
        } catch let unusable as Unusable {
            throw unusable
        } catch {
            throw Unusable(reason: "its numbers are no key")
        }
        // A key that says what it is for is for nothing else.
        if let algorithm = jwk["alg"] {
            verifiers = verifiers.filter { .string($0.key.rawValue) == algorithm }
            if verifiers.isEmpty { return nil }
        }
    }

    private mutating func add(_ key: Insecure.RSA.PublicKey) async {
        let digests: [(SigningAlgorithm, SigningAlgorithm, DigestAlgorithm)] = [
            (.rs256, .ps256, .sha256), (.rs384, .ps384, .sha384), (.rs512, .ps512, .sha512),
        ]
        for (pkcs1, pss, digest) in digests {
            await add(pkcs1) { await $0.add(rsa: key, digestAlgorithm: digest, kid: $1) }
            await add(pss) { await $0.add(pss: key, digestAlgorithm: digest, kid: $1) }
        }
    }

    /// A collection of one key, since that is how jwt-kit hands out an algorithm with its key.
    private mutating func add(
        _ algorithm: SigningAlgorithm, _ add: (JWTKeyCollection, JWKIdentifier) async -> JWTKeyCollection
    ) async {
        verifiers[algorithm] = try? await add(JWTKeyCollection(), "key").getKey(for: "key")
    }
}

/// Keys, in which a token's key is looked up.
struct KeySet: Sendable {
    var keys: [VerificationKey] = []

    /// Those that `token` may have been signed with: the ones of its `kid`; all if it has none, or if none of ours has one.
    func candidates(for token: CompactToken) -> [VerificationKey] {
        let isNamed = keys.contains { $0.id != nil }
        let candidates = keys.filter {
            $0.supports(token.algorithm) && (!isNamed || token.keyID == nil || $0.id == token.keyID)
        }
        // Nobody makes us try a whole set for one token.
        return candidates.count <= 4 ? candidates : []
    }
}

extension KeySet {
    private static let maximumKeys = 100

    /// A JWK set or a single JWK, key by key: one that cannot be used does not keep the others from being used.
    /// - Parameters:
    ///   - allowsSecrets: Whether keys of the type `oct` count.
    ///   - unusable: Told of each key that is passed over and should perhaps not be, by its place and the reason.
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

    /// One or more public keys or certificates, one after the other.
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

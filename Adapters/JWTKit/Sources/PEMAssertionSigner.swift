#if JWTSupport
import FoundationEssentials
import JWTKit
public import TokenBroker

/// A signer of client assertions that uses a private key in PEM form, taken from `Credential/clientSecret`.
///
/// The key must be unencrypted, in PKCS #8 or in the older form of its type.
public struct PEMAssertionSigner: ClientAssertionSigner {
    /// A signature algorithm (RFC 7518, section 3.1, and RFC 8037).
    public enum Algorithm: String, Sendable, CaseIterable {
        case rs256 = "RS256"
        case ps256 = "PS256"
        case es256 = "ES256"
        case edDSA = "EdDSA"
    }

    private let algorithm: Algorithm?
    private let keyID: String?

    /// Creates a signer.
    ///
    /// - Parameters:
    ///   - algorithm: The signature algorithm. `nil` selects the key's default: RS256 for RSA of at least 2048 bits,
    ///     ES256 for P-256, EdDSA for Ed25519.
    ///   - keyID: The `kid` in the header. `nil` omits it.
    public init(algorithm: Algorithm? = nil, keyID: String? = nil) {
        self.algorithm = algorithm
        self.keyID = keyID
    }

    /// Returns a signed assertion.
    ///
    /// - Throws: `CredentialError` if the key cannot be used.
    public func sign(
        _ assertion: ClientAssertion, with credential: Credential
    ) async throws(CredentialError) -> Secret {
        let keys = JWTKeyCollection()
        let kid = keyID.map { JWKIdentifier(string: $0) }
        try await add(credential.clientSecret, to: keys, kid)
        let claims = Claims(
            iss: assertion.clientID.reveal(), sub: assertion.clientID.reveal(), aud: assertion.audience,
            jti: assertion.id, iat: Int(assertion.issuedAt.timeIntervalSince1970),
            exp: Int(assertion.expiresAt.timeIntervalSince1970)
        )
        do {
            return Secret(try await keys.sign(claims, kid: kid))
        } catch {
            throw broken("it cannot be used to sign")
        }
    }

    private func add(
        _ key: Secret, to keys: JWTKeyCollection, _ kid: JWKIdentifier?
    ) async throws(CredentialError) {
        let pem = key.reveal()
        let (found, name): (Algorithm, String)
        if let key = try? ES256PrivateKey(pem: pem) {
            (found, name) = (.es256, "a P-256")
            await keys.add(ecdsa: key, kid: kid)
        } else if let key = try? EdDSA.PrivateKey(pem: pem) {
            (found, name) = (.edDSA, "an Ed25519")
            await keys.add(eddsa: key, kid: kid)
        } else if let key = try? Insecure.RSA.PrivateKey(pem: pem) {
            (found, name) = (algorithm == .ps256 ? .ps256 : .rs256, "an RSA")
            if found == .ps256 {
                await keys.add(pss: key, digestAlgorithm: .sha256, kid: kid)
            } else {
                await keys.add(rsa: key, digestAlgorithm: .sha256, kid: kid)
            }
        } else {
            throw broken(
                "expected an unencrypted private key in PEM form (RSA of at least 2048 bits, P-256 or Ed25519), "
                    + "found something else"
            )
        }
        if let algorithm, algorithm != found {
            throw broken("expected a key for \(algorithm.rawValue), found \(name) key")
        }
    }

    private func broken(_ message: String) -> CredentialError {
        CredentialError(.malformed, source: "the client's private key", message: message)
    }
}

private struct Claims: JWTPayload {
    let iss: String
    let sub: String
    let aud: String
    let jti: String
    let iat: Int
    let exp: Int

    func verify(using algorithm: some JWTAlgorithm) {}
}
#endif

public import FoundationEssentials

/// Signs the assertions that a client authenticates with instead of a secret: `private_key_jwt` (RFC 7523, section
/// 2.2).
///
/// **Use one.** Pass it to a ``ClientCredentialsProvider`` for a vendor that uses
/// ``VendorProfile/ClientAuthentication/privateKeyJWT``.
///
/// **Write one.** Return a JWT with the claims of the assertion, signed with the credential's key.
/// ``Credential/clientSecret`` is the private key, or the name of the key where it is stored elsewhere, such as in a
/// key management service. The signer is called for each attempt, and each assertion has its own id.
///
/// **Test one.** Verify the signature with the public key, and check that the error for a broken key contains nothing
/// of it.
public protocol ClientAssertionSigner: Sendable {
    /// Signs an assertion.
    ///
    /// - Returns: A JWT in its compact form (RFC 7519, section 3.1).
    /// - Throws: ``CredentialError`` if the key cannot be used.
    func sign(_ assertion: ClientAssertion, with credential: Credential) async throws(CredentialError) -> Secret
}

/// The claims of a client assertion (RFC 7523, section 3).
public struct ClientAssertion: Sendable {
    /// The client id, sent as `iss` and `sub`.
    public var clientID: Secret
    /// The audience, sent as `aud`: the URL of the token endpoint, or what the vendor expects instead.
    public var audience: String
    /// The id, sent as `jti`; unique for each assertion.
    public var id: String
    /// The time of issue, sent as `iat`.
    public var issuedAt: Date
    /// The expiry, sent as `exp`.
    public var expiresAt: Date

    /// Creates the claims of an assertion.
    ///
    /// - Parameters:
    ///   - clientID: The client id, sent as `iss` and `sub`.
    ///   - audience: The audience, sent as `aud`.
    ///   - id: The id, sent as `jti`.
    ///   - issuedAt: The time of issue, sent as `iat`.
    ///   - expiresAt: The expiry, sent as `exp`.
    public init(clientID: Secret, audience: String, id: String, issuedAt: Date, expiresAt: Date) {
        self.clientID = clientID
        self.audience = audience
        self.id = id
        self.issuedAt = issuedAt
        self.expiresAt = expiresAt
    }
}

/// How a client creates its assertions.
public struct ClientAssertions: Sendable {
    /// The signer of the assertions.
    public var signer: any ClientAssertionSigner
    /// The audience of the assertions; `nil` for the URL of the token endpoint.
    public var audience: String?

    /// Creates a configuration for client assertions.
    ///
    /// - Parameters:
    ///   - signer: The signer of the assertions.
    ///   - audience: The audience; `nil` if the vendor expects the URL of its token endpoint.
    public init(signer: any ClientAssertionSigner, audience: String? = nil) {
        self.signer = signer
        self.audience = audience
    }
}

public import FoundationEssentials

/// Signs what a client proves itself with instead of sending a secret: `private_key_jwt` (RFC 7523, section 2.2).
///
/// **Use one.** Pass it to a ``ClientCredentialsProvider`` for a vendor that is asked with
/// ``VendorProfile/ClientAuthentication/privateKeyJWT``.
///
/// **Write one.** Return a JWT with the claims of the assertion, signed with the key of the credential: its
/// ``Credential/clientSecret`` is the private key, or whatever names the key where it is kept, such as in a key management service.
/// It is called anew for each attempt, and each assertion has an id of its own.
///
/// **Test one.** Verify the signature with the public key, and check that a broken key throws without any of it.
public protocol ClientAssertionSigner: Sendable {
    /// - Returns: A JWT in its compact form (RFC 7519, section 3.1).
    /// - Throws: ``CredentialError`` if the key cannot be used.
    func sign(_ assertion: ClientAssertion, with credential: Credential) async throws(CredentialError) -> Secret
}

/// The claims of a client assertion (RFC 7523, section 3).
public struct ClientAssertion: Sendable {
    /// `iss` and `sub`.
    public var clientID: Secret
    /// `aud`: the URL of the token endpoint, or what the vendor wants there.
    public var audience: String
    /// `jti`: another one for each assertion.
    public var id: String
    /// `iat`.
    public var issuedAt: Date
    /// `exp`.
    public var expiresAt: Date

    /// Takes all members, in their order of declaration.
    public init(clientID: Secret, audience: String, id: String, issuedAt: Date, expiresAt: Date) {
        self.clientID = clientID
        self.audience = audience
        self.id = id
        self.issuedAt = issuedAt
        self.expiresAt = expiresAt
    }
}

/// How a client makes its assertions.
public struct ClientAssertions: Sendable {
    /// Signs them.
    public var signer: any ClientAssertionSigner
    /// Who they are for; `nil` for the URL of the token endpoint.
    public var audience: String?

    /// - Parameters:
    ///   - signer: Signs the assertions.
    ///   - audience: Who they are for, if the vendor does not want the URL of its token endpoint there.
    public init(signer: any ClientAssertionSigner, audience: String? = nil) {
        self.signer = signer
        self.audience = audience
    }
}

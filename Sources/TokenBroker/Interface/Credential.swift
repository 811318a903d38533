/// A client id and the secret that belongs to it (RFC 6749, section 2.3.1). They form one value because neither is of
/// use without the other.
public struct Credential: Sendable, Equatable {
    /// The client id.
    public var clientID: Secret
    /// The client secret, or whatever else the client authenticates with: for `private_key_jwt`, the private key as
    /// PEM. Empty for a client that has no secret, as with `tls_client_auth`.
    public var clientSecret: Secret

    /// Creates a credential.
    ///
    /// - Parameters:
    ///   - clientID: The client id.
    ///   - clientSecret: The client secret, or the private key; empty for a client that has none.
    public init(clientID: Secret, clientSecret: Secret) {
        self.clientID = clientID
        self.clientSecret = clientSecret
    }
}

/// The names under which a source looks for a client id and its secret: environment variables, files or JSON members.
public struct CredentialNames: Sendable, Hashable, CustomStringConvertible {
    /// The name of the client id.
    public var clientID: String
    /// The name of the client secret; `nil` for a client that has none, so that an id alone is a complete credential.
    public var clientSecret: String?

    /// Creates a pair of names.
    ///
    /// - Parameters:
    ///   - clientID: The name of the client id.
    ///   - clientSecret: The name of the client secret; `nil` for a client that has none.
    public init(clientID: String, clientSecret: String?) {
        self.clientID = clientID
        self.clientSecret = clientSecret
    }

    /// The names, for a message.
    public var description: String { clientSecret.map { "\(clientID) and \($0)" } ?? clientID }
}

/// A client id and the secret that belongs to it (RFC 6749, section 2.3.1). They are one value because one without the
/// other, or with another's, is worth nothing.
public struct Credential: Sendable, Equatable {
    /// The client id.
    public var clientID: Secret
    /// The client secret, or what else the client proves itself with: with `private_key_jwt` the private key, as PEM.
    /// Empty for a client that has none, as with `tls_client_auth`.
    public var clientSecret: Secret

    /// Takes all members, in their order of declaration.
    public init(clientID: Secret, clientSecret: Secret) {
        self.clientID = clientID
        self.clientSecret = clientSecret
    }
}

/// What the two halves of a pair are called where a source looks for them: environment variables, files, members.
public struct CredentialNames: Sendable, Hashable, CustomStringConvertible {
    /// That of the client id.
    public var clientID: String
    /// That of the client secret; `nil` for a client that has none, so that an id alone is a whole credential.
    public var clientSecret: String?

    /// Takes all members, in their order of declaration.
    public init(clientID: String, clientSecret: String?) {
        self.clientID = clientID
        self.clientSecret = clientSecret
    }

    /// Both, for a message.
    public var description: String { clientSecret.map { "\(clientID) and \($0)" } ?? clientID }
}

/// A provider that picks a credential for each token, and tells which.
///
/// **Write one.** Conform a provider that requests tokens with a credential of its own choice. A cache that is shared
/// with other processes keeps the tokens of each credential apart.
public protocol LineReporting: Sendable {
    /// Returns the line that the next token for a request would descend from.
    ///
    /// - Returns: The line; `nil` if no credential can be used at the moment.
    func line(for request: TokenRequest) async -> CredentialLine?

    /// Returns the line that begins with this member.
    ///
    /// - Returns: The line; `nil` if its credential is no longer in use.
    func line(from start: Lineage) -> CredentialLine?
}

/// A credential, and the line of tokens that descend from it.
public struct CredentialLine: Sendable {
    /// The credential.
    public var credential: Credential
    /// The start of the line.
    public var lineage: Lineage

    /// Creates a line.
    ///
    /// - Parameters:
    ///   - credential: The credential.
    ///   - lineage: The start of the line.
    public init(credential: Credential, lineage: Lineage) {
        self.credential = credential
        self.lineage = lineage
    }
}

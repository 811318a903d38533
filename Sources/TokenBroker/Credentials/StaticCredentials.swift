/// Fixed credentials, for a test or for a program that finds them in its own way.
///
/// They never change. To follow a rotation, use another source, or write your own.
public struct StaticCredentials: CredentialSource, CredentialPlaces {
    private let credentials: [Credential]

    /// Creates a source with fixed credentials.
    ///
    /// - Parameter credentials: The credentials in order of preference; empty for a source that has none.
    public init(_ credentials: [Credential]) { self.credentials = credentials }

    /// Creates a source with one fixed credential.
    public init(clientID: Secret, clientSecret: Secret) {
        self.init([Credential(clientID: clientID, clientSecret: clientSecret)])
    }

    /// The program itself, in words for an error message.
    public var places: [String] { ["the credentials given in code, which are empty"] }

    /// Returns the credentials, whichever the account.
    public func credentials(for account: Account) async throws(CredentialError) -> [Credential] { credentials }
}

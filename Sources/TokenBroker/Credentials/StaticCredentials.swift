/// Credentials that are handed over when the source is made, for a test or for a program that finds them in a way of its own.
///
/// They do not change: a source that takes a rotation up is one of the others, or your own.
public struct StaticCredentials: CredentialSource, CredentialPlaces {
    private let credentials: [Credential]

    /// - Parameter credentials: In order of preference; none for a source that has nothing.
    public init(_ credentials: [Credential]) { self.credentials = credentials }

    /// One pair.
    public init(clientID: Secret, clientSecret: Secret) {
        self.init([Credential(clientID: clientID, clientSecret: clientSecret)])
    }

    /// The program itself.
    public var places: [String] { ["the credentials that the program was given, of which there are none"] }

    /// The credentials, whichever the account.
    public func credentials(for account: Account) async throws(CredentialError) -> [Credential] { credentials }
}

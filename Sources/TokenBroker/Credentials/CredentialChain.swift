/// Asks several sources in order, and returns the credentials of the first that has any.
///
/// A source without credentials is skipped. A broken source stops the chain with its error, so that the next source
/// does not hide a mistake in the deployment.
public struct CredentialChain: CredentialSource, Composite {
    private let sources: [any CredentialSource]

    /// Creates a chain.
    ///
    /// - Parameter sources: The sources in order of preference.
    public init(_ sources: [any CredentialSource]) { self.sources = sources }

    /// The sources, in order of preference.
    public var components: [any Sendable] { sources }

    /// Returns the credentials of the first source that has any for an account.
    public func credentials(for account: Account) async throws(CredentialError) -> [Credential] {
        for source in sources {
            let found = try await source.credentials(for: account)
            if !found.isEmpty { return found }
        }
        return []
    }
}

extension CredentialChain: CredentialPlaces {
    /// The places of its sources, in order.
    public var places: [String] { sources.flatMap { placesOfCredentials(in: $0) } }
}

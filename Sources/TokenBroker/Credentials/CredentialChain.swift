/// Asks sources in order. One that has nothing is passed over; one that is broken stops the chain with its error, so
/// that a mistake in a deployment is not hidden by what happens to come next.
public struct CredentialChain: CredentialSource, Composite {
    private let sources: [any CredentialSource]

    /// - Parameter sources: In order of preference.
    public init(_ sources: [any CredentialSource]) { self.sources = sources }

    /// The sources.
    public var components: [any Sendable] { sources }

    /// See ``CredentialSource/credentials(for:)``; the type tells what is particular.
    public func credentials(for account: Account) async throws(CredentialError) -> [Credential] {
        for source in sources {
            let found = try await source.credentials(for: account)
            if !found.isEmpty { return found }
        }
        return []
    }
}

extension CredentialChain: CredentialPlaces {
    /// Those of its sources, in their order.
    public var places: [String] { sources.flatMap { placesOfCredentials(in: $0) } }
}

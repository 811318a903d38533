/// Asks sources in order. One that has nothing is passed over; one that is broken stops the chain with its error, so
/// that a mistake in a deployment is not hidden by what happens to come next.
public struct CredentialChain: CredentialSource {
    private let sources: [any CredentialSource]

    /// - Parameter sources: In order of preference.
    public init(_ sources: [any CredentialSource]) { self.sources = sources }

    /// See ``CredentialSource/credentials(for:)``; the type tells what is particular.
    public func credentials(for id: CredentialID) async throws(CredentialError) -> [Credential] {
        for source in sources {
            let found = try await source.credentials(for: id)
            if !found.isEmpty { return found }
        }
        return []
    }
}

extension CredentialChain: CredentialPlaces {
    /// Those of its sources, in their order.
    public var places: [String] { sources.flatMap { placesOfCredentials(in: $0) } }
}

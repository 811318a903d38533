import FoundationEssentials

/// Reads the pair from two environment variables. Neither set is absent; one set, or one empty, is broken.
public struct EnvironmentCredentials: CredentialSource {
    private let names: CredentialNames
    /// The two variables alone; the rest of the environment is nobody's business.
    private let values: [String: Secret]

    /// - Parameters:
    ///   - clientID: The name of the variable that holds the client id.
    ///   - clientSecret: The name of the variable that holds the client secret; `nil` for a client that has none.
    ///   - environment: Instead of the process's, as it is now.
    public init(clientID: String, clientSecret: String?, environment: [String: String]? = nil) {
        let names = CredentialNames(clientID: clientID, clientSecret: clientSecret)
        self.names = names
        let environment = environment ?? ProcessInfo.processInfo.environment
        self.values = environment.filter { [names.clientID, names.clientSecret].contains($0.key) }
            .mapValues { Secret(withoutByteOrderMark($0)) }
    }

    /// See ``CredentialSource/credentials(for:)``; the type tells what is particular.
    public func credentials(for id: CredentialID) async throws(CredentialError) -> [Credential] {
        try pair(from: values.mapValues { $0.reveal() }, names, source: "the environment").map { [$0] } ?? []
    }
}

extension EnvironmentCredentials: CredentialPlaces {
    /// The variables.
    public var places: [String] {
        let variables = [names.clientID, names.clientSecret].compactMap(\.self).map(ConfiguredNames.variable)
        return [
            variables.joined(separator: " and ") + (variables.count > 1 ? ", which are not set" : ", which is not set")
        ]
    }
}

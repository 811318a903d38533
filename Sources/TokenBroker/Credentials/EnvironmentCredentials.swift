import FoundationEssentials
public import Logging

/// Reads the pair from two environment variables. Neither set is absent; one set, or one empty, is broken.
public struct EnvironmentCredentials: CredentialSource {
    private let names: CredentialNames
    /// The two variables alone; the rest of the environment is nobody's business.
    private let values: [String: Secret]

    /// - Parameters:
    ///   - clientID: The name of the variable that holds the client id.
    ///   - clientSecret: The name of the variable that holds the client secret; `nil` for a client that has none.
    ///   - environment: Instead of the process's, as it is now.
    ///   - logger: For a value that stands in quotes.
    public init(
        clientID: String, clientSecret: String?, environment: [String: String]? = nil, logger: Logger? = nil
    ) {
        let names = CredentialNames(clientID: clientID, clientSecret: clientSecret)
        self.names = names
        let environment = environment ?? ProcessInfo.processInfo.environment
        self.values = environment.filter { [names.clientID, names.clientSecret].contains($0.key) }
            .mapValues { Secret(withoutByteOrderMark($0)) }
        for (name, value) in values.sorted(by: { $0.key < $1.key }) {
            logger?.warnOfQuotes(in: name, value.reveal())
        }
    }

    /// See ``CredentialSource/credentials(for:)``; the type tells what is particular.
    public func credentials(for account: Account) async throws(CredentialError) -> [Credential] {
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

extension Logger {
    /// Warns of a variable whose value stands in quotes. Where no shell takes them away, as with
    /// `docker --env-file`, they are part of the value. They may be meant, so they stay.
    package func warnOfQuotes(in variable: String, _ value: String) {
        let value = value.trimmingWhiteSpace
        guard value.utf8.count > 1, let quote = value.utf8.first, "\"'".utf8.contains(quote), value.utf8.last == quote
        else { return }
        warning(
            "the value of a variable stands in quotes, which are part of it; take them away if they are not meant",
            metadata: ["variable": "\(ConfiguredNames.name(variable))"]
        )
    }
}

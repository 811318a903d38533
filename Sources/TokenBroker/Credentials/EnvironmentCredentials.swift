import FoundationEssentials
public import Logging

/// Reads a credential from two environment variables. If neither is set, the source has none. If only one is set, or
/// one is empty, the credential is broken.
public struct EnvironmentCredentials: CredentialSource {
    private let names: CredentialNames
    /// Only the two variables; the rest of the environment is not kept.
    private let values: [String: Secret]

    /// Creates a source that reads the environment once, now.
    ///
    /// - Parameters:
    ///   - clientID: The name of the variable that holds the client id.
    ///   - clientSecret: The name of the variable that holds the client secret; `nil` for a client that has none.
    ///   - environment: The variables to use; `nil` for those of the process.
    ///   - logger: Receives a warning if a value is in quotes.
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

    /// Returns the credential of the variables, whichever the account.
    public func credentials(for account: Account) async throws(CredentialError) -> [Credential] {
        try pair(from: values.mapValues { $0.reveal() }, names, source: "the environment").map { [$0] } ?? []
    }
}

extension EnvironmentCredentials: CredentialPlaces {
    /// The variables, which are not set.
    public var places: [String] {
        let variables = [names.clientID, names.clientSecret].compactMap(\.self).map(ConfiguredNames.variable)
        return [
            variables.joined(separator: " and ") + (variables.count > 1 ? ", which are not set" : ", which is not set")
        ]
    }
}

extension Logger {
    /// Warns of a variable whose value is in quotes. Where no shell removes them, as with `docker --env-file`, the
    /// quotes are part of the value. They may be intended, so they are kept.
    package func warnOfQuotes(in variable: String, _ value: String) {
        let value = value.trimmingWhiteSpace
        guard value.utf8.count > 1, let quote = value.utf8.first, "\"'".utf8.contains(quote), value.utf8.last == quote
        else { return }
        warning(
            "the value of a variable is in quotes, which are part of it; remove them if they are not intended",
            metadata: ["variable": "\(ConfiguredNames.name(variable))"]
        )
    }
}

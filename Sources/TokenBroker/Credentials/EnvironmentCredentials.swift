import FoundationEssentials

/// Reads the pair from two environment variables. Neither set is absent; one set, or one empty, is broken.
public struct EnvironmentCredentials: CredentialSource {
    private let clientID: String
    private let clientSecret: String
    /// The two variables alone; the rest of the environment is nobody's business.
    private let values: [String: Secret]

    /// - Parameters:
    ///   - clientID: The name of the variable that holds the client id.
    ///   - clientSecret: The name of the variable that holds the client secret.
    ///   - environment: Instead of the process's, as it is now.
    public init(clientID: String, clientSecret: String, environment: [String: String]? = nil) {
        self.clientID = clientID
        self.clientSecret = clientSecret
        let environment = environment ?? ProcessInfo.processInfo.environment
        self.values = environment.filter { [clientID, clientSecret].contains($0.key) }.mapValues(Secret.init)
    }

    /// See ``CredentialSource/credentials(for:)``; the type tells what is particular.
    public func credentials(for id: CredentialID) async throws(CredentialError) -> [Credential] {
        try pair(
            from: values.mapValues { $0.reveal() }, clientID: clientID, clientSecret: clientSecret,
            source: "the environment"
        ).map { [$0] } ?? []
    }
}

/// The pair under two names; `nil` if neither is there. White space and line ends around a value are not part of it.
func pair(
    from values: [String: String], clientID: String, clientSecret: String, source: String
) throws(CredentialError) -> Credential? {
    guard values[clientID] != nil || values[clientSecret] != nil else { return nil }
    func value(_ name: String) throws(CredentialError) -> Secret {
        guard let value = values[name] else {
            throw CredentialError(.incomplete, source: source, message: "\(name) is missing")
        }
        let trimmed = value.trimmingWhiteSpace
        guard !trimmed.isEmpty else {
            throw CredentialError(.incomplete, source: source, message: "\(name) is empty")
        }
        return Secret(String(trimmed))
    }
    return Credential(clientID: try value(clientID), clientSecret: try value(clientSecret))
}

extension StringProtocol {
    package var trimmingWhiteSpace: SubSequence {
        let start = firstIndex { !$0.isWhitespace } ?? endIndex
        let end = lastIndex { !$0.isWhitespace }.map(index(after:)) ?? start
        return self[start..<end]
    }
}

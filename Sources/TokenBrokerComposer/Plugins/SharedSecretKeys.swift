#if ConfigurationSupport
package import TokenBroker

/// The keys `secretFile` and `secretVariable` of a plug-in that shares a secret with another server.
package enum SharedSecretKeys {
    package static func file(minimum: String = "at least 16 bytes") -> ConfigurationKey<String?> {
        ConfigurationKey(
            "secretFile", .optional(.text), default: nil,
            "The file with the secret, \(minimum). To rotate it, list up to four secrets, one per line."
        )
    }

    package static func variable(minimum: String = "at least 16 bytes") -> ConfigurationKey<String?> {
        ConfigurationKey(
            "secretVariable", .optional(.variableName), default: nil, "The variable that holds the secret, \(minimum)."
        )
    }

    /// Throws if both keys are set.
    package static func check(_ file: String?, _ variable: String?) throws(ConfigurationError.Problem) {
        guard file == nil || variable == nil else {
            throw ConfigurationError.Problem(
                .conflict, key: "secretVariable", "expected secretFile or secretVariable, found both")
        }
    }

    /// Returns the secrets, or `nil` if neither key is set. Throws if the secrets are unusable, which stops the start.
    package static func secrets(
        _ file: String?, _ variable: String?, _ context: AccessContext, minimumBytes: Int = 16
    ) throws(ConfigurationError.Problem) -> SharedSecrets? {
        let secrets =
            file.map { SharedSecrets(file: $0, minimumBytes: minimumBytes, logger: context.logger) }
            ?? variable.map {
                SharedSecrets(
                    variable: $0, in: context.environment, minimumBytes: minimumBytes, logger: context.logger)
            }
        guard let secrets else { return nil }
        _ = try ConfigurationError.Problem.attributing(to: file != nil ? "secretFile" : "secretVariable") {
            () throws(CredentialError) in try secrets.load()
        }
        return secrets
    }
}
#endif

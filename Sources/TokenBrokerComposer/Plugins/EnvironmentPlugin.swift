#if ConfigurationSupport
public import TokenBroker

extension CredentialPlugin {
    /// `environment`: the pair from two environment variables.
    public static var environment: Self {
        Self("environment", "The pair from two environment variables.", keys: EnvironmentKeys()) { context, values in
            let names = context.names(values.clientID, values.clientSecret, or: context.profile.credentialVariables)
            return EnvironmentCredentials(
                clientID: names.clientID, clientSecret: names.clientSecret, environment: context.environment,
                logger: context.logger
            )
        }
    }
}

private struct EnvironmentKeys: ConfigurationKeys {
    let clientID = ConfigurationKey(
        "clientID", .optional(.variableName), default: nil,
        "The variable that holds the client id; otherwise the profile's."
    )
    let clientSecret = ConfigurationKey(
        "clientSecret", .optional(.variableName), default: nil,
        "The variable that holds the client secret; otherwise the profile's."
    )
}

extension CredentialContext {
    /// The names of the halves that are needed, as configured or else from `names`.
    func names(
        _ clientID: String? = nil, _ clientSecret: String? = nil, or names: CredentialNames? = nil
    ) -> CredentialNames {
        CredentialNames(
            clientID: clientID ?? names?.clientID ?? "client_id",
            clientSecret: needsSecret ? clientSecret ?? names?.clientSecret ?? "client_secret" : nil
        )
    }
}
#endif

#if ConfigurationSupport
public import TokenBroker

extension CredentialPlugin {
    /// The source `environment`: a credential from two environment variables.
    public static var environment: Self {
        Self(
            "environment", "A credential from two environment variables.", keys: EnvironmentKeys()
        ) { context, values in
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
        "The variable that holds the client id; by default the one in the vendor profile."
    )
    let clientSecret = ConfigurationKey(
        "clientSecret", .optional(.variableName), default: nil,
        "The variable that holds the client secret; by default the one in the vendor profile."
    )
}

extension CredentialContext {
    /// Returns the names of the client id and, if it is needed, the client secret: those configured, or else those in
    /// `names`.
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

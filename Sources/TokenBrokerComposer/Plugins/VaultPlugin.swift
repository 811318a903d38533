#if ConfigurationSupport
public import TokenBroker

extension CredentialPlugin {
    /// The source `vault`: credentials from a secret in HashiCorp Vault.
    public static var vault: Self {
        Self(
            "vault", "Credentials from a secret in HashiCorp Vault's key/value engine, version 2.", keys: VaultKeys()
        ) { context, values in
            var configuration = VaultCredentials.Configuration(
                address: values.address, path: values.path,
                token: values.tokenFile.map { .file($0) }
                    ?? .variable(values.tokenVariable ?? "VAULT_TOKEN", environment: context.environment)
            )
            configuration.mount = values.mount
            configuration.names = context.names(values.clientID, values.clientSecret)
            configuration.versions = values.versions
            configuration.namespace = values.namespace
            configuration.timeout = values.timeout
            configuration.refresh = values.refresh
            return VaultCredentials(
                configuration: configuration, transport: context.transport, clock: context.clock,
                logger: context.logger
            )
        }
    }
}

private struct VaultKeys: ConfigurationKeys {
    let address = ConfigurationKey("address", .url, "Vault's base URL.")
    let mount = ConfigurationKey("mount", path, default: "secret", "The path at which the engine is mounted.")
    let path = ConfigurationKey("path", path, "The path of the secret below the mount, without `data/`.")
    let clientID = ConfigurationKey("clientID", .text, default: "client_id", "The field with the client id.")
    let clientSecret = ConfigurationKey(
        "clientSecret", .text, default: "client_secret", "The field with the client secret.")
    let versions = ConfigurationKey(
        "versions", .integer(1...2), default: 1,
        "The number of the secret's versions to use; with 2, the previous version is a second credential."
    )
    let namespace = ConfigurationKey("namespace", .optional(.text), default: nil, "The Vault Enterprise namespace.")
    let tokenFile = ConfigurationKey(
        "tokenFile", .optional(.text), default: nil, "The file with a token for Vault, read each time.")
    let tokenVariable = ConfigurationKey(
        "tokenVariable", .optional(.variableName), default: nil,
        "The variable with a token for Vault, unless `tokenFile` is set; by default `VAULT_TOKEN`."
    )
    let timeout = ConfigurationKey(
        "timeout", .duration(.milliseconds(1) ... .seconds(60)), default: .seconds(5), "The timeout of one call.")
    let refresh = ConfigurationKey(
        "refresh", .duration(.seconds(1) ... .seconds(3600)), default: .seconds(10),
        "How long credentials are used before they are read again."
    )

    private static let path = ConfigurationType.text.filter("a path without empty or dot segments") { path in
        path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { !["", ".", ".."].contains($0) }
    }
}
#endif

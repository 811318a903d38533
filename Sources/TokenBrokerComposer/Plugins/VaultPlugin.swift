#if ConfigurationSupport
public import TokenBroker

extension CredentialPlugin {
    /// `vault`: the pair from a secret in HashiCorp Vault.
    public static var vault: Self {
        Self(
            "vault", "The pair from a secret in HashiCorp Vault's key/value engine, version 2.", keys: VaultKeys()
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
    let mount = ConfigurationKey("mount", path, default: "secret", "Where the engine is mounted.")
    let path = ConfigurationKey("path", path, "The secret below the mount, without `data/`.")
    let clientID = ConfigurationKey("clientID", .text, default: "client_id", "The field with the client id.")
    let clientSecret = ConfigurationKey(
        "clientSecret", .text, default: "client_secret", "The field with the client secret.")
    let versions = ConfigurationKey(
        "versions", .integer(1...2), default: 1, "With 2, the version before the newest is a second pair.")
    let namespace = ConfigurationKey("namespace", .optional(.text), default: nil, "The Vault Enterprise namespace.")
    let tokenFile = ConfigurationKey(
        "tokenFile", .optional(.text), default: nil, "A file with a token for Vault, read each time.")
    let tokenVariable = ConfigurationKey(
        "tokenVariable", .optional(.variableName), default: nil,
        "The variable with a token for Vault, while `tokenFile` names none; otherwise `VAULT_TOKEN`."
    )
    let timeout = ConfigurationKey(
        "timeout", .duration(.milliseconds(1) ... .seconds(60)), default: .seconds(5), "For one call.")
    let refresh = ConfigurationKey(
        "refresh", .duration(.seconds(1) ... .seconds(3600)), default: .seconds(10),
        "How long what was read is used before it is read again."
    )

    private static let path = ConfigurationType.text.filter("a path without empty and dot segments") { path in
        path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { !["", ".", ".."].contains($0) }
    }
}
#endif

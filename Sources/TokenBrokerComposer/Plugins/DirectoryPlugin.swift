#if ConfigurationSupport
public import TokenBroker

extension CredentialPlugin {
    /// `directory`: the pair from two files of a directory.
    public static var directory: Self {
        Self(
            "directory",
            "The pair from two files of a directory, read anew each time: secrets mounted by Docker or Kubernetes, or systemd's.",
            keys: DirectoryKeys()
        ) { context, values in
            // Nothing is absent, as when systemd passes no credentials.
            guard let path = values.path ?? context.environment["CREDENTIALS_DIRECTORY"], !path.isEmpty else {
                return NoDirectory()
            }
            return DirectoryCredentials(
                path: path, names: context.names(values.clientID, values.clientSecret),
                secondNames: context.names(values.secondClientID, values.secondClientSecret), logger: context.logger
            )
        }
    }
}

private struct DirectoryKeys: ConfigurationKeys {
    let path = ConfigurationKey(
        "path", .optional(.text), default: nil,
        "The directory; otherwise the one that systemd names in `$CREDENTIALS_DIRECTORY`. One that does not exist is passed over."
    )
    let clientID = file("clientID", "client_id", "The file with the client id.")
    let clientSecret = file("clientSecret", "client_secret", "The file with the client secret.")
    let secondClientID = file(
        "secondClientID", "client_id_2", "That of a second pair; without it the first client id.")
    let secondClientSecret = file(
        "secondClientSecret", "client_secret_2", "That of a second pair, which need not be there.")

    private static func file(_ name: String, _ value: String, _ summary: String) -> ConfigurationKey<String> {
        let type = ConfigurationType.text.filter("the name of a file, without a path") {
            !$0.contains("/") && $0 != "." && $0 != ".."
        }
        return ConfigurationKey(name, type, default: value, summary)
    }
}

/// Stands for the directory that systemd did not pass.
private struct NoDirectory: CredentialSource, CredentialPlaces {
    let places = ["the directory that CREDENTIALS_DIRECTORY names, which is not set"]
    func credentials(for account: Account) async throws(CredentialError) -> [Credential] { [] }
}
#endif

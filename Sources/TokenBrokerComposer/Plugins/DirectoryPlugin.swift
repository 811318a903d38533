#if ConfigurationSupport
public import TokenBroker

extension CredentialPlugin {
    /// The source `directory`: credentials from the files of a directory.
    public static var directory: Self {
        Self(
            "directory",
            "Credentials from the files of a directory, read again each time: secrets that Docker or Kubernetes "
                + "mounts, or systemd credentials.",
            keys: DirectoryKeys()
        ) { context, values in
            // Without a directory, as when systemd passes no credentials, there are none.
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
        "The directory; by default the one that systemd names in `$CREDENTIALS_DIRECTORY`. Skipped if it is missing."
    )
    let clientID = file("clientID", "client_id", "The file with the client id.")
    let clientSecret = file("clientSecret", "client_secret", "The file with the client secret.")
    let secondClientID = file(
        "secondClientID", "client_id_2",
        "The file with the client id of a second credential. Without the file, the first client id is used.")
    let secondClientSecret = file(
        "secondClientSecret", "client_secret_2", "The file with the client secret of a second credential, if any.")

    private static func file(_ name: String, _ value: String, _ summary: String) -> ConfigurationKey<String> {
        let type = ConfigurationType.text.filter("the name of a file, without a path") {
            !$0.contains("/") && $0 != "." && $0 != ".."
        }
        return ConfigurationKey(name, type, default: value, summary)
    }
}

/// The source without a directory, if systemd passes none.
private struct NoDirectory: CredentialSource, CredentialPlaces {
    let places = ["the directory named by CREDENTIALS_DIRECTORY, which is not set"]
    func credentials(for account: Account) async throws(CredentialError) -> [Credential] { [] }
}
#endif

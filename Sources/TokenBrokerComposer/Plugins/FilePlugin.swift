#if ConfigurationSupport
public import TokenBroker

extension CredentialPlugin {
    /// The source `file`: credentials from a file.
    public static var file: Self {
        Self(
            "file",
            "Credentials from a file: a JSON object `{\"client_id\", \"client_secret\"}`, an array of such objects in "
                + "order of preference, or `NAME=value` lines.",
            keys: FileKeys()
        ) { context, values in
            FileCredentials(
                path: values.path, names: context.names(or: context.profile.credentialVariables), logger: context.logger
            )
        }
    }
}

private struct FileKeys: ConfigurationKeys {
    let path = ConfigurationKey("path", .text, "The path of the file. Skipped if it is missing.")
}
#endif

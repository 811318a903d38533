#if ConfigurationSupport
public import TokenBroker

extension CredentialPlugin {
    /// `file`: the pair from a file.
    public static var file: Self {
        Self(
            "file",
            "The pair from a file: JSON `{\"client_id\", \"client_secret\"}`, an array of such objects in order of preference, "
                + "or `NAME=value` lines.",
            keys: FileKeys()
        ) { context, values in
            FileCredentials(
                path: values.path, names: context.names(or: context.profile.credentialVariables), logger: context.logger
            )
        }
    }
}

private struct FileKeys: ConfigurationKeys {
    let path = ConfigurationKey("path", .text, "The file. One that does not exist is passed over.")
}
#endif

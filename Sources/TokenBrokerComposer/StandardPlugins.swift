#if ConfigurationSupport
import CurlTransport
import TokenBroker

extension Registry {
    /// What comes with the package: the transport `curl`, the credential sources `environment` and `file`, the
    /// vendor `alternative-payments`. Authenticators and policies are the program's to register.
    public static let standard: Registry = {
        var registry = Registry()
        registry.register(curl)
        registry.register(environment)
        registry.register(file)
        registry.register(.alternativePayments)
        return registry
    }()

    private static let curl = TransportPlugin(
        "curl", "HTTP/1.1 and HTTP/2 with libcurl.",
        keys: ConfigurationKey(
            "connectTimeout", .duration(.milliseconds(1) ... .seconds(60)), default: .seconds(3),
            "For establishing a connection, name resolution and TLS included."
        ),
        ConfigurationKey(
            "caFile", .optional(.text), default: nil,
            "A PEM file with the certificate authorities to trust, instead of the system's."
        )
    ) { context, connectTimeout, caFile in
        try CurlTransport(
            configuration: .init(connectTimeout: connectTimeout, timeout: context.timeout, caFile: caFile)
        )
    }

    private static let environment = CredentialPlugin(
        "environment", "The pair from two environment variables.",
        keys: variableName("clientID", "The variable that holds the client id; otherwise the profile's."),
        variableName("clientSecret", "The variable that holds the client secret; otherwise the profile's.")
    ) { context, clientID, clientSecret in
        EnvironmentCredentials(
            clientID: clientID ?? context.profile.credentialVariables.clientID,
            clientSecret: clientSecret ?? context.profile.credentialVariables.clientSecret,
            environment: context.environment
        )
    }

    private static let file = CredentialPlugin(
        "file", "The pair from a file that is read anew each time: JSON, or lines of NAME=value.",
        keys: ConfigurationKey("path", .text, "The file. One that does not exist is passed over.")
    ) { context, path in
        FileCredentials(path: path, names: context.profile.credentialVariables, logger: context.logger)
    }

    private static func variableName(_ name: String, _ summary: String) -> ConfigurationKey<String?> {
        let type = ConfigurationType.text.filter("the name of an environment variable, not its value") { text in
            text.first?.isNumber == false
                && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
        }
        return ConfigurationKey(name, .optional(type), default: nil, summary)
    }
}

extension CurlTransport: ShutsDown {}
#endif

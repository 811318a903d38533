#if CommandLineSupport
#if AsyncHTTPClientSupport
import TokenBrokerAsyncHTTPClient
import TokenBrokerComposer
#else
import TokenBrokerComposer
#endif

extension Registry {
    /// What the program can choose from: what comes with the composer, and what the adapters bring.
    static let program: Registry = {
        var registry = Registry.standard
        registry.register(asyncHTTPClient)
        return registry
    }()

    private static let asyncHTTPClientSummary = "HTTP/1.1 with AsyncHTTPClient."
    #if AsyncHTTPClientSupport
    private static let asyncHTTPClient = TransportPlugin(
        "async-http-client", asyncHTTPClientSummary, trait: "AsyncHTTPClientSupport",
        keys: ConfigurationKey(
            "connectTimeout", .duration(.milliseconds(1) ... .seconds(60)), default: .seconds(3),
            "For establishing a connection, name resolution and TLS included."
        ),
        ConfigurationKey(
            "connectionLifetime", .duration(.seconds(1) ... .seconds(86_400)), default: .seconds(300),
            "How old a connection may be to take another request. A server whose name has moved is found within it."
        ),
        ConfigurationKey(
            "caFile", .optional(.text), default: nil,
            "A PEM file with the certificate authorities to trust, instead of the system's."
        )
    ) { context, connectTimeout, connectionLifetime, caFile in
        try AsyncHTTPClientTransport(
            configuration: .init(
                connectTimeout: connectTimeout, timeout: context.timeout, connectionLifetime: connectionLifetime,
                caFile: caFile
            )
        )
    }
    #else
    private static let asyncHTTPClient = TransportPlugin(
        "async-http-client", asyncHTTPClientSummary, missingTrait: "AsyncHTTPClientSupport"
    )
    #endif
}

#endif

#if AsyncHTTPClientSupport && ConfigurationSupport
public import TokenBroker
public import TokenBrokerComposer

extension TransportPlugin {
    /// `async-http-client`: AsyncHTTPClient.
    public static var asyncHTTPClient: Self {
        Self(
            "async-http-client", "HTTP/1.1 with AsyncHTTPClient.", trait: "AsyncHTTPClientSupport",
            keys: AsyncHTTPClientKeys()
        ) { context, values in
            try AsyncHTTPClientTransport(
                configuration: .init(
                    connectTimeout: values.connectTimeout, timeout: context.timeout,
                    connectionLifetime: values.connectionLifetime, caFile: values.caFile
                )
            )
        }
    }
}

private struct AsyncHTTPClientKeys: ConfigurationKeys {
    let connectTimeout = ConfigurationKey(
        "connectTimeout", .duration(.milliseconds(1) ... .seconds(60)), default: .seconds(3),
        "For establishing a connection, name resolution and TLS included."
    )
    let connectionLifetime = ConfigurationKey(
        "connectionLifetime", .duration(.seconds(1) ... .seconds(86_400)), default: .seconds(300),
        "How old a connection may be to take another request. A server whose name has moved is found within it."
    )
    let caFile = ConfigurationKey(
        "caFile", .optional(.text), default: nil,
        "A PEM file with the certificate authorities to trust, instead of the system's."
    )
}
#endif

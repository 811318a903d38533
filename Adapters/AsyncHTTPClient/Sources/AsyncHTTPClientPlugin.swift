#if AsyncHTTPClientSupport && ConfigurationSupport
public import TokenBroker
public import TokenBrokerComposer

extension TransportPlugin {
    /// The `async-http-client` transport, built on AsyncHTTPClient.
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
    let connectTimeout = ConnectionKeys.connectTimeout
    let connectionLifetime = ConnectionKeys.connectionLifetime
    let caFile = ConnectionKeys.caFile
}
#endif

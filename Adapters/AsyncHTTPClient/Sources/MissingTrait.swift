#if !AsyncHTTPClientSupport
#if ConfigurationSupport
public import TokenBrokerComposer
#endif

/// Needs the trait `AsyncHTTPClientSupport`.
@available(
    *, unavailable,
    message:
        "enable the trait AsyncHTTPClientSupport where your package depends on token-broker: traits: [\"AsyncHTTPClientSupport\"]"
)
public struct AsyncHTTPClientTransport {}

#if ConfigurationSupport
extension TransportPlugin {
    /// Needs the trait `AsyncHTTPClientSupport`.
    @available(
        *, unavailable,
        message:
            "enable the trait AsyncHTTPClientSupport where your package depends on token-broker: traits: [\"AsyncHTTPClientSupport\"]"
    )
    public static var asyncHTTPClient: Self {
        Self("asyncHTTPClient", "", trait: "AsyncHTTPClientSupport") { _ in throw CancellationError() }
    }
}
#endif
#endif

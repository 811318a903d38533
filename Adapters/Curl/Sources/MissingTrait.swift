#if !CurlSupport
#if ConfigurationSupport
public import TokenBrokerComposer
#endif

/// Needs the trait `CurlSupport`.
@available(
    *, unavailable,
    message: "enable the trait CurlSupport where your package depends on token-broker: traits: [\"CurlSupport\"]"
)
public struct CurlTransport {}

#if ConfigurationSupport
extension TransportPlugin {
    /// Needs the trait `CurlSupport`.
    @available(
        *, unavailable,
        message: "enable the trait CurlSupport where your package depends on token-broker: traits: [\"CurlSupport\"]"
    )
    public static var curl: Self { Self("curl", "", trait: "CurlSupport") { _ in throw CancellationError() } }
}
#endif
#endif

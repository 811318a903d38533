#if !AsyncHTTPClientSupport
/// Needs the trait `AsyncHTTPClientSupport`.
@available(
    *, unavailable,
    message:
        "enable the trait AsyncHTTPClientSupport where your package depends on token-broker: traits: [\"AsyncHTTPClientSupport\"]"
)
public struct AsyncHTTPClientTransport {}
#endif

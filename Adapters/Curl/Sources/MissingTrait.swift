#if !CurlSupport
/// Needs the trait `CurlSupport`.
@available(
    *, unavailable,
    message: "enable the trait CurlSupport where your package depends on token-broker: traits: [\"CurlSupport\"]"
)
public struct CurlTransport {}
#endif

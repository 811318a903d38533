#if !NIOSupport
/// Needs the trait `NIOSupport`.
@available(
    *, unavailable,
    message: "enable the trait NIOSupport where your package depends on token-broker: traits: [\"NIOSupport\"]"
)
public struct EndpointSetHandler {}
#endif

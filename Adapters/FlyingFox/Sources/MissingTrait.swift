#if !FlyingFoxSupport
/// Needs the trait `FlyingFoxSupport`.
@available(
    *, unavailable,
    message:
        "enable the trait FlyingFoxSupport where your package depends on token-broker: traits: [\"FlyingFoxSupport\"]"
)
public struct EndpointSetHandler {}
#endif

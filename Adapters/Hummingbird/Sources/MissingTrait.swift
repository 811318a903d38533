#if !HummingbirdSupport
/// Needs the trait `HummingbirdSupport`.
@available(
    *, unavailable,
    message:
        "enable the trait HummingbirdSupport where your package depends on token-broker: traits: [\"HummingbirdSupport\"]"
)
public struct BrokerRequestContext {}

/// Needs the trait `HummingbirdSupport`.
@available(
    *, unavailable,
    message:
        "enable the trait HummingbirdSupport where your package depends on token-broker: traits: [\"HummingbirdSupport\"]"
)
public struct EndpointSetMiddleware {}
#endif

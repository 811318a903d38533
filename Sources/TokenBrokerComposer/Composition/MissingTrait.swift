#if !ConfigurationSupport
/// Needs the trait `ConfigurationSupport`.
@available(
    *, unavailable,
    message:
        "enable the trait ConfigurationSupport where your package depends on token-broker: traits: [\"ConfigurationSupport\"]"
)
public struct BrokerConfiguration {}

/// Needs the trait `ConfigurationSupport`.
@available(
    *, unavailable,
    message:
        "enable the trait ConfigurationSupport where your package depends on token-broker: traits: [\"ConfigurationSupport\"]"
)
public struct Composer {}

/// Needs the trait `ConfigurationSupport`.
@available(
    *, unavailable,
    message:
        "enable the trait ConfigurationSupport where your package depends on token-broker: traits: [\"ConfigurationSupport\"]"
)
public struct Registry {}
#endif

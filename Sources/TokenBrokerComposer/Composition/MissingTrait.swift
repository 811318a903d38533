#if !ConfigurationSupport
/// Available only with the trait `ConfigurationSupport`.
@available(
    *, unavailable,
    message:
        "enable the trait ConfigurationSupport where your package depends on token-broker: traits: [\"ConfigurationSupport\"]"
)
public struct BrokerConfiguration {}

/// Available only with the trait `ConfigurationSupport`.
@available(
    *, unavailable,
    message:
        "enable the trait ConfigurationSupport where your package depends on token-broker: traits: [\"ConfigurationSupport\"]"
)
public struct Composer {}

/// Available only with the trait `ConfigurationSupport`.
@available(
    *, unavailable,
    message:
        "enable the trait ConfigurationSupport where your package depends on token-broker: traits: [\"ConfigurationSupport\"]"
)
public struct Registry {}
#endif

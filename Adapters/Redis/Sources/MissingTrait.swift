#if !RedisSupport
#if ConfigurationSupport
public import TokenBrokerComposer
#endif

/// Needs the trait `RedisSupport`.
@available(
    *, unavailable,
    message: "enable the trait RedisSupport where your package depends on token-broker: traits: [\"RedisSupport\"]"
)
public struct RedisStore {}

#if ConfigurationSupport
extension FleetStorePlugin {
    /// Needs the trait `RedisSupport`.
    @available(
        *, unavailable,
        message: "enable the trait RedisSupport where your package depends on token-broker: traits: [\"RedisSupport\"]"
    )
    public static var redis: Self { Self("redis", "", trait: "RedisSupport") { _ in throw CancellationError() } }
}
#endif
#endif

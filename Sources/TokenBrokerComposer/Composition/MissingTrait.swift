#if !ConfigurationSupport
public import Logging

// The members have the signatures that a program uses first, so that the compiler's error is about the trait and not
// about a member.

/// Needs the trait `ConfigurationSupport`.
@available(
    *, unavailable,
    message:
        "enable the trait ConfigurationSupport where your package depends on token-broker: traits: [\"ConfigurationSupport\"]"
)
public struct BrokerConfiguration {
    /// Needs the trait `ConfigurationSupport`.
    public static func load(_ path: String? = nil) throws -> BrokerConfiguration { BrokerConfiguration() }
}

/// Needs the trait `ConfigurationSupport`.
@available(
    *, unavailable,
    message:
        "enable the trait ConfigurationSupport where your package depends on token-broker: traits: [\"ConfigurationSupport\"]"
)
public struct Composer {
    /// Needs the trait `ConfigurationSupport`.
    public init(registry: Registry = .standard) {}
    /// Needs the trait `ConfigurationSupport`.
    public func compose(_ configuration: BrokerConfiguration, logger: Logger) async throws -> Broker {
        throw CancellationError()
    }
}

/// Needs the trait `ConfigurationSupport`.
@available(
    *, unavailable,
    message:
        "enable the trait ConfigurationSupport where your package depends on token-broker: traits: [\"ConfigurationSupport\"]"
)
public struct Registry {
    /// Needs the trait `ConfigurationSupport`.
    public static var standard: Registry { Registry() }
    /// Needs the trait `ConfigurationSupport`.
    public mutating func register(_ plugin: AnyPlugin) throws {}
}

/// Needs the trait `ConfigurationSupport`.
@available(
    *, unavailable,
    message:
        "enable the trait ConfigurationSupport where your package depends on token-broker: traits: [\"ConfigurationSupport\"]"
)
public struct AnyPlugin {
    /// Needs the trait `ConfigurationSupport`.
    public static var curl: AnyPlugin { AnyPlugin() }
    /// Needs the trait `ConfigurationSupport`.
    public static var asyncHTTPClient: AnyPlugin { AnyPlugin() }
    /// Needs the trait `ConfigurationSupport`.
    public static var command: AnyPlugin { AnyPlugin() }
    /// Needs the trait `ConfigurationSupport`.
    public static var jwt: AnyPlugin { AnyPlugin() }
    /// Needs the trait `ConfigurationSupport`.
    public static var pem: AnyPlugin { AnyPlugin() }
    /// Needs the trait `ConfigurationSupport`.
    public static var redis: AnyPlugin { AnyPlugin() }
}
#endif

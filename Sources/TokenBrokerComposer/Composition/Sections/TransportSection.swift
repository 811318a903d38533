#if ConfigurationSupport
import TokenBroker

/// The section `transport`: the transport that sends requests to other servers.
enum TransportSection {
    static let path = ["transport"]

    struct Keys: ConfigurationKeys {
        let kind: ConfigurationKey<String>
        let timeout = ConfigurationKey(
            "timeout", .duration(.milliseconds(1) ... .seconds(300)), default: .seconds(10),
            "The timeout of one whole call."
        )

        init(_ registry: Registry) {
            kind = ConfigurationKey(
                "kind", .id(of: registry.transports), default: "curl",
                "The transport that sends requests to other servers."
            )
        }
    }

    struct Settings: Sendable {
        var timeout: Duration
        /// The transport to build; `nil` if none is to be built.
        var transport: Choice<TransportPlugin.Build>?
    }

    /// - Parameter isChosen: Whether a transport is to be built. If not, the default may be one that the program does
    ///   not include.
    static func read(_ reader: ConfigurationReader, _ registry: Registry, isChosen: Bool) -> Settings? {
        guard isChosen || reader.isSet(path + ["kind"]) || registry.transports["curl"]?.read != nil else {
            let timeout = reader.value(of: Keys(registry).timeout, in: path)
            reader.skip(path)
            return timeout.map { Settings(timeout: $0) }
        }
        let values = reader.read(Keys(registry), in: path)
        guard let transport = reader.choice(values?.kind, registry.transports, registry, in: path), let values
        else { return nil }
        return Settings(timeout: values.timeout, transport: transport)
    }
}
#endif

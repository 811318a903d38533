#if ConfigurationSupport
import TokenBroker

/// The section `tokens`: how long tokens are used, and how fast new ones are requested.
enum TokensSection {
    static let path = ["tokens"]

    struct Keys: ConfigurationKeys {
        let reuse = ConfigurationKey("reuse", .flag, default: true, "Whether responses may share a checkout token.")
        let minimumRemaining = ConfigurationKey(
            "minimumRemaining", .duration(.zero ... .seconds(3600)), default: .seconds(120),
            "The minimum remaining lifetime of a token that is handed out, if the vendor's tokens live that long."
        )
        let requestsPerSecond = ConfigurationKey(
            "requestsPerSecond", .optional(.integer(1...1_000_000)), default: nil,
            "The number of calls to the vendor that may start within any second; by default the vendor profile's rate."
        )
        let burst = ConfigurationKey(
            "burst", .optional(.integer(1...1_000_000)), default: nil,
            "The number of these calls that may start back to back, at most `requestsPerSecond`; by default all."
        )
    }

    struct Settings: Sendable {
        var reuse: Bool
        var minimumRemaining: Duration
        /// The rate limit for calls to the vendor; `nil` for no limit.
        var rateLimit: RateLimit?
    }

    static func read(_ reader: ConfigurationReader, _ profile: VendorProfile?) -> Settings? {
        guard let values = reader.read(Keys(), in: path) else { return nil }
        var settings = Settings(reuse: values.reuse, minimumRemaining: values.minimumRemaining)
        guard let requestsPerSecond = values.requestsPerSecond ?? profile?.requestsPerSecond else {
            if values.burst != nil { reader.warn("tokens.burst has no effect without tokens.requestsPerSecond") }
            return settings
        }
        if let burst = values.burst, burst > requestsPerSecond {
            reader.note(
                .conflict, path + ["burst"],
                message: "expected at most requestsPerSecond, which is \(requestsPerSecond), found \(burst)"
            )
        }
        settings.rateLimit = RateLimit(requestsPerSecond: requestsPerSecond, burst: values.burst)
        return settings
    }
}
#endif

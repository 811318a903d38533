#if ConfigurationSupport
import TokenBroker

/// The section `quotas`: how many requests each caller may make.
enum QuotasSection {
    static let path = ["quotas"]

    struct Keys: ConfigurationKeys {
        let trackedCallers = ConfigurationKey(
            "trackedCallers", .integer(1...10_000_000), default: RequestLimits().trackedCallers,
            "The number of addresses, and of principals, to keep track of. Each takes about 100 bytes."
        )
    }

    /// The keys of one quota.
    struct QuotaKeys: ConfigurationKeys {
        let perMinute: ConfigurationKey<Int?>
        let burst: ConfigurationKey<Int>

        init(_ quota: Quota?, _ summary: String) {
            perMinute = ConfigurationKey(
                "perMinute", .orNone(.integer(1...1_000_000_000)), default: quota?.perMinute,
                summary + " In open mode, there is no quota unless it is set."
            )
            burst = ConfigurationKey(
                "burst", .integer(1...1_000_000_000), default: quota?.burst ?? 1,
                "The number of these requests that are allowed at once after a pause."
            )
        }
    }

    /// The quotas, each with its name in the file, the property that stores it, and its keys.
    static var quotas: [(name: String, member: WritableKeyPath<RequestLimits, Quota?>, keys: QuotaKeys)] {
        let all: [(String, WritableKeyPath<RequestLimits, Quota?>, String)] = [
            (
                "address", \.perAddress,
                "The number of requests per minute from one client address (IPv6: its first 64 bits), or `none`."
            ),
            ("principal", \.perPrincipal, "The number of requests per minute from one principal, or `none`."),
            (
                "replacement", \.replacementsPerPrincipal,
                "The number of requests with `replaces` per minute from one principal, or `none`. They count as "
                    + "requests, too."
            ),
        ]
        return all.map { ($0, $1, QuotaKeys(RequestLimits()[keyPath: $1], $2)) }
    }

    /// - Parameter isOpen: Whether open mode is on. All requests then come from the same caller, so only quotas that
    ///   are set apply.
    static func read(_ reader: ConfigurationReader, isOpen: Bool) -> RequestLimits? {
        var limits = RequestLimits()
        var isComplete = true
        for (name, member, keys) in quotas {
            guard let values = reader.read(keys, in: path + [name]) else {
                isComplete = false
                continue
            }
            let counts = !isOpen || reader.isSet(path + [name, "perMinute"])
            limits[keyPath: member] = counts ? values.perMinute.map { Quota(perMinute: $0, burst: values.burst) } : nil
        }
        guard let values = reader.read(Keys(), in: path), isComplete else { return nil }
        limits.trackedCallers = values.trackedCallers
        return limits
    }
}

extension ConfigurationType {
    /// A type that also accepts the word `none`.
    static func orNone<Wrapped: Sendable>(
        _ type: ConfigurationType<Wrapped>
    ) -> Self where Value == Wrapped? {
        Self("\(type), or none", text: { $0.map(type.text) ?? "none" }) { (input) throws(Rejection) in
            if input.text == "none" { return nil }
            return try type.read(input)
        }
    }
}
#endif

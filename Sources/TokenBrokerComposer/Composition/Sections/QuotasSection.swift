#if ConfigurationSupport
import TokenBroker

/// The section `quotas`: how often each caller may ask.
enum QuotasSection {
    static let path = ["quotas"]

    struct Keys: ConfigurationKeys {
        let trackedCallers = ConfigurationKey(
            "trackedCallers", .integer(1...10_000_000), default: RequestLimits().trackedCallers,
            "How many addresses, and how many principals, are kept in mind, at some 100 bytes each."
        )
    }

    /// Of one quota.
    struct QuotaKeys: ConfigurationKeys {
        let perMinute: ConfigurationKey<Int?>
        let burst: ConfigurationKey<Int>

        init(_ quota: Quota?, _ summary: String) {
            perMinute = ConfigurationKey(
                "perMinute", .orNone(.integer(1...1_000_000_000)), default: quota?.perMinute,
                summary + " In open mode only if set."
            )
            burst = ConfigurationKey(
                "burst", .integer(1...1_000_000_000), default: quota?.burst ?? 1,
                "How many of them at once after a pause."
            )
        }
    }

    /// Each quota: its name in the file, where it is kept, and what it counts.
    static var quotas: [(name: String, member: WritableKeyPath<RequestLimits, Quota?>, keys: QuotaKeys)] {
        let all: [(String, WritableKeyPath<RequestLimits, Quota?>, String)] = [
            (
                "address", \.perAddress,
                "Requests a minute from one client address (IPv6: its first 64 bits), or `none`."
            ),
            ("principal", \.perPrincipal, "Requests a minute of one principal, or `none`."),
            (
                "replacement", \.replacementsPerPrincipal,
                "Requests with `replaces` a minute of one principal, or `none`; they count as requests too."
            ),
        ]
        return all.map { ($0, $1, QuotaKeys(RequestLimits()[keyPath: $1], $2)) }
    }

    /// - Parameter isOpen: In open mode everybody is the same caller, so that only quotas count that are written out.
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
    /// The same, or the word `none`.
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

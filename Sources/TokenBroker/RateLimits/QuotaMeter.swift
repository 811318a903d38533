/// Enforces a ``Quota`` for each of many keys with the generic cell rate algorithm (ITU-T I.371).
///
/// For each key, it stores only the time at which the whole burst is available again. Memory is bounded.
struct QuotaMeter<Key: Hashable & Sendable>: Sendable {
    private let interval: Int64
    private let tolerance: Int64
    /// The time at which each key has its whole burst again, in nanoseconds.
    private var fullAt: BoundedMap<Key, Int64>

    init(_ quota: Quota, capacity: Int) {
        interval = 60_000_000_000 / Int64(max(1, quota.perMinute))
        let (tolerance, overflow) = interval.multipliedReportingOverflow(by: Int64(max(1, quota.burst) - 1))
        self.tolerance = overflow ? .max / 4 : min(tolerance, .max / 4)
        fullAt = BoundedMap(capacity: capacity)
    }

    /// The number of keys that are stored.
    var count: Int { fullAt.count }

    /// Counts a request if it is within the quota.
    ///
    /// - Parameters:
    ///   - key: The key that the request counts for.
    ///   - now: The time since some fixed instant.
    /// - Returns: `nil` if the request is within the quota. Otherwise the time until it would be; nothing is counted.
    mutating func take(_ key: Key, at now: Duration) -> Duration? {
        let now = now.components.seconds * 1_000_000_000 + now.components.attoseconds / 1_000_000_000
        return fullAt.update(key, default: now) { fullAt in
            let from = max(fullAt, now)
            guard from - now <= tolerance else { return .nanoseconds(from - now - tolerance) }
            fullAt = from + interval
            return nil
        }
    }
}

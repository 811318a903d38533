/// Keeps a ``Quota`` for each of many keys, with the generic cell rate algorithm (ITU-T I.371): of each key only one
/// time is remembered, when it will have its whole burst again. Memory is bounded.
struct QuotaMeter<Key: Hashable & Sendable>: Sendable {
    private let interval: Int64
    private let tolerance: Int64
    /// In nanoseconds.
    private var fullAt: BoundedMap<Key, Int64>

    init(_ quota: Quota, capacity: Int) {
        interval = 60_000_000_000 / Int64(max(1, quota.perMinute))
        let (tolerance, overflow) = interval.multipliedReportingOverflow(by: Int64(max(1, quota.burst) - 1))
        self.tolerance = overflow ? .max / 4 : min(tolerance, .max / 4)
        fullAt = BoundedMap(capacity: capacity)
    }

    /// How many keys are remembered.
    var count: Int { fullAt.count }

    /// Counts a request, if it is within the quota.
    /// - Parameter now: Since some fixed moment.
    /// - Returns: `nil` if it is; otherwise how long until it would be, and nothing is counted.
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

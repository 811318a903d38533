/// How often somebody may ask: so many times a minute on average, and so many times in a row.
public struct Quota: Sendable, Hashable {
    /// Requests a minute, at least 1.
    public var perMinute: Int
    /// Requests at once after a pause, at least 1.
    public var burst: Int

    /// Takes all members, in their order of declaration.
    public init(perMinute: Int, burst: Int) {
        self.perMinute = perMinute
        self.burst = burst
    }
}

/// Keeps a ``Quota`` for each of many keys, with the generic cell rate algorithm (ITU-T I.371): of each key only one
/// time is remembered. Memory is bounded: when all places are taken, the key that was used longest ago is forgotten,
/// in constant time.
struct QuotaMeter<Key: Hashable & Sendable>: Sendable {
    private let interval: Int64
    private let tolerance: Int64
    private let capacity: Int
    private var places: [Key: Int] = [:]
    private var entries: [Entry] = []
    /// Both ends of the list through the entries, by last use.
    private var newest = -1
    private var oldest = -1

    private struct Entry {
        var key: Key
        /// When the key will have its whole burst again, in nanoseconds.
        var fullAt: Int64
        var newer: Int
        var older: Int
    }

    init(_ quota: Quota, capacity: Int) {
        interval = 60_000_000_000 / Int64(max(1, quota.perMinute))
        let (tolerance, overflow) = interval.multipliedReportingOverflow(by: Int64(max(1, quota.burst) - 1))
        self.tolerance = overflow ? .max / 4 : min(tolerance, .max / 4)
        self.capacity = max(1, capacity)
    }

    /// How many keys are remembered.
    var count: Int { entries.count }

    /// Counts a request, if it is within the quota.
    /// - Parameter now: Since some fixed moment.
    /// - Returns: `nil` if it is; otherwise how long until it would be, and nothing is counted.
    mutating func take(_ key: Key, at now: Duration) -> Duration? {
        let now = nanoseconds(now)
        let index = place(of: key, at: now)
        let fullAt = max(entries[index].fullAt, now)
        guard fullAt - now <= tolerance else { return .nanoseconds(fullAt - now - tolerance) }
        entries[index].fullAt = fullAt + interval
        return nil
    }

    private func nanoseconds(_ time: Duration) -> Int64 {
        time.components.seconds * 1_000_000_000 + time.components.attoseconds / 1_000_000_000
    }

    /// Where the key stands, now as the newest.
    private mutating func place(of key: Key, at now: Int64) -> Int {
        if let index = places[key] {
            guard index != newest else { return index }
            unlink(index)
            link(index)
            return index
        }
        var index = entries.count
        let entry = Entry(key: key, fullAt: now, newer: -1, older: -1)
        if index < capacity {
            entries.append(entry)
        } else {
            index = oldest
            unlink(index)
            places[entries[index].key] = nil
            entries[index] = entry
        }
        places[key] = index
        link(index)
        return index
    }

    private mutating func unlink(_ index: Int) {
        let (newer, older) = (entries[index].newer, entries[index].older)
        if newer == -1 { newest = older } else { entries[newer].older = older }
        if older == -1 { oldest = newer } else { entries[older].newer = newer }
    }

    private mutating func link(_ index: Int) {
        entries[index].newer = -1
        entries[index].older = newest
        if newest == -1 { oldest = index } else { entries[newest].newer = index }
        newest = index
    }
}

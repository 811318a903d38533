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

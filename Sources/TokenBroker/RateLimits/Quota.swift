/// A limit on the requests of one caller: an average rate, and a burst.
public struct Quota: Sendable, Hashable {
    /// The average number of requests per minute, at least 1.
    public var perMinute: Int
    /// The number of requests that may come back to back after a pause, at least 1.
    public var burst: Int

    /// Creates a quota.
    ///
    /// - Parameters:
    ///   - perMinute: The average number of requests per minute, at least 1.
    ///   - burst: The number of requests that may come back to back, at least 1.
    public init(perMinute: Int, burst: Int) {
        self.perMinute = perMinute
        self.burst = burst
    }
}

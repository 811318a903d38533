/// How many calls an account may make.
public struct RateLimit: Sendable, Hashable {
    /// How many calls may start within any second; at least 1.
    public var requestsPerSecond: Int
    /// How many of them may start back to back; at most ``requestsPerSecond``.
    public var burst: Int

    /// - Parameters:
    ///   - requestsPerSecond: How many calls may start within any second; at least 1.
    ///   - burst: How many of them may start back to back; `nil` for all.
    public init(requestsPerSecond: Int, burst: Int? = nil) {
        self.requestsPerSecond = requestsPerSecond
        self.burst = burst ?? requestsPerSecond
    }
}

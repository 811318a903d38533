/// The rate limit of an account.
public struct RateLimit: Sendable, Hashable {
    /// The number of calls that may start within any second; at least 1.
    public var requestsPerSecond: Int
    /// The number of those calls that may start back to back; at most ``requestsPerSecond``.
    public var burst: Int

    /// Creates a rate limit.
    ///
    /// - Parameters:
    ///   - requestsPerSecond: The number of calls that may start within any second; at least 1.
    ///   - burst: The number of those calls that may start back to back; `nil` for all.
    public init(requestsPerSecond: Int, burst: Int? = nil) {
        self.requestsPerSecond = requestsPerSecond
        self.burst = burst ?? requestsPerSecond
    }
}

/// Why there is no token. Safe to log: a code and this package's own words, never what a server said.
public struct TokenError: SafeToLog, Sendable {
    /// What a decorator or a route may do about it.
    public var code: Code
    /// A fixed explanation for the log.
    public var message: String
    /// When to come back, as the server asked or as our rate limit computed; `nil` if unknown.
    public var retryAfter: Duration?
    /// Whether this was tried again already, below; then it is not tried again above.
    public var wasRetried: Bool
    /// Whether something in front of the server answered in its place, such as a firewall with a block page. Trying again at once would
    /// be refused as well, so that a cache pauses for one second, doubling to sixty, and says until when in ``retryAfter`` instead.
    public var isForeign = false
    /// What it came from, if that is worth knowing. Its text is shown only if it is ``SafeToLog``.
    public var cause: (any Error)?

    /// Creates an error that does not come from something in front of the server.
    public init(
        _ code: Code, message: String, retryAfter: Duration? = nil, wasRetried: Bool = false,
        cause: (any Error)? = nil
    ) {
        self.code = code
        self.message = message
        self.retryAfter = retryAfter
        self.wasRetried = wasRetried
        self.cause = cause
    }

    /// Safe to log.
    public var description: String {
        cause.map { "\(code): \(message) (\(loggable($0)))" } ?? "\(code): \(message)"
    }

    /// Named by what it means for the caller.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Value: String {
            case credentialsRejected, requestRejected, throttled, unavailable, timedOut, cancelled, misconfigured
        }
        private let value: Value
        private init(_ value: Value) { self.value = value }
        /// Safe to log.
        public var description: String { value.rawValue }

        /// The server refuses our credentials. Trying again with the same ones is pointless.
        public static let credentialsRejected = Self(.credentialsRejected)
        /// The server refuses what was asked for, such as this customer or invoice. Ours to answer, not to retry.
        public static let requestRejected = Self(.requestRejected)
        /// Too many requests, by the server's word or by our own rate limit. ``TokenError/retryAfter`` says until when.
        public static let throttled = Self(.throttled)
        /// The server is down, what it answered makes no sense, or something in front of it answered. Worth another try.
        public static let unavailable = Self(.unavailable)
        /// No answer in time: the server's, or the caller's timeout.
        public static let timedOut = Self(.timedOut)
        /// The calling task was cancelled, or the broker is shutting down.
        public static let cancelled = Self(.cancelled)
        /// Nothing will work until somebody changes the deployment: no credentials, a wrong path.
        public static let misconfigured = Self(.misconfigured)
    }
}

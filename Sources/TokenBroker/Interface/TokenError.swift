/// The reason why there is no token. Safe to log: it holds a code and this package's own words, never the server's.
public struct TokenError: SafeToLog, Sendable {
    /// The kind of error, which tells a decorator or an endpoint what it may do about it.
    public var code: Code
    /// A fixed explanation for the log.
    public var message: String
    /// The time after which to try again, as requested by the server or computed by the broker's own rate limit; `nil`
    /// if unknown.
    public var retryAfter: Duration?
    /// A Boolean value that indicates whether a lower layer has already retried. Upper layers then do not retry again.
    public var wasRetried: Bool
    /// A Boolean value that indicates whether something in front of the server answered in its place, such as a
    /// firewall with a block page. An immediate retry would be refused as well. A cache therefore pauses for one
    /// second, doubling up to sixty, and reports the remaining pause in ``retryAfter`` instead.
    public var isForeign = false
    /// The underlying error, if it is worth knowing. Its text is shown only if it is ``SafeToLog``.
    public var cause: (any Error)?

    /// Creates an error. ``isForeign`` is `false`.
    ///
    /// - Parameters:
    ///   - code: The kind of error.
    ///   - message: A fixed explanation for the log.
    ///   - retryAfter: The time after which to try again; `nil` if unknown.
    ///   - wasRetried: Whether a lower layer has already retried.
    ///   - cause: The underlying error.
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

    /// The code, the message and, if it is ``SafeToLog``, the cause; otherwise the cause's type. Safe to log.
    public var description: String {
        cause.map { "\(code): \(message) (\(loggable($0)))" } ?? "\(code): \(message)"
    }

    /// The kind of error, named for what it means to the caller.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Value: String {
            case credentialsRejected, requestRejected, throttled, unavailable, timedOut, cancelled, misconfigured
        }
        private let value: Value
        private init(_ value: Value) { self.value = value }
        /// The name of the code. Safe to log.
        public var description: String { value.rawValue }

        /// The server refuses the broker's credentials. A retry with the same ones is pointless.
        public static let credentialsRejected = Self(.credentialsRejected)
        /// The server refuses the request itself, such as this customer or invoice. Report it to the caller; do not
        /// retry.
        public static let requestRejected = Self(.requestRejected)
        /// Too many requests, according to the server or to the broker's own rate limit. ``TokenError/retryAfter`` says
        /// when to try again.
        public static let throttled = Self(.throttled)
        /// The server is down, its response makes no sense, or something in front of it answered. A retry may succeed.
        public static let unavailable = Self(.unavailable)
        /// The server did not respond in time, or the caller's timeout passed.
        public static let timedOut = Self(.timedOut)
        /// The calling task was cancelled, or the broker is shutting down.
        public static let cancelled = Self(.cancelled)
        /// The deployment has to be changed before anything can work: no credentials, a wrong path.
        public static let misconfigured = Self(.misconfigured)
    }
}

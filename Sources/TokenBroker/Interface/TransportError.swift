/// The reason why there is no response. Safe to log: it holds a code and this package's own words, never the server's.
public struct TransportError: SafeToLog, Sendable, Hashable {
    /// The kind of error.
    public var code: Code
    /// A fixed explanation in this package's or the backend's words, without addresses, header values or content.
    public var message: String
    /// The time after which the rate limit should have room; set with ``Code/throttled``.
    public var retryAfter: Duration?

    /// Creates a transport error.
    ///
    /// - Parameters:
    ///   - code: The kind of error.
    ///   - message: A fixed explanation, without addresses, header values or content.
    ///   - retryAfter: The time after which the rate limit should have room; set with ``Code/throttled``.
    public init(_ code: Code, message: String = "", retryAfter: Duration? = nil) {
        self.code = code
        self.message = message
        self.retryAfter = retryAfter
    }

    /// The code and the message. Safe to log.
    public var description: String { message.isEmpty ? "\(code)" : "\(code): \(message)" }

    /// The kind of transport error.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Value: String {
            case refusedScheme, invalidRequest, resolve, connect, trust, tls, timedOut, tooLarge, malformed, closed
            case throttled, cancelled, shutDown, other
        }
        private let value: Value
        private init(_ value: Value) { self.value = value }
        /// The name of the code. Safe to log.
        public var description: String { value.rawValue }

        /// The scheme is neither `https` nor `http` to a loopback host. Nothing was sent.
        public static let refusedScheme = Self(.refusedScheme)
        /// The request cannot be sent as it is: its authority is missing or malformed, or a header field has a line
        /// break.
        public static let invalidRequest = Self(.invalidRequest)
        /// The host name could not be resolved to an address.
        public static let resolve = Self(.resolve)
        /// The connection was refused, the host is unreachable, or the connect timeout passed.
        public static let connect = Self(.connect)
        /// The server's certificate is not trusted, has expired, or is for another host.
        public static let trust = Self(.trust)
        /// The TLS handshake failed for a reason other than trust.
        public static let tls = Self(.tls)
        /// The timeout passed.
        public static let timedOut = Self(.timedOut)
        /// The response is larger than the caller accepts.
        public static let tooLarge = Self(.tooLarge)
        /// The response is not HTTP, or its content coding is unknown or corrupt.
        public static let malformed = Self(.malformed)
        /// The connection or the HTTP/2 stream ended before the response was complete.
        public static let closed = Self(.closed)
        /// A ``RateLimitedTransport`` could not send the request within its timeout. Nothing was sent.
        public static let throttled = Self(.throttled)
        /// The calling task was cancelled.
        public static let cancelled = Self(.cancelled)
        /// The transport is shutting down or has shut down.
        public static let shutDown = Self(.shutDown)
        /// Anything else; the message says what.
        public static let other = Self(.other)
    }
}

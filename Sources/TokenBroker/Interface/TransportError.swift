/// Why there is no response. Safe to log: it holds a code and this package's own words, never the server's.
public struct TransportError: SafeToLog, Sendable, Hashable {
    /// What kept the response from arriving.
    public var code: Code
    /// A fixed explanation in this package's or the backend's words, without addresses, header values or content.
    public var message: String
    /// With ``Code/throttled``: when there should be room.
    public var retryAfter: Duration?

    /// Takes all members, in their order of declaration.
    public init(_ code: Code, message: String = "", retryAfter: Duration? = nil) {
        self.code = code
        self.message = message
        self.retryAfter = retryAfter
    }

    /// Safe to log.
    public var description: String { message.isEmpty ? "\(code)" : "\(code): \(message)" }

    /// What kept the response from arriving.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Value: String {
            case refusedScheme, invalidRequest, resolve, connect, trust, tls, timedOut, tooLarge, malformed, closed
            case throttled, cancelled, shutDown, other
        }
        private let value: Value
        private init(_ value: Value) { self.value = value }
        /// Safe to log.
        public var description: String { value.rawValue }

        /// Neither `https` nor `http` to a loopback host; nothing was sent.
        public static let refusedScheme = Self(.refusedScheme)
        /// The request cannot be sent as it stands: no authority, a malformed one, a header with a line break.
        public static let invalidRequest = Self(.invalidRequest)
        /// The host's name has no address.
        public static let resolve = Self(.resolve)
        /// No connection: refused, unreachable, or not established within the connect timeout.
        public static let connect = Self(.connect)
        /// The server's certificate is not trusted, has expired, or is for another host.
        public static let trust = Self(.trust)
        /// The TLS handshake failed for another reason than trust.
        public static let tls = Self(.tls)
        /// The timeout passed.
        public static let timedOut = Self(.timedOut)
        /// The response is larger than the caller accepts.
        public static let tooLarge = Self(.tooLarge)
        /// What came back is not HTTP, or its content coding is unknown or corrupt.
        public static let malformed = Self(.malformed)
        /// The connection or the HTTP/2 stream ended before the response was complete.
        public static let closed = Self(.closed)
        /// A ``RateLimitedTransport`` could not send the request before its timeout; nothing was sent.
        public static let throttled = Self(.throttled)
        /// The calling task was cancelled.
        public static let cancelled = Self(.cancelled)
        /// The transport is shutting down or has shut down.
        public static let shutDown = Self(.shutDown)
        /// Anything else; the message says what.
        public static let other = Self(.other)
    }
}

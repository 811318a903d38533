public import HTTPTypes

/// A backend that sends one HTTP request and returns the whole response.
///
/// **Use one.** Every part of the broker that talks to a server takes an `any HTTPTransport`, so the backend (libcurl,
/// in memory, another client) is chosen by one argument.
///
/// ```swift
/// let response = try await transport.send(
///     HTTPRequest(method: .get, scheme: "https", authority: "api.example", path: "/invoices/1"),
///     body: [],
///     options: TransportOptions(timeout: .seconds(5))
/// )
/// ```
///
/// **Write one.** Conform a `Sendable` type and keep these promises:
/// - Every status is a response, not an error. Redirects are returned, never followed.
/// - Only `https`, and plain `http` to a loopback host, are allowed. Anything else is refused with
///   ``TransportError/Code/refusedScheme`` before a connection is opened.
/// - The body is complete, or the call throws. A body over ``TransportOptions/maximumResponseBytes`` ends the transfer
///   with ``TransportError/Code/tooLarge`` while it is being received.
/// - The body is decoded, whatever the request accepts: `gzip` and `deflate` content codings are removed, and the head
///   then has neither `Content-Encoding` nor `Content-Length`. An unknown, corrupt or truncated coding is
///   ``TransportError/Code/malformed``. ``ResponseCollector`` does all this.
/// - Header fields keep their order and repetitions.
/// - The timeout and the cancellation of the calling task end the transfer promptly, at any stage.
/// - A request that may have reached the server on a working connection is not sent again. A request that was lost on a
///   reused connection may be sent once more on another connection, within its timeout.
///
/// **Test one.** `HTTPTransportContract` in `TokenBrokerTesting` checks these promises as a suite that runs over your
/// fixture. To test code that *uses* a transport, pass an `InMemoryTransport` or a `ScriptedTransport` from the same
/// module.
public protocol HTTPTransport: Sendable {
    /// Sends a request and returns the complete response.
    ///
    /// - Parameters:
    ///   - request: A request with `scheme`, `authority` and `path`. Header fields are sent unchanged. Without an
    ///     `Accept-Encoding`, a network transport asks for `identity`.
    ///   - body: The request's content, sent with a `Content-Length` when it is not empty.
    ///   - options: The limits of this call.
    /// - Throws: ``TransportError`` when there is no complete response. It never contains what the server said.
    func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse
}

/// The options of one call of ``HTTPTransport/send(_:body:options:)``.
public struct TransportOptions: Sendable, Hashable {
    /// How long the call may take in total, from the call to the last byte of the response, including time in a queue.
    public var timeout: Duration
    /// The largest response body that is accepted, in bytes, after transfer and content codings are removed.
    public var maximumResponseBytes: Int
    /// The account whose rate limit the call counts against; `nil` for a server without one. Only a
    /// ``RateLimitedTransport`` uses it.
    public var account: Account?
    /// The priority among queued calls of one account.
    public var priority: Priority

    /// Creates options for one call.
    ///
    /// - Parameters:
    ///   - timeout: How long the call may take in total.
    ///   - maximumResponseBytes: The largest response body that is accepted, in bytes.
    ///   - account: The account whose rate limit the call counts against.
    ///   - priority: The priority among queued calls of one account.
    public init(
        timeout: Duration = .seconds(10), maximumResponseBytes: Int = 1 << 20, account: Account? = nil,
        priority: Priority = .normal
    ) {
        self.timeout = timeout
        self.maximumResponseBytes = maximumResponseBytes
        self.account = account
        self.priority = priority
    }

    /// The order in which queued calls of one account are sent.
    public enum Priority: Sendable, Hashable {
        /// Calls that others wait for: an access token.
        case high
        /// Everything else.
        case normal
    }
}

/// A complete HTTP response.
public struct TransportResponse: Sendable {
    /// The status and the header fields, including repeated ones, in the order received. They describe ``body``: fields
    /// about a content coding that was removed are removed as well.
    public var head: HTTPResponse
    /// The whole body; empty if there was none.
    public var body: [UInt8]
    /// The time from the sending of the request to the last byte of the response, without time in a queue. A token's
    /// lifetime is measured from the moment of sending.
    public var elapsed: Duration

    /// Creates a response.
    ///
    /// - Parameters:
    ///   - head: The status and the header fields.
    ///   - body: The whole body.
    ///   - elapsed: The time from the sending of the request to the last byte of the response.
    public init(head: HTTPResponse, body: [UInt8] = [], elapsed: Duration = .zero) {
        self.head = head
        self.body = body
        self.elapsed = elapsed
    }

    /// The status.
    public var status: HTTPResponse.Status { head.status }
    /// The header fields.
    public var headerFields: HTTPFields { head.headerFields }
}

public import HTTPTypes

/// Sends one HTTP request and returns the whole response.
///
/// **Use one.** Every part of the broker that talks to a server takes an `any HTTPTransport`, so that the backend
/// (libcurl, in memory, another client) is one argument.
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
/// - every status is a response, not an error; redirects are returned, never followed;
/// - `https` only; plain `http` only to a loopback host (``TransportError/Code/refusedScheme`` otherwise), decided
///   before a connection is opened;
/// - the body is complete, or the call throws; a body over ``TransportOptions/maximumResponseBytes`` ends the transfer
///   with ``TransportError/Code/tooLarge`` while it is being received;
/// - the body is decoded, whatever the request accepts: `gzip` and `deflate` content codings are undone, and then the head has
///   neither `Content-Encoding` nor `Content-Length`. Another coding, or a corrupt or truncated one, is
///   ``TransportError/Code/malformed``. ``ResponseCollector`` does all this;
/// - header fields keep their order and repetitions;
/// - the timeout and the cancellation of the calling task end the transfer promptly, at any stage;
/// - a request that may have reached the server on a working connection is not sent again. One that a kept connection
///   lost may be sent once more on another connection, within its timeout.
///
/// **Test one.** `HTTPTransportContract` in `TokenBrokerTesting` holds these promises as a suite that runs over a
/// fixture of yours. To test code that *uses* a transport, pass an `InMemoryTransport` or a `ScriptedTransport` from there.
public protocol HTTPTransport: Sendable {
    /// - Parameters:
    ///   - request: With `scheme`, `authority` and `path`; header fields are sent as they stand. Without an
    ///     `Accept-Encoding`, a network transport asks for `identity`.
    ///   - body: The request's content, sent with a `Content-Length` when not empty.
    ///   - options: Limits for this call.
    /// - Throws: ``TransportError`` when there is no complete response. It never contains what the server said.
    func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse
}

/// What a caller asks of one ``HTTPTransport/send(_:body:options:)``.
public struct TransportOptions: Sendable, Hashable {
    /// How long the call may take altogether, from the call to the last byte of the response, queueing included.
    public var timeout: Duration
    /// The largest response body that is accepted, in bytes, after transfer and content codings are undone.
    public var maximumResponseBytes: Int
    /// Whose rate limit the call counts against; `nil` for a server without one. Only a ``RateLimitedTransport`` looks at it.
    public var account: Account?
    /// Who goes first while calls of one account queue.
    public var priority: Priority

    /// Takes all members, in their order of declaration.
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
    /// Status and header fields, repeated ones included, in the order received. They describe the body as it is here: those of
    /// a content coding that was undone are removed.
    public var head: HTTPResponse
    /// The whole body; empty when there was none.
    public var body: [UInt8]
    /// From the moment the request was sent to the last byte of the response; waiting in a queue does not count.
    /// A token's life is measured from that moment.
    public var elapsed: Duration

    /// Takes all members, in their order of declaration.
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

public import HTTPTypes

/// The validated target of a request. Every ``HTTPTransport`` refuses a request with an invalid target before it opens
/// a connection.
public struct OutboundTarget: Sendable, Hashable {
    /// A Boolean value that indicates whether the scheme is `https`.
    public let usesTLS: Bool
    /// A Boolean value that indicates whether the host is this machine by definition, such as `localhost` or
    /// `127.0.0.1`.
    public let isLoopback: Bool
    /// `host` or `host:port`, in visible ASCII, without user information.
    public let authority: String
    /// The path and query, in visible ASCII, beginning with `/`.
    public let path: String

    /// Validates the target of a request.
    ///
    /// - Parameter request: The request.
    /// - Throws: ``TransportError`` with the code ``TransportError/Code/invalidRequest`` or
    ///   ``TransportError/Code/refusedScheme``.
    public init(_ request: HTTPRequest) throws(TransportError) {
        guard let authority = request.authority, let host = Authority(authority)?.host
        else { throw TransportError(.invalidRequest, message: "the authority is missing or malformed") }
        let path = request.path ?? "/"
        guard path.utf8.first == UInt8(ascii: "/"),
            path.utf8.allSatisfy({ 0x21...0x7e ~= $0 && $0 != UInt8(ascii: "#") })
        else { throw TransportError(.invalidRequest, message: "the path is malformed") }
        isLoopback = host.isLoopback
        switch request.scheme?.lowercased() {
        case "https": usesTLS = true
        case "http" where isLoopback: usesTLS = false
        default: throw TransportError(.refusedScheme, message: "only https is allowed, and http to a loopback host")
        }
        self.authority = authority
        self.path = path
    }

    /// The URL, such as `https://host/path`.
    public var url: String { "\(usesTLS ? "https" : "http")://\(authority)\(path)" }
}

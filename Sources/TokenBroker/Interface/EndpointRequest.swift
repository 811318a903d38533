public import HTTPTypes

/// A request as an ``Endpoint`` sees it.
public struct EndpointRequest: Sendable {
    /// The method, scheme, authority, path with query, and header fields.
    public var head: HTTPRequest
    /// The body, not yet read.
    public var body: EndpointBody
    /// The address of the connection's peer as the host sees it; `nil` if the host does not know it.
    public var peer: PeerAddress?
    /// The parameters of the matched ``RoutePath``. The ``EndpointSet`` fills them in.
    public var pathParameters: [String: String] = [:]

    /// Creates a request.
    ///
    /// - Parameters:
    ///   - head: The method, scheme, authority, path with query, and header fields.
    ///   - body: The body, not yet read.
    ///   - peer: The address of the connection's peer; `nil` if the host does not know it.
    public init(head: HTTPRequest, body: EndpointBody = EndpointBody(), peer: PeerAddress? = nil) {
        self.head = head
        self.body = body
        self.peer = peer
    }
}

public import HTTPTypes

/// A request as an ``Endpoint`` sees it.
public struct EndpointRequest: Sendable {
    /// Method, scheme, authority, path with query, header fields.
    public var head: HTTPRequest
    /// The body, not yet read.
    public var body: EndpointBody
    /// Who is at the other end of the connection, as the host sees it; `nil` if it cannot tell.
    public var peer: PeerAddress?
    /// The parameters of the matched ``RoutePath``; filled in by the ``EndpointSet``.
    public var pathParameters: [String: String] = [:]

    /// Takes all members, in their order of declaration.
    public init(head: HTTPRequest, body: EndpointBody = EndpointBody(), peer: PeerAddress? = nil) {
        self.head = head
        self.body = body
        self.peer = peer
    }
}

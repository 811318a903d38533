import HTTPTypes

/// One route of the broker, independent of any HTTP server.
///
/// **Use one.** An ``EndpointSet`` finds the endpoint for a request; a route adapter hands the set the host's
/// requests and writes back what it answers.
///
/// **Write one.** Answer every method of your path, an unsupported one with 405 and `Allow`. Do not throw: an endpoint
/// knows best what its failure looks like to a page.
///
/// **Test one.** Call ``respond(to:)`` with a ``EndpointRequest``; no server is needed.
public protocol Endpoint: Sendable {
    /// Which paths it answers.
    var path: RoutePath { get }

    func respond(to request: EndpointRequest) async -> EndpointResponse
}

/// The broker's routes, to be mounted on an HTTP server.
///
/// **Use it.** A route adapter for the server at hand mounts it in one line.
///
/// **Write an adapter.** For each request of the host whose path ``contains(path:)`` says is ours, whichever its method, call ``respond(to:)`` with:
/// - the head as it was received, repeated header fields included, `authority` from `Host` or `:authority`;
/// - the body unread, as a ``EndpointBody``, and its chunks only as they are asked for;
/// - the address of the peer, `nil` only if the host cannot know it.
///
/// Write back status, header fields in order and body as they are. If the body was not read to its end, do not drain it
/// without limit: close the connection. When the client goes away, cancel the task in which `respond(to:)` runs. When ``respond(to:)`` returns `nil`
/// the request is none of ours and the host goes on.
///
/// **Test an adapter.** `RouteAdapterContract` in `TokenBrokerTesting` runs these rules over a real socket.
public struct EndpointSet: Sendable {
    /// In the order in which they are asked.
    public private(set) var endpoints: [any Endpoint]

    /// - Parameter endpoints: The first whose path matches answers.
    public init(_ endpoints: [any Endpoint] = []) { self.endpoints = endpoints }

    /// Appends `endpoint`.
    public mutating func add(_ endpoint: any Endpoint) { endpoints.append(endpoint) }

    /// Whether some endpoint answers `path`, a request target with or without its query.
    public func contains(path: String) -> Bool { match(path) != nil }

    /// The answer of the first endpoint whose path matches; `nil` if there is none.
    public func respond(to request: EndpointRequest) async -> EndpointResponse? {
        guard let (endpoint, parameters) = match(request.head.path ?? "") else { return nil }
        var request = request
        request.pathParameters = parameters
        return await endpoint.respond(to: request)
    }

    private func match(_ path: String) -> (any Endpoint, [String: String])? {
        for endpoint in endpoints {
            if let parameters = endpoint.path.match(path) { return (endpoint, parameters) }
        }
        return nil
    }
}

import HTTPTypes

/// The broker's routes, to be mounted on an HTTP server.
///
/// **Use it.** A route adapter for your server mounts the set in one line.
///
/// **Write an adapter.** For each request of the host, whatever its method, call ``match(_:)`` with the path. If the
/// result is `nil`, the path does not belong to the broker and the host continues. Otherwise call
/// ``EndpointMatch/respond(to:)`` with:
/// - the head as it was received, including repeated header fields, with `authority` from `Host` or `:authority` and
///   the target in origin form (``RequestTarget``);
/// - the unread body as an ``EndpointBody`` that reads chunks only on demand (``WatchedBody`` tells whether its end was
///   reached);
/// - the address of the peer, `nil` only if the host cannot know it.
///
/// Apply ``EndpointResponse/framed(for:)`` to the result and write it back: the status, the header fields in order, and
/// the body. If the request's body was not read to its end, do not drain it without a limit; close the connection. When
/// the client disconnects, cancel the task in which `respond(to:)` runs.
///
/// **Test an adapter.** `RouteAdapterContract` in `TokenBrokerTesting` checks these rules over a real socket.
public struct EndpointSet: Sendable {
    /// The endpoints, in the order in which they are tried.
    public private(set) var endpoints: [any Endpoint]
    /// Paths that the host answers itself although an endpoint matches them.
    private var hostPaths: Set<ExactString> = []

    /// Creates a set of endpoints.
    ///
    /// - Parameter endpoints: The endpoints. The first whose path matches answers a request.
    public init(_ endpoints: [any Endpoint] = []) { self.endpoints = endpoints }

    /// Appends an endpoint, which is tried last.
    public mutating func add(_ endpoint: any Endpoint) { endpoints.append(endpoint) }

    /// Returns the set without some paths, such as a `/healthz` that the host answers itself.
    ///
    /// - Parameter paths: The excluded paths as they are requested, without a query.
    public func excluding(_ paths: Set<String>) -> EndpointSet {
        var set = self
        set.hostPaths.formUnion(paths.map { ExactString($0) })
        return set
    }

    /// Returns the first endpoint whose path matches; `nil` if there is none or the path is excluded.
    ///
    /// - Parameter path: The path in origin form, with or without its query.
    public func match(_ path: String) -> EndpointMatch? {
        for endpoint in endpoints {
            guard let parameters = endpoint.path.match(path) else { continue }
            if !hostPaths.isEmpty,
                hostPaths.contains(ExactString(Substring(path.utf8.prefix { $0 != UInt8(ascii: "?") })))
            {
                return nil
            }
            return EndpointMatch(endpoint: endpoint, parameters: parameters)
        }
        return nil
    }

    /// Returns the response to a complete request, as in a test; `nil` if no endpoint matches.
    public func respond(to request: EndpointRequest) async -> EndpointResponse? {
        await match(request.head.path ?? "")?.respond(to: request)
    }
}

/// An endpoint that matched a path, and the parameters of that path.
public struct EndpointMatch: Sendable {
    private let endpoint: any Endpoint
    private let parameters: [String: String]

    fileprivate init(endpoint: any Endpoint, parameters: [String: String]) {
        self.endpoint = endpoint
        self.parameters = parameters
    }

    /// Returns the endpoint's response.
    ///
    /// - Parameter request: A request whose path is the one that was matched.
    public func respond(to request: EndpointRequest) async -> EndpointResponse {
        var request = request
        request.pathParameters = parameters
        return await endpoint.respond(to: request)
    }
}

import HTTPTypes

/// The broker's routes, to be mounted on an HTTP server.
///
/// **Use it.** A route adapter for the server at hand mounts it in one line.
///
/// **Write an adapter.** For each request of the host, whichever its method, ask ``match(_:)`` with the path. If it is `nil` the request is none of
/// ours and the host goes on. Otherwise call ``EndpointMatch/respond(to:)`` with:
/// - the head as it was received, repeated header fields included, `authority` from `Host` or `:authority`, and the target in origin form
///   (``RequestTarget``);
/// - the body unread, as an ``EndpointBody``, and its chunks only as they are asked for (``WatchedBody`` tells whether its end was reached);
/// - the address of the peer, `nil` only if the host cannot know it.
///
/// Write back what ``EndpointResponse/framed(for:)`` makes of the answer: status, header fields in order, and body. If the body of the request was
/// not read to its end, do not drain it without limit: close the connection. When the client goes away, cancel the task in which
/// `respond(to:)` runs.
///
/// **Test an adapter.** `RouteAdapterContract` in `TokenBrokerTesting` runs these rules over a real socket.
public struct EndpointSet: Sendable {
    /// In the order in which they are asked.
    public private(set) var endpoints: [any Endpoint]
    /// Paths that are the host's, although an endpoint has them.
    private var hostPaths: Set<ExactString> = []

    /// - Parameter endpoints: The first whose path matches answers.
    public init(_ endpoints: [any Endpoint] = []) { self.endpoints = endpoints }

    /// Appends `endpoint`.
    public mutating func add(_ endpoint: any Endpoint) { endpoints.append(endpoint) }

    /// The same without some paths, such as a `/healthz` that the host answers itself.
    /// - Parameter paths: As they are requested, without a query.
    public func excluding(_ paths: Set<String>) -> EndpointSet {
        var set = self
        set.hostPaths.formUnion(paths.map { ExactString($0) })
        return set
    }

    /// The endpoint that answers a path, the first of those that do; `nil` if none does.
    /// - Parameter path: In origin form, with or without its query.
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

    /// Matches and answers a request; `nil` if no endpoint does. For whoever has the whole request, as in a test.
    public func respond(to request: EndpointRequest) async -> EndpointResponse? {
        await match(request.head.path ?? "")?.respond(to: request)
    }
}

/// An endpoint, and the parameters in the path that it was found by.
public struct EndpointMatch: Sendable {
    private let endpoint: any Endpoint
    private let parameters: [String: String]

    fileprivate init(endpoint: any Endpoint, parameters: [String: String]) {
        self.endpoint = endpoint
        self.parameters = parameters
    }

    /// The endpoint's answer.
    /// - Parameter request: One whose path was matched.
    public func respond(to request: EndpointRequest) async -> EndpointResponse {
        var request = request
        request.pathParameters = parameters
        return await endpoint.respond(to: request)
    }
}

/// One route of the broker, independent of any HTTP server.
///
/// **Use one.** An ``EndpointSet`` finds the endpoint for a request. A route adapter passes the host's requests to the
/// set and writes its responses back.
///
/// **Write one.** Answer every method on your path; answer an unsupported one with 405 and `Allow`. An endpoint does
/// not throw, because it knows best how to present a failure to a page.
///
/// **Test one.** Call ``respond(to:)`` with an ``EndpointRequest``; no server is needed.
public protocol Endpoint: Sendable {
    /// The paths that the endpoint answers.
    var path: RoutePath { get }

    /// Returns the response to a request whose path matches ``path``.
    func respond(to request: EndpointRequest) async -> EndpointResponse
}

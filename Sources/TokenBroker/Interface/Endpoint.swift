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

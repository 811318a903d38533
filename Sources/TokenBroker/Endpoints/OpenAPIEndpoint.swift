import HTTPTypes

/// The endpoint `GET /openapi.json`, which describes the broker's routes (OpenAPI 3.1).
///
/// It serves `openapi.json`, which is next to this file, with the paths that are in use. It reveals nothing else about
/// a deployment.
public struct OpenAPIEndpoint: Endpoint {
    /// The path of the endpoint.
    public let path: RoutePath
    private let document: [UInt8]

    /// Creates an endpoint.
    ///
    /// - Parameters:
    ///   - path: The path of the endpoint.
    ///   - checkoutToken: The path of the ``CheckoutTokenEndpoint``.
    ///   - live: The path of the ``HealthEndpoint``; `nil` if there is none.
    ///   - ready: The path of the ``ReadinessEndpoint``; `nil` if there is none.
    public init(
        path: RoutePath = "/openapi.json", checkoutToken: RoutePath = "/api/checkout-token",
        live: RoutePath? = "/healthz",
        ready: RoutePath? = "/readyz"
    ) {
        self.path = path
        let bytes = PackageResources.openapi_json
        guard case .object(var document)? = try? JSONValue.parse(bytes), let paths = document["paths"] else {
            // A test ensures that the document can be parsed.
            self.document = bytes
            return
        }
        var used: [String: JSONValue] = [:]
        for (documented, path) in [("/api/checkout-token", checkoutToken), ("/healthz", live), ("/readyz", ready)] {
            if let path { used[path.description] = paths[documented] }
        }
        document["paths"] = .object(used)
        self.document = JSONValue.object(document).serialized
    }

    /// Returns the response to a request.
    public func respond(to request: EndpointRequest) async -> EndpointResponse {
        guard request.head.method == .get || request.head.method == .head else {
            return Problem.methodNotAllowed("GET, HEAD").response
        }
        return EndpointResponse(
            status: .ok, headerFields: [.contentType: "application/json", .cacheControl: "no-cache"], body: document
        )
    }
}

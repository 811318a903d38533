import HTTPTypes

/// `GET /healthz`: 200 as long as the process answers at all.
public struct HealthEndpoint: Endpoint {
    /// Which paths it answers.
    public let path: RoutePath

    /// - Parameter path: Where it answers.
    public init(path: RoutePath = "/healthz") { self.path = path }

    /// The answer; the type tells how it comes about.
    public func respond(to request: RouteRequest) async -> RouteResponse {
        healthAnswer(to: request) { ["status": "ok"] }
    }
}

/// `GET /readyz`: 200 when requests can be served, otherwise 503.
///
/// Not ready are only credentials that cannot be loaded or are refused. The reason is told to loopback peers only.
public struct ReadinessEndpoint: Endpoint {
    /// Which paths it answers.
    public let path: RoutePath
    private let parts: [any ReadinessReporting]

    /// - Parameters:
    ///   - path: Where it answers.
    ///   - parts: All of them must be ready.
    public init(path: RoutePath = "/readyz", _ parts: [any ReadinessReporting]) {
        self.path = path
        self.parts = parts
    }

    /// The answer; the type tells how it comes about.
    public func respond(to request: RouteRequest) async -> RouteResponse {
        for part in parts {
            let readiness = await part.readiness()
            if readiness.isReady { continue }
            var answer: [String: JSONValue] = ["status": "not ready"]
            if request.peer?.isLoopback == true, let reason = readiness.reason { answer["reason"] = .string(reason) }
            return healthAnswer(to: request, status: .serviceUnavailable) { .object(answer) }
        }
        return healthAnswer(to: request) { ["status": "ok"] }
    }
}

private func healthAnswer(
    to request: RouteRequest, status: HTTPResponse.Status = .ok, body: () -> JSONValue
) -> RouteResponse {
    guard request.head.method == .get || request.head.method == .head else {
        return Problem.methodNotAllowed("GET, HEAD").response
    }
    return RouteResponse(
        status: status, headerFields: [.contentType: "application/json", .cacheControl: "no-store"],
        body: body().serialized
    )
}

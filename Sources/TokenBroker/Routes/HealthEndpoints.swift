import HTTPTypes

/// `GET /healthz`: 200 as long as the process answers at all.
public struct HealthEndpoint: Endpoint {
    /// Which paths it answers.
    public let path: RoutePath

    /// - Parameter path: Where it answers.
    public init(path: RoutePath = "/healthz") { self.path = path }

    /// The answer; the type tells how it comes about.
    public func respond(to request: RouteRequest) async -> RouteResponse {
        await healthAnswer(to: request) { (.ok, ["status": "ok"]) }
    }
}

/// `GET /readyz`: 200 when requests can be served, otherwise 503.
///
/// Not ready are only credentials that cannot be loaded or are refused (``Health/isReady``). The reason, and the ``Health`` of each part, are
/// told to a loopback peer that no proxy stands before.
public struct ReadinessEndpoint: Endpoint {
    /// Which paths it answers.
    public let path: RoutePath
    private let parts: [any HealthReporting]

    /// - Parameters:
    ///   - path: Where it answers.
    ///   - parts: All of them must be ready.
    public init(path: RoutePath = "/readyz", _ parts: [any HealthReporting]) {
        self.path = path
        self.parts = parts
    }

    /// The answer; the type tells how it comes about.
    public func respond(to request: RouteRequest) async -> RouteResponse {
        await healthAnswer(to: request) {
            var health: [Health] = []
            for part in parts { health.append(await part.health()) }
            let reason = health.first { !$0.isReady }?.state
            var answer: [String: JSONValue] = ["status": reason == nil ? "ok" : "not ready"]
            if request.peer?.isLoopback == true, !request.isForwarded {
                if let reason { answer["reason"] = .string(reason.description) }
                answer["parts"] = .array(health.map(\.json))
            }
            return (reason == nil ? .ok : .serviceUnavailable, .object(answer))
        }
    }
}

extension Health {
    /// Durations in seconds, to the millisecond.
    fileprivate var json: JSONValue {
        func seconds(_ duration: Duration) -> JSONValue {
            .number(((duration / .milliseconds(1)).rounded()) / 1000)
        }
        var members: [String: JSONValue] = [
            "part": .string(part), "account": .string(account), "state": .string(state.description),
        ]
        members["lastSuccess"] = lastSuccess.map(seconds)
        members["lastFailure"] = lastFailure.map { ["code": .string($0.code.description), "ago": seconds($0.ago)] }
        members["expiresIn"] = expiresIn.map(seconds)
        members["retryIn"] = retryIn.map(seconds)
        members["coolDown"] = coolDown.map(seconds)
        members["queued"] = queued.map { .number(Double($0)) }
        return .object(members)
    }
}

private func healthAnswer(
    to request: RouteRequest, _ answer: () async -> (status: HTTPResponse.Status, body: JSONValue)
) async -> RouteResponse {
    guard request.head.method == .get || request.head.method == .head else {
        return Problem.methodNotAllowed("GET, HEAD").response
    }
    let (status, body) = await answer()
    return RouteResponse(
        status: status, headerFields: [.contentType: "application/json", .cacheControl: "no-store"],
        body: body.serialized
    )
}

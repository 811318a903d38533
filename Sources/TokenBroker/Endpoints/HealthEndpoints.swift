import HTTPTypes
public import Logging
import Synchronization

/// The endpoint `GET /healthz`, which returns 200 if the process responds at all.
public struct HealthEndpoint: Endpoint {
    /// The path of the endpoint.
    public let path: RoutePath

    /// Creates an endpoint.
    ///
    /// - Parameter path: The path of the endpoint.
    public init(path: RoutePath = "/healthz") { self.path = path }

    /// Returns the response to a request.
    public func respond(to request: EndpointRequest) async -> EndpointResponse {
        await healthAnswer(to: request) { (.ok, ["status": "ok"]) }
    }
}

/// The endpoint `GET /readyz`, which returns 200 if requests can be served, and otherwise 503.
///
/// The server is not ready only if the credentials cannot be loaded or are refused while no token is held
/// (``Health/isReady``). While a token is held, the status is `degraded` (``Health/isDegraded``), so that somebody can
/// act before it expires. While the server is about to stop, the status is `stopping`, with 503. Only a loopback peer
/// without a proxy in front of it receives the reason and the ``Health`` of each part.
public struct ReadinessEndpoint: Endpoint {
    /// The path of the endpoint.
    public let path: RoutePath
    private let readiness: Readiness

    /// Creates an endpoint.
    ///
    /// - Parameters:
    ///   - path: The path of the endpoint.
    ///   - parts: The parts, which must all be ready.
    ///   - logger: Logs each change of the status, not each request.
    public init(path: RoutePath = "/readyz", _ parts: [any HealthReporting], logger: Logger? = nil) {
        self.init(path: path, Readiness(parts, logger: logger))
    }

    package init(path: RoutePath, _ readiness: Readiness) {
        self.path = path
        self.readiness = readiness
    }

    /// Returns the response to a request.
    public func respond(to request: EndpointRequest) async -> EndpointResponse {
        await healthAnswer(to: request) {
            let (status, reason, health) = await readiness.check()
            var answer: [String: JSONValue] = ["status": .string(status.rawValue)]
            if request.peer?.isLoopback == true, !request.isForwarded {
                if let reason { answer["reason"] = .string(reason.description) }
                answer["parts"] = .array(health.map(\.json))
            }
            return (status == .notReady || status == .stopping ? .serviceUnavailable : .ok, .object(answer))
        }
    }
}

/// Checks whether all parts are ready, and logs when that changes.
package final class Readiness: Sendable {
    package enum Status: String, Sendable {
        case ok, degraded
        case notReady = "not ready"
        /// The server is about to stop. It still serves.
        case stopping
    }

    private let parts: [any HealthReporting]
    private let logger: Logger?
    private let last = Mutex(Status.ok)
    private let isStopping = Atomic(false)

    package init(_ parts: [any HealthReporting], logger: Logger?) {
        self.parts = parts
        self.logger = logger
    }

    /// Makes every check say from now on that the server is about to stop.
    package func announceShutdown() { isStopping.store(true, ordering: .relaxed) }

    /// Returns the status, the state of the part that causes it, and the health of all parts.
    package func check() async -> (status: Status, reason: Health.State?, parts: [Health]) {
        var health: [Health] = []
        for part in parts { health.append(await part.health()) }
        let culprit = health.first { !$0.isReady } ?? health.first(where: \.isDegraded)
        let status: Status = culprit.map { $0.isReady ? .degraded : .notReady } ?? .ok
        let former = last.withLock { last in
            defer { last = status }
            return last
        }
        if status != former { log(status, culprit) }
        return (isStopping.load(ordering: .relaxed) ? .stopping : status, culprit?.state, health)
    }

    private func log(_ status: Status, _ culprit: Health?) {
        guard let culprit else {
            logger?.notice("access tokens can be obtained again")
            return
        }
        var metadata: Logger.Metadata = [
            "part": "\(culprit.part)", "account": "\(culprit.account)", "reason": "\(culprit.state)",
        ]
        if culprit.holdsToken, let left = culprit.expiresIn {
            metadata["heldTokenExpiresIn"] = "\(left.components.seconds)s"
        }
        logger?.error(
            status == .degraded
                ? "no new access token can be obtained; a token that is still held is used until it expires"
                : "no access token is held and none can be obtained",
            metadata: metadata
        )
    }
}

extension Health {
    /// The health as JSON, with durations in seconds, rounded to the millisecond.
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
    to request: EndpointRequest, _ answer: () async -> (status: HTTPResponse.Status, body: JSONValue)
) async -> EndpointResponse {
    guard request.head.method == .get || request.head.method == .head else {
        return Problem.methodNotAllowed("GET, HEAD").response
    }
    let (status, body) = await answer()
    return EndpointResponse(
        status: status, headerFields: [.contentType: "application/json", .cacheControl: "no-store"],
        body: body.serialized
    )
}

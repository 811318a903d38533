import HTTPTypes
public import Logging
import Synchronization

/// `GET /healthz`: 200 as long as the process answers at all.
public struct HealthEndpoint: Endpoint {
    /// Which paths it answers.
    public let path: RoutePath

    /// - Parameter path: Where it answers.
    public init(path: RoutePath = "/healthz") { self.path = path }

    /// The answer; the type tells how it comes about.
    public func respond(to request: EndpointRequest) async -> EndpointResponse {
        await healthAnswer(to: request) { (.ok, ["status": "ok"]) }
    }
}

/// `GET /readyz`: 200 when requests can be served, otherwise 503.
///
/// Not ready are only credentials that cannot be loaded or are refused while no token is held (``Health/isReady``). While one is held, the
/// status is `degraded` (``Health/isDegraded``), so that somebody can act before it ends. The reason, and the ``Health`` of each part, are told
/// to a loopback peer that no proxy stands before.
public struct ReadinessEndpoint: Endpoint {
    /// Which paths it answers.
    public let path: RoutePath
    private let readiness: Readiness

    /// - Parameters:
    ///   - path: Where it answers.
    ///   - parts: All of them must be ready.
    ///   - logger: Told when the status changes, not at each request.
    public init(path: RoutePath = "/readyz", _ parts: [any HealthReporting], logger: Logger? = nil) {
        self.init(path: path, Readiness(parts, logger: logger))
    }

    package init(path: RoutePath, _ readiness: Readiness) {
        self.path = path
        self.readiness = readiness
    }

    /// The answer; the type tells how it comes about.
    public func respond(to request: EndpointRequest) async -> EndpointResponse {
        await healthAnswer(to: request) {
            let (status, reason, health) = await readiness.check()
            var answer: [String: JSONValue] = ["status": .string(status.rawValue)]
            if request.peer?.isLoopback == true, !request.isForwarded {
                if let reason { answer["reason"] = .string(reason.description) }
                answer["parts"] = .array(health.map(\.json))
            }
            return (status == .notReady ? .serviceUnavailable : .ok, .object(answer))
        }
    }
}

/// Whether all parts are ready, with a word in the log when that changes.
package final class Readiness: Sendable {
    package enum Status: String, Sendable {
        case ok, degraded
        case notReady = "not ready"
    }

    private let parts: [any HealthReporting]
    private let logger: Logger?
    private let last = Mutex(Status.ok)

    package init(_ parts: [any HealthReporting], logger: Logger?) {
        self.parts = parts
        self.logger = logger
    }

    /// - Returns: The status, the state of the part that is the reason for it, and all parts.
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
        return (status, culprit?.state, health)
    }

    private func log(_ status: Status, _ culprit: Health?) {
        guard let culprit else {
            logger?.notice("access tokens can be had again")
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
                ? "no new access token can be had; the one that is held, if any, is used to its end"
                : "no access token is held and none can be had",
            metadata: metadata
        )
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

import FoundationEssentials
import HTTPTypes
public import Logging
import Synchronization

/// `POST /api/checkout-token`: gives a page a checkout token, if whoever asks may have it.
///
/// The order of work is path, method, origin, content type, who asks, body, policy, token; the first that fails
/// answers. Failures are `application/problem+json` (RFC 9457) with a `code`.
public struct CheckoutTokenEndpoint: Endpoint {
    /// Which paths it answers.
    public let path: RoutePath
    private let tokens: any TokenProvider
    private let authenticator: any Authenticator
    private let policy: any AccessPolicy
    private let origins: CrossOrigin
    private let environment: String
    private let deadline: Duration
    private let minimumRemaining: Duration
    private let alarm: Alarm
    private let logger: Logger

    /// - Parameters:
    ///   - path: Where it answers.
    ///   - tokens: Step 2, normally behind a cache.
    ///   - authenticator: Who asks.
    ///   - policy: Whether they may.
    ///   - allowedOrigins: Origins other than the server's own whose pages may call, as browsers send them.
    ///   - environment: The vendor's environment, told to the page for its SDK.
    ///   - deadline: Every answer is given within it.
    ///   - minimumRemaining: A token is handed out with at least this much life, if the vendor's tokens have that much.
    ///   - clock: Time for the deadline.
    ///   - logger: One line for each decision.
    public init(
        path: RoutePath = "/api/checkout-token", tokens: any TokenProvider, authenticator: any Authenticator,
        policy: any AccessPolicy, allowedOrigins: Set<String> = [], environment: String,
        deadline: Duration = .seconds(8), minimumRemaining: Duration = .seconds(120),
        clock: any Clock<Duration> = ContinuousClock(), logger: Logger
    ) {
        self.path = path
        self.tokens = tokens
        self.authenticator = authenticator
        self.policy = policy
        self.origins = CrossOrigin(allowedOrigins: allowedOrigins, method: .post)
        self.environment = environment
        self.deadline = deadline
        self.minimumRemaining = minimumRemaining
        self.alarm = Alarm(clock)
        self.logger = logger
    }

    /// The answer; the type tells how it comes about.
    public func respond(to request: RouteRequest) async -> RouteResponse {
        var response: RouteResponse
        do throws(Problem) {
            response = try await answerInTime(request)
        } catch {
            response = error.response
            log(error)
        }
        origins.addFields(to: &response, for: request.head)
        response.head.headerFields[.cacheControl] = "no-store"
        response.head.headerFields[.xContentTypeOptions] = "nosniff"
        return response
    }

    private func answerInTime(_ request: RouteRequest) async throws(Problem) -> RouteResponse {
        let stage = Stage()
        do {
            let end = alarm.now + deadline
            let answer = try await withTimeLimit(deadline, alarm) {
                try await self.answer(request, stage) { max(.zero, end - alarm.now) }
            }
            if let answer { return answer }
        } catch let problem as Problem {
            throw problem
        } catch {
            // Nothing else is thrown within.
        }
        throw problem(whenLateIn: stage.value.withLock { $0 })
    }

    /// What is being done, for the answer when time runs out.
    private final class Stage: Sendable {
        enum Value { case authenticating, readingBody, checking, gettingToken }
        let value = Mutex(Value.authenticating)
        func begin(_ value: Value) { self.value.withLock { $0 = value } }
    }

    private func problem(whenLateIn stage: Stage.Value) -> Problem {
        switch stage {
        case .authenticating: .unauthenticated(challenge: authenticator.challenge)
        case .readingBody: .tooSlow
        case .checking: .forbidden
        // A cache keeps to the patience by itself; another provider may not.
        case .gettingToken: problem(TokenError(.timedOut, message: "no token within the route's deadline"))
        }
    }

    private func answer(
        _ request: RouteRequest, _ stage: Stage, timeLeft: @Sendable () -> Duration
    ) async throws(Problem) -> RouteResponse {
        let isPreflight = request.head.method == .options
        guard isPreflight || request.head.method == .post else { throw .methodNotAllowed("POST, OPTIONS") }
        guard origins.allows(request.head) else { throw .forbidden }
        if isPreflight { return origins.answerToPreflight(request.head) }
        guard hasJSONContent(request.head) else { throw .unsupportedMediaType }
        let principal = try await authenticate(request)
        stage.begin(.readingBody)
        let session = try CheckoutSessionRequest(try await body(of: request))
        stage.begin(.checking)
        let tokenRequest = TokenRequest(
            tenant: principal.tenant, customer: session.customer, invoice: session.invoice
        )
        try await check(principal, tokenRequest)
        stage.begin(.gettingToken)
        let demand = TokenDemand(
            minimumRemaining: minimumRemaining, insteadOf: session.replaces, patience: timeLeft()
        )
        let token: Token
        do throws(TokenError) {
            token = try await tokens.token(for: tokenRequest, demand: demand)
        } catch {
            throw problem(error)
        }
        logger.debug("checkout token given", metadata: ["token": "\(token.id)"])
        return answer(with: token)
    }

    private func hasJSONContent(_ head: HTTPRequest) -> Bool {
        let types = head.headerFields[values: .contentType]
        guard types.count == 1, let type = types.first else { return false }
        return type.prefix { $0 != ";" }.trimmingWhiteSpace.lowercased() == "application/json"
    }

    private func authenticate(_ request: RouteRequest) async throws(Problem) -> Principal {
        do {
            if let principal = try await authenticator.authenticate(request) { return principal }
        } catch {
            logger.error("the authenticator failed", metadata: ["error": "\(type(of: error))"])
        }
        throw .unauthenticated(challenge: authenticator.challenge)
    }

    private func body(of request: RouteRequest) async throws(Problem) -> [UInt8] {
        do {
            return try await request.body.collect(upTo: Problem.maximumBodyBytes)
        } catch RouteBody.Failure.tooLarge {
            throw .tooLarge
        } catch {
            throw .invalidRequest("The body ended early.")
        }
    }

    private func check(_ principal: Principal, _ request: TokenRequest) async throws(Problem) {
        do {
            if try await policy.allows(principal, toRequest: request) { return }
        } catch {
            logger.error("the policy failed", metadata: ["error": "\(type(of: error))"])
        }
        throw .forbidden
    }

    private func answer(with token: Token) -> RouteResponse {
        let body: JSONValue = [
            "token": .string(token.secret.reveal()), "tokenId": .string(token.id.rawValue),
            "expiresAt": .string(token.expiresAt.formatted(.iso8601)),
            "expiresIn": .number(Double(token.remaining.components.seconds)), "environment": .string(environment),
        ]
        return RouteResponse(
            status: .ok, headerFields: [.contentType: "application/json"], body: body.serialized
        )
    }

    private func problem(_ error: TokenError) -> Problem {
        switch error.code {
        case .requestRejected: return .sessionRejected
        case .throttled: return .vendorBusy(retryAfter: error.retryAfter)
        case .credentialsRejected, .misconfigured:
            let incident = randomHex(words: 1)
            logger.error("no checkout token", metadata: ["incident": "\(incident)", "error": "\(error)"])
            return .misconfigured(incident: incident)
        default:
            logger.warning("no checkout token", metadata: ["error": "\(error)"])
            return .vendorUnavailable(retryAfter: error.retryAfter)
        }
    }

    private func log(_ problem: Problem) {
        logger.info(
            "checkout token refused",
            metadata: ["status": "\(problem.code.status.code)", "code": "\(problem.code.rawValue)"]
        )
    }
}

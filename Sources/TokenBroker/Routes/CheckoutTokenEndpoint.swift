import FoundationEssentials
import HTTPTypes
public import Logging

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
    private let clock: any Clock<Duration>
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
        self.clock = clock
        self.logger = logger
    }

    /// The answer; the type tells how it comes about.
    public func respond(to request: RouteRequest) async -> RouteResponse {
        var response: RouteResponse
        do throws(Problem) {
            response = try await answer(request, timeLeft: stopwatch(clock))
        } catch {
            response = error.response
            log(error)
        }
        origins.addFields(to: &response, for: request.head)
        response.head.headerFields[.cacheControl] = "no-store"
        response.head.headerFields[.xContentTypeOptions] = "nosniff"
        return response
    }

    /// How much of the deadline is left, whichever clock measures it.
    private func stopwatch(_ clock: some Clock<Duration>) -> @Sendable () -> Duration {
        let end = clock.now.advanced(by: deadline)
        return { max(.zero, clock.now.duration(to: end)) }
    }

    private func answer(_ request: RouteRequest, timeLeft: @Sendable () -> Duration) async throws(Problem)
        -> RouteResponse
    {
        let isPreflight = request.head.method == .options
        guard isPreflight || request.head.method == .post else { throw .methodNotAllowed("POST, OPTIONS") }
        guard origins.allows(request.head) else { throw .forbidden }
        if isPreflight { return origins.answerToPreflight(request.head) }
        guard hasJSONContent(request.head) else { throw .unsupportedMediaType }
        let principal = try await authenticate(request, within: timeLeft())
        let session = try CheckoutSessionRequest(try await body(of: request, within: timeLeft()))
        let tokenRequest = TokenRequest(
            tenant: principal.tenant, customer: session.customer, invoice: session.invoice
        )
        try await check(principal, tokenRequest, within: timeLeft())
        let token = try await token(for: tokenRequest, insteadOf: session.replaces, within: timeLeft())
        logger.debug("checkout token given", metadata: ["token": "\(token.id)"])
        return answer(with: token)
    }

    private func hasJSONContent(_ head: HTTPRequest) -> Bool {
        let types = head.headerFields[values: .contentType]
        guard types.count == 1, let type = types.first else { return false }
        return type.prefix { $0 != ";" }.trimmingWhiteSpace.lowercased() == "application/json"
    }

    private func authenticate(_ request: RouteRequest, within limit: Duration) async throws(Problem) -> Principal {
        do {
            let authenticator = authenticator
            let found = try await withTimeLimit(limit, clock: clock) { try await authenticator.authenticate(request) }
            if let principal = found ?? nil { return principal }
        } catch {
            logger.error("the authenticator failed", metadata: ["error": "\(type(of: error))"])
        }
        throw .unauthenticated(challenge: authenticator.challenge)
    }

    private func body(of request: RouteRequest, within limit: Duration) async throws(Problem) -> [UInt8] {
        do {
            let read = try await withTimeLimit(limit, clock: clock) {
                try await request.body.collect(upTo: Problem.maximumBodyBytes)
            }
            if let read { return read }
        } catch RouteBody.Failure.tooLarge {
            throw .tooLarge
        } catch {
            throw .invalidRequest("The body ended early.")
        }
        throw .tooSlow
    }

    private func check(
        _ principal: Principal, _ request: TokenRequest, within limit: Duration
    ) async throws(Problem) {
        do {
            let policy = policy
            let allowed = try await withTimeLimit(limit, clock: clock) {
                try await policy.allows(principal, toRequest: request)
            }
            if allowed == true { return }
        } catch {
            logger.error("the policy failed", metadata: ["error": "\(type(of: error))"])
        }
        throw .forbidden
    }

    private func token(
        for request: TokenRequest, insteadOf refused: Token.ID?, within limit: Duration
    ) async throws(Problem) -> Token {
        let demand = TokenDemand(minimumRemaining: minimumRemaining, insteadOf: refused, patience: limit)
        do {
            let tokens = tokens
            // A provider keeps to the patience by itself if a cache is in front of it; another may not.
            let found = try await withTimeLimit(limit, clock: clock) {
                try await tokens.token(for: request, demand: demand)
            }
            if let found { return found }
        } catch let error as TokenError {
            throw problem(error)
        } catch {
            throw problem(TokenError(.cancelled, message: "the caller was cancelled"))
        }
        throw problem(TokenError(.timedOut, message: "no token within the route's deadline"))
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
            "checkout token refused", metadata: ["status": "\(problem.status.code)", "code": "\(problem.code)"]
        )
    }
}

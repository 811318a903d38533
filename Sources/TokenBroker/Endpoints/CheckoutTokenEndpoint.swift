import FoundationEssentials
import HTTPTypes
public import Logging
import Synchronization

/// The endpoint `POST /api/checkout-token`, which gives a page a checkout token if the caller may have it.
///
/// The checks run in this order: path, host, method, origin, content type, the address's quota, authentication, body,
/// the caller's quota, policy, token. The first one that fails determines the response. A request with a guessed proof
/// of identity therefore uses up the address's quota. Failures are `application/problem+json` (RFC 9457) with a `code`.
/// If the authenticator or the policy throws, or takes longer than the timeout, the page is told to try again later
/// (503 `access_unavailable`).
///
/// A malformed host is refused. A request without a host, which HTTP/1.0 clients may send, is never treated as
/// same-origin, but is otherwise served.
///
/// Each decision is one log event, `checkout token given` or `checkout token refused`, with the fields `outcome`,
/// `reason`, `request`, `detail`, `status`, `code`, `principal`, `customer`, `invoice`, `replaces`, `token`,
/// `incident`, `origin`, `host` and `error`, as far as they are known. The response names the request in
/// `X-Request-ID`.
public struct CheckoutTokenEndpoint: Endpoint {
    /// The path of the endpoint.
    public var path: RoutePath { configuration.path }
    private let configuration: Configuration
    private let tokens: any TokenProvider
    private let authenticator: any Authenticator
    private let policy: any AccessPolicy
    private let origins: CrossOrigin
    private let alarm: Alarm
    private let callers: CallerQuotas
    private let audit: Audit
    private let metrics = RequestMetrics()

    /// Creates an endpoint.
    ///
    /// - Parameters:
    ///   - tokens: The provider for step 2, normally cached.
    ///   - authenticator: Authenticates the caller.
    ///   - policy: Decides whether the caller may have a token.
    ///   - configuration: The endpoint's configuration.
    ///   - clock: The clock for the timeout and the quotas.
    ///   - logger: Logs one event for each decision.
    public init(
        tokens: any TokenProvider, authenticator: any Authenticator, policy: any AccessPolicy,
        configuration: Configuration, clock: some Clock<Duration> = ContinuousClock(), logger: Logger
    ) {
        self.configuration = configuration
        self.tokens = tokens
        self.authenticator = authenticator
        self.policy = policy
        self.origins = CrossOrigin(
            allowedOrigins: configuration.allowedOrigins, allowedHeaders: configuration.allowedHeaders,
            reservedFields: authenticator.reservedFields, method: .post,
            addresses: ClientAddresses(trustedProxies: configuration.limits.trustedProxies)
        )
        self.alarm = Alarm(clock)
        self.callers = CallerQuotas(configuration.limits, alarm)
        self.audit = Audit(logger: logger, pseudonym: configuration.pseudonym ?? Audit.pseudonymWithinProcess)
    }

    /// Returns the response to a request.
    public func respond(to request: EndpointRequest) async -> EndpointResponse {
        var response: EndpointResponse
        let progress = RequestProgress()
        let id = RequestID(request, origins.addresses)
        progress.note { $0.requestID = id.text }
        let start = alarm.now
        metrics.began()
        do throws(RequestRefusal) {
            try checkHead(request)
            if request.head.method == .options {
                response = origins.answerToPreflight(request.head)
                metrics.endedPreflight()
            } else {
                let token = try await tokenInTime(for: request, progress)
                audit.given(token, progress.facts)
                metrics.ended("ok", .allowed, after: alarm.now - start)
                response = answer(with: token)
            }
        } catch {
            audit.refused(error, progress.facts)
            metrics.ended(error.problem.code.rawValue, error.reason, after: alarm.now - start)
            response = error.problem.response
        }
        origins.addFields(to: &response, for: request.head)
        id.addField(to: &response)
        response.head.headerFields[.cacheControl] = "no-store"
        response.head.headerFields[.xContentTypeOptions] = "nosniff"
        return response
    }

    // MARK: In time

    private func tokenInTime(for request: EndpointRequest, _ progress: RequestProgress) async throws(RequestRefusal)
        -> Token
    {
        guard callers.enter() else { throw RequestRefusal(.vendorBusy(retryAfter: nil), .tooManyAtOnce) }
        do {
            let end = alarm.now + configuration.timeout
            let token = try await withTimeLimit(configuration.timeout, alarm, mayAbandon: progress.abandon) {
                // An abandoned request still counts until it ends.
                defer { callers.leave() }
                return try await self.token(for: request, progress) { max(.zero, end - alarm.now) }
            }
            if let token { return token }
        } catch var refusal as RequestRefusal {
            if Task.isCancelled { refusal.reason = .clientGone }
            throw refusal
        } catch {
            // Nothing else is thrown inside.
        }
        switch progress.stage {
        case .authenticating: throw RequestRefusal(.accessUnavailable, .authenticatorTimedOut)
        case .readingBody: throw RequestRefusal(.tooSlow, .bodyTooSlow)
        case .checking:
            let problem: Problem =
                components(of: policy, as: (any AsksVendor).self).isEmpty
                ? .accessUnavailable : .vendorUnavailable(retryAfter: nil)
            throw RequestRefusal(problem, .policyTimedOut)
        case .gettingToken:
            // A cache enforces the timeout itself; another provider may not.
            throw refusal(TokenError(.timedOut, message: "no token within the route's timeout"))
        }
    }

    // MARK: One thing after the other

    private func checkHead(_ request: EndpointRequest) throws(RequestRefusal) {
        if let authority = request.head.authority, Authority(authority) == nil {
            throw RequestRefusal(.invalidRequest("The host is malformed."), .host)
        }
        let method = request.head.method
        guard method == .post || method == .options else {
            throw RequestRefusal(.methodNotAllowed("POST, OPTIONS"), .method)
        }
        try check(origins.allows(request), .origin, request)
        if method == .options { return }
        let isAmbient = authenticator.proof(in: request) == .ambient
        try check(origins.allows(request, needsOne: isAmbient), .originUnknown, request)
        guard hasJSONContent(request.head) else { throw RequestRefusal(.unsupportedMediaType, .contentType) }
    }

    private func check(_ isAllowed: Bool, _ reason: Audit.Reason, _ request: EndpointRequest) throws(RequestRefusal) {
        if isAllowed { return }
        var refusal = RequestRefusal(.forbidden, reason)
        refusal.metadata = origins.metadata(of: request)
        throw refusal
    }

    private func token(
        for request: EndpointRequest, _ progress: RequestProgress, timeLeft: @Sendable () -> Duration
    ) async throws(RequestRefusal) -> Token {
        if callers.shouldWarnOfUnlistedProxy(request) {
            audit.logger.warning(
                """
                requests come through a proxy that is not trusted, so all of its clients share the quota of one address
                """
            )
        }
        try keep(callers.takeForAddress(of: request), .addressQuota)
        let principal = try await authenticate(request)
        progress.note { $0.principal = principal }
        try progress.begin(.readingBody)
        let session = try await session(in: request)
        progress.note { $0.session = session }
        try progress.begin(.checking)
        try keep(callers.take(for: principal), .principalQuota)
        if session.replaces != nil { try keep(callers.takeReplacement(for: principal), .replacementQuota) }
        let tokenRequest = TokenRequest(
            tenant: principal.tenant, customer: session.customer, invoice: session.invoice
        )
        try await check(principal, tokenRequest)
        try progress.begin(.gettingToken)
        let demand = TokenDemand(
            minimumRemaining: configuration.minimumRemaining, replacing: session.replaces, timeout: timeLeft()
        )
        do throws(TokenError) {
            return try await tokens.token(for: tokenRequest, demand: demand)
        } catch {
            throw refusal(error)
        }
    }

    private func hasJSONContent(_ head: HTTPRequest) -> Bool {
        let types = head.headerFields[values: .contentType]
        guard types.count == 1, let type = types.first else { return false }
        let name = type.utf8.prefix { $0 != UInt8(ascii: ";") }
        return Substring(name).trimmingWhiteSpace.lowercased() == "application/json"
    }

    private func authenticate(_ request: EndpointRequest) async throws(RequestRefusal) -> Principal {
        do {
            if let principal = try await authenticator.authenticate(request) { return principal }
        } catch let refusal as AccessRefusal {
            throw RequestRefusal(.unauthenticated(challenge: authenticator.challenge), .noProof, detail: refusal)
        } catch {
            throw RequestRefusal(.accessUnavailable, .authenticatorFailed, error: loggable(error))
        }
        throw RequestRefusal(.unauthenticated(challenge: authenticator.challenge), .noProof)
    }

    /// - Parameter wait: The time until the request would be within the quota; `nil` if it is.
    private func keep(_ wait: Duration?, _ quota: Audit.Reason) throws(RequestRefusal) {
        if let wait { throw RequestRefusal(.tooManyRequests(retryAfter: wait), quota) }
    }

    private func session(in request: EndpointRequest) async throws(RequestRefusal) -> CheckoutSessionRequest {
        do {
            return try CheckoutSessionRequest(await body(of: request))
        } catch let problem as Problem {
            throw RequestRefusal(problem, problem.code == .tooSlow ? .bodyTooSlow : .body)
        } catch {
            throw RequestRefusal(.invalidRequest("The body ended early."), .body)
        }
    }

    /// Reads the body, if it arrives at least as fast as on a bad connection: 1 KiB per second, after the first 3
    /// seconds.
    private func body(of request: EndpointRequest) async throws -> [UInt8] {
        let received = Received()
        let bytes = try await withTimeLimit(.seconds(3) + .seconds(1) * received.kibibytes, alarm) {
            do {
                return try await request.body.collect(upTo: Problem.maximumBodyBytes, progress: received.note)
            } catch let failure as EndpointBody.Failure where failure == .tooLarge {
                throw Problem.tooLarge
            }
        }
        guard let bytes else { throw Problem.tooSlow }
        return bytes
    }

    private final class Received: Sendable {
        private let bytes = Atomic(0)
        var kibibytes: Int { bytes.load(ordering: .relaxed) / 1024 }
        func note(_ count: Int) { bytes.store(count, ordering: .relaxed) }
    }

    private func check(_ principal: Principal, _ request: TokenRequest) async throws(RequestRefusal) {
        do {
            if try await policy.authorize(principal, for: request) { return }
        } catch let refusal as AccessRefusal {
            throw RequestRefusal(.forbidden, .policy, detail: refusal)
        } catch let error as TokenError {
            // The vendor's own refusal denies access. Any other error means that the vendor cannot be asked about any
            // session, and the page may try again.
            guard error.code == .requestRejected else { throw refusal(error) }
            throw RequestRefusal(.forbidden, .policy, detail: AccessRefusal("vendor_refused"))
        } catch {
            throw RequestRefusal(.accessUnavailable, .policyFailed, error: loggable(error))
        }
        throw RequestRefusal(.forbidden, .policy)
    }

    private func answer(with token: Token) -> EndpointResponse {
        let body: JSONValue = [
            "token": .string(token.secret.reveal()), "tokenId": .string(token.id.rawValue),
            "expiresAt": .string(token.expiresAt.formatted(.iso8601)),
            "expiresIn": .number(Double(token.remaining.components.seconds)),
            "environment": .string(configuration.environment),
        ]
        return EndpointResponse(
            status: .ok, headerFields: [.contentType: "application/json"], body: body.serialized
        )
    }

    private func refusal(_ error: TokenError) -> RequestRefusal {
        RequestRefusal(Problem(error), .noToken, error: "\(error)")
    }
}

import FoundationEssentials
import HTTPTypes

/// One call to the vendor, with what all of them do alike: limits, what a failure means, and what is told of it.
struct VendorCall: Sendable {
    let vendor: Vendor
    let transport: any HTTPTransport
    let deadline: Duration
    let priority: TransportOptions.Priority
    let stopwatch: Stopwatch
    let wallClock: @Sendable () -> Date
    let telemetry: StepTelemetry
    private let breaker = Breaker()

    /// - Parameter part: What metrics, traces and health call it.
    init(
        part: String = "lookup", vendor: Vendor, transport: any HTTPTransport, deadline: Duration,
        priority: TransportOptions.Priority, clock: some Clock<Duration> = ContinuousClock(),
        wallClock: @escaping @Sendable () -> Date
    ) {
        self.vendor = vendor
        self.transport = transport
        self.deadline = deadline
        self.priority = priority
        self.stopwatch = Stopwatch(clock)
        self.wallClock = wallClock
        self.telemetry = StepTelemetry(part: part, account: vendor.profile.id, stopwatch)
    }

    /// When a caller wants its answer, by the stopwatch.
    func end(within patience: Duration?) -> Duration? { patience.map { stopwatch.now + $0 } }

    /// - Parameter end: When the answer must be there, if that is sooner than the deadline for one call.
    func send(
        _ request: HTTPRequest, body: [UInt8], before end: Duration? = nil
    ) async throws(TokenError) -> TransportResponse {
        let left = end.map { min(deadline, $0 - stopwatch.now) } ?? deadline
        guard left > .zero else { throw TokenError(.timedOut, message: "no time was left for a call to the vendor") }
        let options = TransportOptions(deadline: left, account: vendor.profile.id, priority: priority)
        return try await telemetry.call(request) { (request) throws(TokenError) in
            do throws(TransportError) {
                return try await transport.send(request, body: body, options: options)
            } catch {
                throw TokenError(
                    meaning(of: error.kind), message: "the call to the vendor failed", retryAfter: error.retryAfter,
                    cause: error
                )
            }
        }
    }

    /// What the vendor answers with an access token. If it refuses one that was kept (401), that is renewed, once. A vendor that refuses
    /// new ones as well is left alone for a while (``Breaker``).
    /// - Parameters:
    ///   - minimumRemaining: Of the access token.
    ///   - patience: For everything together.
    /// - Returns: Its answer, and the access token that it was given for, with the life that is left.
    func send(
        with accessTokens: any TokenProvider, for request: TokenRequest, minimumRemaining: Duration = .zero,
        patience: Duration?, _ ask: (Token) async throws(TokenError) -> TransportResponse
    ) async throws(TokenError) -> (TransportResponse, Token) {
        let end = end(within: patience)
        let accessRequest = TokenRequest(tenant: request.tenant, scopes: request.scopes, audience: request.audience)
        func access(insteadOf id: Token.ID?) async throws(TokenError) -> Token {
            // One that is over before it gets there is refused.
            let demand = TokenDemand(
                minimumRemaining: max(minimumRemaining, .seconds(2)), insteadOf: id,
                patience: end.map { max(.zero, $0 - stopwatch.now) }
            )
            return try await accessTokens.token(for: accessRequest, demand: demand)
        }

        var token = try await access(insteadOf: try breaker.pass(now: stopwatch.now, probe: deadline))
        var since = stopwatch.now
        do throws(TokenError) {
            var response = try await ask(token)
            if response.status == .unauthorized, !token.isFresh, breaker.mayRenew(now: stopwatch.now) {
                token = try await access(insteadOf: token.id)
                since = stopwatch.now
                response = try await ask(token)
            }
            note(response.status, of: request, with: token)
            token.remaining -= stopwatch.now - since
            return (response, token)
        } catch {
            // None of the paths is there, which is no more a matter of what was asked for.
            if error.code == .misconfigured { refused(request, with: token, error) }
            throw error
        }
    }

    /// How long no calls with an access token are made; `nil` if they are.
    var suspendedFor: Duration? { breaker.openFor(now: stopwatch.now) }

    private func note(_ status: HTTPResponse.Status, of request: TokenRequest, with token: Token) {
        switch status.code {
        case 401, 403:
            let message = "the vendor refuses calls with new access tokens"
            refused(request, with: token, TokenError(.credentialsRejected, message: message))
        case 200..<300, 400, 404, 409, 410, 422:
            if breaker.accepted() { telemetry.setBreaker(open: false) }
        default:
            // Says nothing about the access token.
            break
        }
    }

    private func refused(_ request: TokenRequest, with token: Token, _ error: TokenError) {
        if breaker.refused(request, with: token, error, now: stopwatch.now) { telemetry.setBreaker(open: true) }
    }

    private func meaning(of kind: TransportError.Kind) -> TokenError.Code {
        switch kind {
        case .timedOut: .timedOut
        case .cancelled, .shutDown: .cancelled
        case .throttled: .throttled
        case .refusedScheme, .invalidRequest: .misconfigured
        default: .unavailable
        }
    }

    /// The error for an answer other than 2xx.
    func error(for response: TransportResponse, outcomes: [Int: TokenError.Code]) -> TokenError {
        let status = response.status.code
        return TokenError(
            outcomes[status] ?? .unavailable, message: "the vendor answered with status \(status)",
            retryAfter: response.headerFields[.retryAfter].flatMap { retryAfter($0, now: wallClock()) }
        )
    }

    /// The JSON object in a 2xx answer.
    func object(in response: TransportResponse) throws(TokenError) -> JSONValue {
        guard let value = try? JSONValue.parse(response.body), case .object = value else {
            throw TokenError(.unavailable, message: "the vendor's answer is not a JSON object")
        }
        return value
    }

    /// Whether an answer carries the vendor's own error body, and not one of something in front of it.
    func hasVendorError(_ response: TransportResponse) -> Bool {
        guard case .object(let members)? = try? JSONValue.parse(response.body) else { return false }
        return members.keys.contains { vendor.profile.errorMembers.contains($0.unicode) }
    }
}

import FoundationEssentials
import HTTPTypes
import Logging
import Synchronization

/// One call to the vendor, with what all of them do alike: limits, what an answer means, and what is told of it.
struct VendorCall: Sendable {
    let vendor: Vendor
    let transport: any HTTPTransport
    let timeout: Duration
    let priority: TransportOptions.Priority
    let stopwatch: Stopwatch
    let wallClock: @Sendable () -> Date
    let telemetry: StepTelemetry
    let logger: Logger?
    private let breaker = CircuitBreaker()
    private let foreignAnswers = ForeignAnswers()

    /// - Parameter step: What metrics, traces and health call it.
    init(
        step: String, vendor: Vendor, transport: any HTTPTransport, timeout: Duration,
        priority: TransportOptions.Priority, clock: some Clock<Duration>,
        wallClock: @escaping @Sendable () -> Date, logger: Logger?
    ) {
        self.vendor = vendor
        self.transport = transport
        self.timeout = timeout
        self.priority = priority
        self.stopwatch = Stopwatch(clock)
        self.wallClock = wallClock
        self.telemetry = StepTelemetry(step: step, account: vendor.profile.id, stopwatch)
        self.logger = logger
    }

    /// When a caller wants its answer, by the stopwatch.
    func end(within timeout: Duration?) -> Duration? { timeout.map { stopwatch.now + $0 } }

    /// - Parameter end: When the answer must be there, if that is sooner than the timeout for one call.
    func send(
        _ request: HTTPRequest, body: [UInt8], before end: Duration? = nil
    ) async throws(TokenError) -> TransportResponse {
        let left = end.map { min(timeout, $0 - stopwatch.now) } ?? timeout
        guard left > .zero else { throw TokenError(.timedOut, message: "no time was left for a call to the vendor") }
        let options = TransportOptions(timeout: left, account: vendor.account, priority: priority)
        let response = try await telemetry.call(request) { (request) throws(TokenError) in
            do throws(TransportError) {
                return try await transport.send(request, body: body, options: options)
            } catch {
                throw TokenError(
                    meaning(of: error.code), message: "the call to the vendor failed", retryAfter: error.retryAfter,
                    cause: error
                )
            }
        }
        noteClock(of: response)
        return response
    }

    private func meaning(of code: TransportError.Code) -> TokenError.Code {
        switch code {
        case .timedOut: .timedOut
        case .cancelled, .shutDown: .cancelled
        case .throttled: .throttled
        case .refusedScheme, .invalidRequest: .misconfigured
        default: .unavailable
        }
    }

    private func noteClock(of response: TransportResponse) {
        guard let date = response.date else { return }
        let (difference, hasBecomeLarge) = vendor.clock.note(date, elapsed: response.elapsed, now: wallClock())
        telemetry.setClockDifference(difference)
        guard hasBecomeLarge else { return }
        let seconds = "\(Int(difference.rounded()))"
        logger?.warning(
            "the vendor's clock and this machine's differ by more than a minute",
            metadata: ["account": "\(telemetry.account)", "step": "\(telemetry.step)", "seconds": "\(seconds)"]
        )
    }

    // MARK: What an answer means

    /// The JSON object in an answer, or what an answer without one means.
    ///
    /// A 4xx counts as the vendor's own if its body has one of the profile's ``VendorProfile/errorShapes``. Any other comes from something in
    /// front of it. 429 is throttling whatever its body.
    /// - Parameter isIssuer: Whether errors in the words of RFC 6749 are the vendor's own as well, and come before the status.
    func content(
        of response: TransportResponse, outcomes: [Int: TokenError.Code], isIssuer: Bool = false
    ) -> Result<JSONValue, TokenError> {
        let object = object(in: response)
        if response.status.kind == .successful, let object {
            foreignAnswers.end()
            return .success(object)
        }
        let status = response.status.code
        var error = TokenError(
            outcomes[status] ?? .unavailable, message: "the vendor answered with status \(status)",
            retryAfter: response.retryAfter(now: wallClock())
        )
        let issuerError = isIssuer ? object.flatMap(IssuerError.init) : nil
        switch response.status.kind {
        case .successful:
            error.code = .unavailable
            error.message = "the vendor's answer is not a JSON object"
        case .clientError where response.status == .tooManyRequests:
            error.code = outcomes[status] ?? .throttled
        case .clientError where issuerError != nil || object.map(isVendorError) ?? false:
            foreignAnswers.end()
            if let meaning = issuerError?.meaning {
                error.code = meaning.code
                error.message = "\(meaning.message) (status \(status))"
            }
        case .clientError:
            error.code = .unavailable
            error.message = "something in front of the vendor answered with status \(status)"
            error.isForeign = true
            noteForeignAnswer(status)
        default: break
        }
        return .failure(error)
    }

    /// Whether a 4xx is in the vendor's own words.
    func isVendorError(_ response: TransportResponse) -> Bool { object(in: response).map(isVendorError) ?? false }

    private func isVendorError(_ object: JSONValue) -> Bool {
        vendor.profile.errorShapes.contains { $0.matches(object) }
    }

    private func object(in response: TransportResponse) -> JSONValue? {
        guard let value = try? JSONValue.parse(response.body), case .object = value else { return nil }
        return value
    }

    /// Whether the latest answer came from something in front of the vendor.
    var isBlocked: Bool { foreignAnswers.count > 0 }

    private func noteForeignAnswer(_ status: Int) {
        guard foreignAnswers.note(now: stopwatch.now) else { return }
        logger?.warning(
            "a block page, or credentials that are refused without a word",
            metadata: [
                "account": "\(telemetry.account)", "step": "\(telemetry.step)", "status": "\(status)",
                "inARow": "\(foreignAnswers.count)",
            ]
        )
    }

    // MARK: Calls with an access token

    /// What the vendor answered to a call with an access token.
    struct Answer {
        /// As it came.
        var response: TransportResponse
        /// The JSON object in it, or what it means.
        var content: Result<JSONValue, TokenError>
        /// The access token that it was given for, with the life that is left.
        var access: Token
    }

    /// Asks with an access token. If the vendor refuses one that was kept (401), that is renewed, once. ``CircuitBreaker`` says when it is not.
    /// - Parameters:
    ///   - visitor: Who is behind it.
    ///   - outcomes: What a status means.
    ///   - minimumRemaining: Of the access token.
    ///   - timeout: For everything together.
    func send(
        with accessTokens: any TokenProvider, for request: TokenRequest, by visitor: CircuitBreaker.Visitor,
        outcomes: [Int: TokenError.Code], minimumRemaining: Duration = .zero,
        timeout: Duration?, _ ask: (Token) async throws(TokenError) -> TransportResponse
    ) async throws(TokenError) -> Answer {
        let end = end(within: timeout)
        let accessRequest = TokenRequest(tenant: request.tenant, scopes: request.scopes, audience: request.audience)
        func access(replacing id: Token.ID?) async throws(TokenError) -> Token {
            // One that is over before it gets there is refused.
            let demand = TokenDemand(
                minimumRemaining: max(minimumRemaining, .seconds(2)), replacing: id,
                timeout: end.map { max(.zero, $0 - stopwatch.now) }
            )
            return try await accessTokens.token(for: accessRequest, demand: demand)
        }

        let refused = try breaker.pass(visitor, now: stopwatch.now, probe: self.timeout)
        var token = try await access(replacing: refused)
        var since = stopwatch.now
        var response = try await ask(token)
        if response.status == .unauthorized, !token.isFresh, breaker.mayRenew(token, for: visitor, now: stopwatch.now) {
            token = try await access(replacing: token.id)
            since = stopwatch.now
            response = try await ask(token)
        }
        let content = content(of: response, outcomes: outcomes)
        note(content, response.status, of: request, by: visitor, with: token)
        token.remaining -= stopwatch.now - since
        return Answer(response: response, content: content, access: token)
    }

    /// How long calls with an access token are held back from those whose calls were refused; `nil` if none are.
    var suspendedFor: Duration? { breaker.openFor(now: stopwatch.now) }

    private func note(
        _ content: Result<JSONValue, TokenError>, _ status: HTTPResponse.Status, of request: TokenRequest,
        by visitor: CircuitBreaker.Visitor, with token: Token
    ) {
        var refusal: TokenError?
        var isAccepted = true
        if case .failure(let error) = content {
            if error.code == .credentialsRejected {
                refusal = error
                refusal?.message = "the vendor refuses calls with new access tokens"
            }
            // Of others that are refused with 403 the vendor may not even have looked at what they ask for.
            isAccepted = error.code == .requestRejected && status != .forbidden
        }
        if status == .unauthorized || refusal != nil {
            let isOpen = breaker.refused(
                request, by: visitor, with: token, refusal, isUnauthorized: status == .unauthorized, now: stopwatch.now)
            if isOpen { telemetry.setBreaker(open: true) }
        } else if isAccepted, breaker.accepted(visitor, with: token) {
            telemetry.setBreaker(open: false)
        }
    }
}

/// Counts the answers in a row that came from something in front of the vendor.
private final class ForeignAnswers: Sendable {
    private let state = Mutex<(count: Int, told: Duration?)>((0, nil))

    var count: Int { state.withLock { $0.count } }

    /// - Returns: Whether it is worth a word: from the third in a row on, once a minute at most.
    func note(now: Duration) -> Bool {
        state.withLock { state in
            state.count += 1
            guard state.count >= 3, state.told.map({ now - $0 >= .seconds(60) }) ?? true else { return false }
            state.told = now
            return true
        }
    }

    /// The vendor itself answered.
    func end() { state.withLock { $0.count = 0 } }
}

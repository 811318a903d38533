import FoundationEssentials
import HTTPTypes
import Logging

/// One kind of call to a vendor: for an access token, a checkout token or an invoice.
struct VendorStep: Sendable {
    let vendor: Vendor
    let timeout: Duration
    let stopwatch: Stopwatch
    let wallClock: @Sendable () -> Date
    let telemetry: StepTelemetry
    let logger: Logger?
    let breaker = CircuitBreaker()
    private let rules: Rules
    private let transport: any HTTPTransport
    private let priority: TransportOptions.Priority
    private let knownPath = KnownPath()
    private let foreignAnswers = ForeignAnswers()

    /// The profile's rules for a step.
    struct Rules: Sendable {
        /// The paths below the base URL, with `{name}` for each parameter that a request fills in.
        var paths: [String]
        /// Whether a path may not exist, so that the next one is tried. The path that works is remembered.
        var searches = false
        /// What each status of an error in the vendor's own words means.
        var outcomes: [Int: TokenError.Code]
        /// Whether errors as in RFC 6749 also count as the vendor's own, and override the status.
        var isIssuer = false
    }

    /// The request of one execution.
    struct Request: Sendable {
        var method: HTTPRequest.Method = .post
        /// The values that are filled into the path, percent-encoded.
        var parameters: [String: String] = [:]
        var fields: HTTPFields
        var body: [UInt8] = []
    }

    /// The result of one execution.
    struct Answer: Sendable {
        /// The response as received.
        var response: TransportResponse
        /// The JSON object in the response, or the error that a response without one means.
        var content: Result<JSONValue, TokenError>
    }

    /// - Parameter name: The step's name in metrics, traces and health.
    init(
        _ name: String, _ rules: Rules, vendor: Vendor, transport: any HTTPTransport, timeout: Duration,
        priority: TransportOptions.Priority = .normal, clock: some Clock<Duration>,
        wallClock: @escaping @Sendable () -> Date, logger: Logger?
    ) {
        self.rules = rules
        self.vendor = vendor
        self.transport = transport
        self.timeout = timeout
        self.priority = priority
        self.stopwatch = Stopwatch(clock)
        self.wallClock = wallClock
        self.telemetry = StepTelemetry(step: name, account: vendor.profile.id, stopwatch)
        self.logger = logger
    }

    /// Returns the deadline of a caller's timeout, by the stopwatch.
    func end(within timeout: Duration?) -> Duration? { timeout.map { stopwatch.now + $0 } }

    /// Whether the latest response came from something in front of the vendor.
    var isBlocked: Bool { foreignAnswers.count > 0 }

    // MARK: One execution

    /// Sends a request and interprets the response.
    /// - Parameter end: The deadline for the response, if it is sooner than the timeout of a call.
    func execute(_ request: Request, before end: Duration? = nil) async throws(TokenError) -> Answer {
        let response = try await response(to: request, before: end)
        return Answer(response: response, content: content(of: response))
    }

    /// Tries the paths, starting with the one that worked last. Something in front of the vendor may hide a path that
    /// exists. If no path has ever worked, the configuration is wrong.
    func response(to request: Request, before end: Duration?) async throws(TokenError) -> TransportResponse {
        guard rules.searches else { return try await send(request, to: rules.paths.first ?? "/", before: end) }
        var hidden: TransportResponse?
        for (index, path) in knownPath.inOrder(rules.paths) {
            let response = try await send(request, to: path, before: end)
            let isOwn = response.status.kind == .successful || object(in: response).map(isVendorError) ?? false
            if isOwn { knownPath.remember(index) }
            if isOwn || response.status != .notFound { return response }
            hidden = response
        }
        if let hidden, knownPath.hasAnswered { return hidden }
        throw TokenError(.misconfigured, message: "none of the vendor's paths for the \(telemetry.step) exists")
    }

    private func send(
        _ request: Request, to path: String, before end: Duration?
    ) async throws(TokenError) -> TransportResponse {
        let left = end.map { min(timeout, $0 - stopwatch.now) } ?? timeout
        guard left > .zero else { throw TokenError(.timedOut, message: "no time was left for a call to the vendor") }
        let options = TransportOptions(timeout: left, account: vendor.account, priority: priority)
        var path = path
        for (name, value) in request.parameters { path = path.replacing("{\(name)}", with: value) }
        let head = vendor.request(request.method, path, request.fields)
        let response = try await telemetry.call(head) { (head) throws(TokenError) in
            do throws(TransportError) {
                return try await transport.send(head, body: request.body, options: options)
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

    // MARK: What a response means

    /// Returns the JSON object in a response, or the error that a response without one means.
    ///
    /// A 4xx counts as the vendor's own if its body has one of the profile's ``VendorProfile/errorShapes``. Any other
    /// 4xx comes from something in front of the vendor. A 429 means throttling, whatever its body.
    func content(of response: TransportResponse) -> Result<JSONValue, TokenError> {
        let object = object(in: response)
        if response.status.kind == .successful, let object {
            foreignAnswers.end()
            return .success(object)
        }
        let status = response.status.code
        var error = TokenError(
            rules.outcomes[status] ?? .unavailable, message: "the vendor answered with status \(status)",
            retryAfter: response.retryAfter(now: wallClock())
        )
        let issuerError = rules.isIssuer ? object.flatMap(IssuerError.init) : nil
        switch response.status.kind {
        case .successful:
            error.code = .unavailable
            error.message = "the vendor's response is not a JSON object"
        case .clientError where response.status == .tooManyRequests:
            error.code = rules.outcomes[status] ?? .throttled
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

    private func isVendorError(_ object: JSONValue) -> Bool {
        vendor.profile.errorShapes.contains { $0.matches(object) }
    }

    private func object(in response: TransportResponse) -> JSONValue? {
        guard let value = try? JSONValue.parse(response.body), case .object = value else { return nil }
        return value
    }

    private func noteForeignAnswer(_ status: Int) {
        guard foreignAnswers.note(now: stopwatch.now) else { return }
        logger?.warning(
            "a block page, or credentials that are refused without an explanation",
            metadata: [
                "account": "\(telemetry.account)", "step": "\(telemetry.step)", "status": "\(status)",
                "inARow": "\(foreignAnswers.count)",
            ]
        )
    }
}

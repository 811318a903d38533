import HTTPTypes
import Metrics
import Synchronization
import Tracing

/// Records the metrics and spans of a step, and its contribution to ``Health``. Labels and attributes are fixed words,
/// status codes and error codes, never an id, a secret or text from the vendor.
final class StepTelemetry: Sendable {
    let step: String
    let account: String
    private let stopwatch: Stopwatch
    private let metrics: StepMetrics
    private let last = Mutex(Last())

    private struct Last {
        var success: Duration?
        var failure: (code: TokenError.Code, at: Duration)?
        var isFailing = false
    }

    init(step: String, account: String, _ stopwatch: Stopwatch) {
        self.step = step
        self.account = account
        self.stopwatch = stopwatch
        metrics = StepMetrics(step: step, account: account)
        setBreaker(open: false)
    }

    /// Runs one attempt to get a token.
    func fetch(_ body: () async throws(TokenError) -> Token) async throws(TokenError) -> Token {
        let start = stopwatch.now
        let result: Result<Token, TokenError>
        do throws(TokenError) {
            result = .success(
                try await inSpan("token.fetch", .internal) { (_) throws(TokenError) in try await body() })
        } catch {
            result = .failure(error)
        }
        let now = stopwatch.now
        metrics.fetchDuration.record(duration: now - start)
        metrics.fetches.increment(result.outcome)
        note(result, now)
        return try result.get()
    }

    private func note(_ result: Result<Token, TokenError>, _ now: Duration) {
        last.withLock { last in
            switch result {
            case .success: (last.success, last.isFailing) = (now, false)
            // A cancellation says nothing about the vendor.
            case .failure(let error) where error.code == .cancelled: break
            case .failure(let error):
                last.failure = (error.code, now)
                // A refused request shows that the vendor works.
                last.isFailing = error.code != .requestRejected
            }
        }
    }

    /// Sends one request to the vendor, with the trace context in its header fields (W3C Trace Context, if the tracer
    /// uses that).
    func call(
        _ request: HTTPRequest, _ send: (HTTPRequest) async throws(TokenError) -> TransportResponse
    ) async throws(TokenError) -> TransportResponse {
        try await inSpan("vendor.call", .client) { (span) throws(TokenError) in
            var request = request
            InstrumentationSystem.instrument.inject(
                span.context, into: &request.headerFields, using: FieldInjector()
            )
            span.attributes["http.request.method"] = request.method.rawValue
            if let host = request.authority.flatMap({ Authority($0) })?.host {
                span.attributes["server.address"] = host.description
            }
            let start = stopwatch.now
            defer { metrics.callDuration.record(duration: stopwatch.now - start) }
            do throws(TokenError) {
                let response = try await send(request)
                let status = response.status.code
                span.attributes["http.response.status_code"] = status
                if status >= 400 { fail(span, "\(status)") }
                metrics.calls.increment("\(status)")
                return response
            } catch {
                metrics.calls.increment("\(error.code)")
                throw error
            }
        }
    }

    func setBreaker(open isOpen: Bool) { metrics.breaker.set(isOpen ? 1 : 0) }

    /// Records the vendor's time minus the local time.
    func setClockDifference(_ seconds: Double) { metrics.clockDifference.set(seconds) }

    /// Returns the health as far as it is known here.
    /// - Parameter state: The state, if the caller knows better.
    func health(_ state: Health.State? = nil) -> Health {
        let (now, last) = (stopwatch.now, last.withLock { $0 })
        return Health(
            part: step, account: account, state: state ?? (last.isFailing ? .failing : .ok),
            lastSuccess: last.success.map { now - $0 },
            lastFailure: last.failure.map { Health.Failure($0.code, ago: now - $0.at) }
        )
    }

    private func inSpan<Success: Sendable>(
        _ name: String, _ kind: SpanKind, _ body: (any Span) async throws(TokenError) -> Success
    ) async throws(TokenError) -> Success {
        let span = startSpan(name, ofKind: kind)
        defer { span.end() }
        span.attributes["token_broker.step"] = step
        span.attributes["token_broker.account"] = account
        let result: Result<Success, TokenError> = await ServiceContext.withValue(span.context) {
            do throws(TokenError) {
                return .success(try await body(span))
            } catch {
                fail(span, "\(error.code)")
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Records a failure in fixed words, without the error itself, because a tracer may print all of it.
    private func fail(_ span: any Span, _ type: String) {
        span.attributes["error.type"] = type
        span.setStatus(SpanStatus(code: .error))
    }
}

extension Result<Token, TokenError> {
    fileprivate var outcome: String {
        switch self {
        case .success: "ok"
        case .failure(let error): error.code.description
        }
    }
}

/// Writes the values that a tracer propagates into header fields.
private struct FieldInjector: Injector {
    func inject(_ value: String, forKey key: String, into fields: inout HTTPFields) {
        if let name = HTTPField.Name(key) { fields[name] = value }
    }
}

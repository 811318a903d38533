import Metrics

/// The metrics of the requests for checkout tokens.
struct RequestMetrics: Sendable {
    private let requests = LabelledCounter(.requests)
    private let duration = Timer(.requestDuration)
    private let inFlight = Meter(.requestsInFlight)

    func began() { inFlight.increment() }

    /// Notes the end of a preflight, which is not counted, as it is not logged.
    func endedPreflight() { inFlight.decrement() }

    /// - Parameter code: `ok`, or the code of the problem.
    func ended(_ code: String, _ reason: Audit.Reason, after time: Duration) {
        inFlight.decrement()
        duration.record(duration: time)
        requests.increment(code, reason.rawValue)
    }
}

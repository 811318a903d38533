import Metrics

/// The metrics of one step, each created once.
struct StepMetrics: Sendable {
    let fetches: LabelledCounter
    let fetchDuration: Timer
    let calls: LabelledCounter
    let callDuration: Timer
    let breaker: Meter
    let clockDifference: Meter

    init(step: String, account: String) {
        let dimensions = [("step", step), ("account", account)]
        fetches = LabelledCounter("token_broker_token_fetches_total", "outcome", dimensions)
        fetchDuration = Timer(label: "token_broker_token_fetch_duration_seconds", dimensions: dimensions)
        calls = LabelledCounter("token_broker_vendor_calls_total", "result", dimensions)
        callDuration = Timer(label: "token_broker_vendor_call_duration_seconds", dimensions: dimensions)
        breaker = Meter(label: "token_broker_breaker_open", dimensions: dimensions)
        clockDifference = Meter(label: "token_broker_clock_difference_seconds", dimensions: dimensions)
    }
}

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
        fetches = LabelledCounter(.fetches, dimensions)
        fetchDuration = Timer(.fetchDuration, dimensions)
        calls = LabelledCounter(.vendorCalls, dimensions)
        callDuration = Timer(.vendorCallDuration, dimensions)
        breaker = Meter(.breakerOpen, dimensions)
        clockDifference = Meter(.clockDifference, dimensions)
    }
}

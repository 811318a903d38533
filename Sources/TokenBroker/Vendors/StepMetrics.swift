import Metrics
import Synchronization

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

/// A counter with one more label. Its values are status codes and error codes, and therefore few.
final class LabelledCounter: Sendable {
    private let name: String
    private let label: String
    private let dimensions: [(String, String)]
    // The factory in force when the counter is created, so that each test can have its own.
    private let factory = MetricsSystem.factory
    private let counters = Mutex([String: Counter]())

    init(_ name: String, _ label: String, _ dimensions: [(String, String)]) {
        (self.name, self.label, self.dimensions) = (name, label, dimensions)
    }

    func increment(_ value: String) {
        let counter = counters.withLock { counters in
            if let counter = counters[value] { return counter }
            let counter = Counter(label: name, dimensions: dimensions + [(label, value)], factory: factory)
            counters[value] = counter
            return counter
        }
        counter.increment()
    }
}

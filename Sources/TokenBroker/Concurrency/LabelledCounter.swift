import Metrics
import Synchronization

/// A counter with one more label. Its values are status codes and error codes, and therefore few.
package final class LabelledCounter: Sendable {
    private let name: String
    private let label: String
    private let dimensions: [(String, String)]
    // The factory in force when the counter is created, so that each test can have its own.
    private let factory = MetricsSystem.factory
    private let counters = Mutex([String: Counter]())

    package init(_ name: String, _ label: String, _ dimensions: [(String, String)]) {
        (self.name, self.label, self.dimensions) = (name, label, dimensions)
    }

    package func increment(_ value: String) {
        let counter = counters.withLock { counters in
            if let counter = counters[value] { return counter }
            let counter = Counter(label: name, dimensions: dimensions + [(label, value)], factory: factory)
            counters[value] = counter
            return counter
        }
        counter.increment()
    }
}

import Metrics
import Synchronization

/// A counter whose last labels vary. Their values are statuses, codes and reasons, and therefore few.
package final class LabelledCounter: Sendable {
    private let metric: Metric
    private let dimensions: [Dimension]
    /// The names of the labels that vary: those that `dimensions` lacks.
    private let labels: [String]
    // The factory in force when the counter is created, so that each test can have its own.
    private let factory = MetricsSystem.factory
    private let counters = Mutex([[String]: Counter]())

    package init(_ metric: Metric, _ dimensions: [Dimension] = []) {
        self.metric = metric
        self.dimensions = dimensions
        labels = metric.labels.map(\.name).filter { name in !dimensions.contains { $0.0 == name } }
    }

    /// - Parameter values: The values of the labels that vary, in the order of the metric's labels.
    package func increment(_ values: String...) {
        let counter = counters.withLock { counters in
            if let counter = counters[values] { return counter }
            let counter = Counter(
                label: metric.name, dimensions: dimensions + zip(labels, values), factory: factory)
            counters[values] = counter
            return counter
        }
        counter.increment()
    }
}

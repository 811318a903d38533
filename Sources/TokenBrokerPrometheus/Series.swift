import CoreMetrics
import Synchronization

/// The samples of one family with the same labels. It is also the handler that swift-metrics updates.
enum Series: Sendable {
    case counter(CounterSeries)
    case gauge(GaugeSeries)
    case histogram(HistogramSeries)

    /// - Parameter bounds: The upper bounds of a histogram's buckets: finite, ascending and distinct.
    init(_ kind: MetricDescription.Kind, bounds: [Double]) {
        self =
            switch kind {
            case .counter: .counter(CounterSeries())
            case .gauge, .info: .gauge(GaugeSeries())
            case .histogram: .histogram(HistogramSeries(bounds: bounds))
            }
    }
}

/// A counter of integers and fractions. It never decreases: amounts that are not positive and finite are ignored.
final class CounterSeries: CounterHandler, FloatingPointCounterHandler, Sendable {
    private let integers = Atomic<Int64>(0)
    /// The bit pattern of a `Double`.
    private let fractions = Atomic<UInt64>(0)

    /// The value as the formats write it.
    var text: String {
        let fractions = Double(bitPattern: fractions.load(ordering: .relaxed))
        let integers = integers.load(ordering: .relaxed)
        return fractions == 0 ? String(integers) : numberText(Double(integers) + fractions)
    }

    func increment(by amount: Int64) {
        guard amount > 0 else { return }
        var old = integers.load(ordering: .relaxed)
        while true {
            let (sum, isOverflow) = old.addingReportingOverflow(amount)
            let result = integers.weakCompareExchange(
                expected: old, desired: isOverflow ? .max : sum, ordering: .relaxed)
            if result.exchanged { return }
            old = result.original
        }
    }

    func increment(by amount: Double) {
        if amount > 0, amount.isFinite { fractions.add(amount) }
    }

    func reset() {
        integers.store(0, ordering: .relaxed)
        fractions.store(0, ordering: .relaxed)
    }
}

final class GaugeSeries: MeterHandler, RecorderHandler, Sendable {
    /// The bit pattern of a `Double`.
    private let bits = Atomic<UInt64>(0)

    var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }

    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }
    func increment(by amount: Double) { bits.add(amount) }
    func decrement(by amount: Double) { bits.add(-amount) }
    func record(_ value: Int64) { set(value) }
    func record(_ value: Double) { set(value) }
}

final class HistogramSeries: RecorderHandler, TimerHandler, Sendable {
    struct Values: Sendable {
        /// The number of observations in each bucket, not cumulated. The last bucket is the one without a bound.
        var counts: [UInt64]
        var sum = 0.0
    }

    private let bounds: [Double]
    // One lock rather than many atomics, so that what is shown at one time belongs together.
    private let state: Mutex<Values>

    /// - Parameter bounds: The upper bounds of the buckets: finite, ascending and distinct.
    init(bounds: [Double]) {
        self.bounds = bounds
        state = Mutex(Values(counts: Array(repeating: 0, count: bounds.count + 1)))
    }

    /// A copy of what was recorded. It shares no memory, which the next update would have to copy.
    var values: Values { state.withLock { values in Values(counts: values.counts.map { $0 }, sum: values.sum) } }

    func record(_ value: Int64) { record(Double(value)) }

    /// Adds an observation. One that is not finite is ignored, because it would make the sum useless for good.
    func record(_ value: Double) {
        guard value.isFinite else { return }
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        state.withLock { values in
            values.counts[bucket] += 1
            values.sum += value
        }
    }

    /// Adds a duration, as seconds. A clock that was set back may yield a negative one, which counts as zero.
    func recordNanoseconds(_ duration: Int64) { record(Double(max(0, duration)) / 1e9) }
}

extension Atomic<UInt64> {
    /// Adds to a number that is stored as the bit pattern of a `Double`.
    fileprivate borrowing func add(_ amount: Double) {
        var old = load(ordering: .relaxed)
        while true {
            let sum = Double(bitPattern: old) + amount
            let result = weakCompareExchange(expected: old, desired: sum.bitPattern, ordering: .relaxed)
            if result.exchanged { return }
            old = result.original
        }
    }
}

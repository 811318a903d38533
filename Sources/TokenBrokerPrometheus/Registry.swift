import Synchronization

/// The series with the same name, and what a scraper is told about them.
struct Family: Sendable {
    /// The default buckets of durations, in seconds.
    private static let secondsBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
    /// The default buckets of everything else.
    private static let otherBounds = [0.001, 0.01, 0.1, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000]

    let name: FamilyName
    let help: String
    let bounds: [Double]
    /// By their labels, as ``labelText(_:order:)`` writes them.
    var series: [[UInt8]: Series] = [:]

    /// - Parameter isDuration: Whether a histogram is of seconds, which its name may tell as well.
    init(_ name: FamilyName, _ description: MetricDescription?, isDuration: Bool) {
        self.name = name
        let help = description?.help ?? ""
        self.help = help.isEmpty ? "The application's metric \(name.full)." : help
        let defaults =
            isDuration || name.unit == "seconds" ? Self.secondsBounds : Self.otherBounds
        bounds = Set((description?.buckets ?? defaults).filter(\.isFinite)).sorted()
    }
}

/// All families. Neither families nor series are ever removed.
final class Registry: Sendable {
    private struct State {
        /// By their full names.
        var families: [String: Family] = [:]
        /// The names that the families use.
        var claims: Set<String> = []
    }

    private let descriptions: [String: MetricDescription]
    private let maximumSeries: Int
    private let dropped = FamilyName(MetricDescription.droppedSeries.name, kind: .counter)
    private let state = Mutex(State())

    init(_ descriptions: [MetricDescription], maximumSeries: Int) {
        let named = (MetricDescription.own + descriptions).map { (Self.key($0.name, $0.kind), $0) }
        self.descriptions = Dictionary(named) { $1 }
        self.maximumSeries = maximumSeries
        // Before anything else can take its name.
        state.withLock { _ = claim(dropped, description(of: dropped.full, .counter), isDuration: false, &$0) }
    }

    /// The families that have series, in no particular order.
    var families: [Family] { state.withLock { $0.families.values.filter { !$0.series.isEmpty } } }

    /// Returns the series of a metric, the same one for the same label and dimensions.
    ///
    /// - Parameters:
    ///   - kind: Any kind but `info`: a gauge is one if its description says so.
    ///   - isDuration: Whether the default buckets are those of durations in seconds.
    /// - Returns: `nil` if the family has as many series as it may have, or its name is in use for another kind. The
    ///   dropped series has been counted then.
    func series(
        _ label: String, _ dimensions: [(String, String)], _ kind: MetricDescription.Kind, isDuration: Bool = false
    ) -> Series? {
        let description = description(of: label, kind)
        let name = FamilyName(label, kind: description?.kind ?? kind)
        let labels = labelText(dimensions, order: description?.labels.map(labelName) ?? [])
        return state.withLock { state in
            if claim(name, description, isDuration: isDuration, &state), let series = series(name, labels, &state) {
                return series
            }
            let metric = labelText([("metric", name.full)], order: [])
            if case .counter(let counter) = series(dropped, metric, &state) { counter.increment(by: Int64(1)) }
            return nil
        }
    }

    /// Creates a family, unless it exists. Returns whether it is of the right kind.
    private func claim(
        _ name: FamilyName, _ description: MetricDescription?, isDuration: Bool, _ state: inout State
    ) -> Bool {
        if let family = state.families[name.full] { return family.name.kind == name.kind }
        guard state.claims.isDisjoint(with: name.claims) else { return false }
        state.claims.formUnion(name.claims)
        state.families[name.full] = Family(name, description, isDuration: isDuration)
        return true
    }

    /// Returns a series, which is created if it is new and its family is not full.
    private func series(_ name: FamilyName, _ labels: [UInt8], _ state: inout State) -> Series? {
        // No copy of the family is kept, because the insertion would then copy all of its series.
        if let series = state.families[name.full]?.series[labels] { return series }
        let limits = state.families[name.full].map { (count: $0.series.count, bounds: $0.bounds) }
        guard let (count, bounds) = limits, count < maximumSeries else { return nil }
        let series = Series(name.kind, bounds: bounds)
        state.families[name.full]?.series[labels] = series
        return series
    }

    private func description(of label: String, _ kind: MetricDescription.Kind) -> MetricDescription? {
        guard let description = descriptions[Self.key(label, kind)] else { return nil }
        let isInfo = kind == .gauge && description.kind == .info
        return description.kind == kind || isInfo ? description : nil
    }

    /// The name under which a description is found: a counter's with or without `_total`.
    private static func key(_ label: String, _ kind: MetricDescription.Kind) -> String {
        kind == .counter ? FamilyName(label, kind: kind).full : metricName(label)
    }
}

import TokenBroker

/// What a scraper is told about a metric: its help text, its type, and the order of its labels.
public struct MetricDescription: Sendable, Hashable {
    /// A type of metric.
    public enum Kind: String, Sendable, Hashable, CaseIterable {
        /// A number that only grows: a `Counter` or a `FloatingPointCounter`.
        case counter
        /// A number that goes up and down: a `Meter`, or a `Gauge` or other `Recorder` that does not aggregate.
        case gauge
        /// A distribution: a `Timer`, or a `Recorder` that aggregates.
        case histogram
        /// A gauge whose labels carry the information. Its value is shown as 1, whatever it is set to.
        case info
    }

    /// The label of the metric in swift-metrics. A counter may be given with or without `_total`.
    public var name: String
    /// The type of the metric.
    public var kind: Kind
    /// One sentence about the metric, of any characters.
    public var help: String
    /// The names of the labels, in the order in which to show them. Labels that are not listed follow, sorted by name.
    public var labels: [String]
    /// The upper bounds of a histogram's buckets, in the unit of the metric: seconds for a timer. `+Inf` is implied.
    /// `nil` chooses the default.
    public var buckets: [Double]?

    /// Creates a description.
    ///
    /// - Parameters:
    ///   - name: The label of the metric in swift-metrics. A counter may be given with or without `_total`.
    ///   - kind: The type of the metric. A description is not used for a metric of another type.
    ///   - help: One sentence about the metric, of any characters. If it is empty, a neutral one takes its place.
    ///   - labels: The names of the labels, in the order in which to show them.
    ///   - buckets: The upper bounds of a histogram's buckets, in any order, or `nil` for the default: 1 ms to 30 s for
    ///     timers and names that end in `_seconds`, or else the powers of ten from 0.001 to 1,000,000. Bounds that are
    ///     not finite are ignored.
    public init(name: String, kind: Kind, help: String, labels: [String] = [], buckets: [Double]? = nil) {
        self.name = name
        self.kind = kind
        self.help = help
        self.labels = labels
        self.buckets = buckets
    }
}

extension MetricDescription {
    /// The metrics of TokenBroker.
    public static let tokenBroker = Metric.all.map(Self.init)

    /// The metrics that this module creates itself.
    static let own = [droppedSeries, processStart]
    static let droppedSeries = Self(.seriesDropped)
    static let processStart = Self(.processStart)

    private init(_ metric: Metric) {
        let kind: Kind =
            switch metric.kind {
            case .counter: .counter
            case .gauge: .gauge
            case .timer: .histogram
            case .info: .info
            }
        self.init(name: metric.name, kind: kind, help: metric.help, labels: metric.labels.map(\.name))
    }
}

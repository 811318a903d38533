public import CoreMetrics

/// A swift-metrics backend whose metrics Prometheus scrapes.
///
/// ```swift
/// let metrics = PrometheusMetricsFactory()
/// MetricsSystem.bootstrap(metrics)
/// let format = ExpositionFormat(accept: request.headers["Accept"])
/// // Answer with metrics.text(format) and the content type format.contentType.
/// ```
///
/// The label of a metric becomes its name, and its dimensions become its labels. Characters that Prometheus does not
/// allow become underscores, a counter's name gets `_total` unless it has it, and dimensions named `le` and `quantile`
/// get the prefix `exported_`. Timers are in seconds.
///
/// What cannot be recorded is dropped, and counted in `token_broker_metrics_series_dropped_total`, whose label `metric`
/// is the name: new series of a metric that has `maximumSeries` of them, and a metric whose name another kind of metric
/// uses, such as the timer `requests` and the counter `requests_count`.
public final class PrometheusMetricsFactory: MetricsFactory, Sendable {
    private let registry: Registry
    private let processStart: Double

    /// Creates a backend without any metrics.
    ///
    /// - Parameters:
    ///   - descriptions: What to tell scrapers about metrics. The last description of a name counts. Add those of your
    ///     own metrics to ``MetricDescription/tokenBroker``.
    ///   - maximumSeries: The maximum number of series of one metric, that is, of combinations of label values.
    public init(descriptions: [MetricDescription] = MetricDescription.tokenBroker, maximumSeries: Int = 2_000) {
        registry = Registry(descriptions, maximumSeries: maximumSeries)
        processStart = ProcessStart.seconds
    }

    /// Returns the current values of all metrics that were created.
    ///
    /// The order is always the same: by name, then by labels. The buckets, the sum and the count of a histogram belong
    /// to the same point in time.
    ///
    /// - Parameter format: The format, whose content type the response has to have.
    /// - Returns: Text in UTF-8.
    public func text(_ format: ExpositionFormat) -> [UInt8] { exposition(of: registry.families, format) }

    /// Creates the gauge `process_start_time_seconds`: when the process started, in seconds since the Unix epoch.
    ///
    /// If the system does not tell, it is the time at which the factory was created.
    public func recordProcessStart() {
        makeMeter(label: MetricDescription.processStart.name, dimensions: []).set(processStart)
    }

    /// Creates a counter, or returns the one that exists. Amounts below zero are ignored.
    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        guard case .counter(let series) = registry.series(label, dimensions, .counter) else {
            return NOOPMetricsHandler.instance
        }
        return series
    }

    /// Creates a counter of fractions, or returns the one that exists. Amounts that are not positive and finite are
    /// ignored.
    public func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        guard case .counter(let series) = registry.series(label, dimensions, .counter) else {
            return NOOPMetricsHandler.instance
        }
        return series
    }

    /// Creates a gauge, or returns the one that exists.
    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        guard case .gauge(let series) = registry.series(label, dimensions, .gauge) else {
            return NOOPMetricsHandler.instance
        }
        return series
    }

    /// Creates a recorder, or returns the one that exists: a histogram if it aggregates, or else a gauge. A histogram
    /// ignores values that are not finite.
    public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        switch registry.series(label, dimensions, aggregate ? .histogram : .gauge) {
        case .histogram(let series): series
        case .gauge(let series): series
        case .counter, nil: NOOPMetricsHandler.instance
        }
    }

    /// Creates a histogram of seconds, or returns the one that exists. Durations below zero count as zero.
    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        guard case .histogram(let series) = registry.series(label, dimensions, .histogram, isDuration: true) else {
            return NOOPMetricsHandler.instance
        }
        return series
    }

    // A series stays after it is destroyed: others may hold the same handler, and a counter that starts again at zero
    // would look like a restart.

    /// Does nothing: the counter keeps its value.
    public func destroyCounter(_ handler: any CounterHandler) {}
    /// Does nothing: the counter keeps its value.
    public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    /// Does nothing: the gauge keeps its value.
    public func destroyMeter(_ handler: any MeterHandler) {}
    /// Does nothing: the recorder keeps its values.
    public func destroyRecorder(_ handler: any RecorderHandler) {}
    /// Does nothing: the timer keeps its values.
    public func destroyTimer(_ handler: any TimerHandler) {}
}

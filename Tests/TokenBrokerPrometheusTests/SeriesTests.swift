import CoreMetrics
import Testing
@testable import TokenBrokerPrometheus

struct SeriesTests {
    @Test func `the same label and dimensions give the same handler`() {
        let factory = PrometheusMetricsFactory()
        let dimensions = [("a", "1")]
        #expect(
            factory.makeCounter(label: "c", dimensions: dimensions)
                === factory.makeCounter(label: "c", dimensions: dimensions))
        #expect(
            factory.makeTimer(label: "t", dimensions: dimensions)
                === factory.makeTimer(label: "t", dimensions: dimensions))
        #expect(
            factory.makeMeter(label: "m", dimensions: dimensions)
                !== factory.makeMeter(label: "m", dimensions: []))
        #expect(
            factory.makeMeter(label: "m", dimensions: [])
                === factory.makeRecorder(label: "m", dimensions: [], aggregate: false))
    }

    @Test func `a counter never decreases, overflows or becomes useless`() {
        let factory = PrometheusMetricsFactory()
        let whole = Counter(label: "whole", factory: factory)
        whole.increment(by: 5)
        whole.increment(by: -3)
        whole.increment(by: 0)
        let full = Counter(label: "full", factory: factory)
        full.increment(by: Int64.max)
        full.increment(by: 2)
        let mixed = factory.makeFloatingPointCounter(label: "mixed", dimensions: [])
        for amount in [0.5, -1, .nan, .infinity, 0.25] { mixed.increment(by: amount) }
        Counter(label: "mixed", factory: factory).increment(by: 2)
        let reset = Counter(label: "reset", factory: factory)
        reset.increment()
        reset.reset()
        let text = scrape(factory)
        #expect(text.contains("\nwhole_total 5\n"))
        #expect(text.contains("\nfull_total 9223372036854775807\n"))
        #expect(text.contains("\nmixed_total 2.75\n"))
        #expect(text.contains("\nreset_total 0\n"))
    }

    @Test func `a gauge shows what it was set to last`() {
        let factory = PrometheusMetricsFactory()
        let meter = Meter(label: "meter", factory: factory)
        meter.set(10)
        meter.increment(by: 2.5)
        meter.decrement(by: 20)
        Gauge(label: "gauge", factory: factory).record(-3)
        Meter(label: "nan", factory: factory).set(Double.nan)
        Meter(label: "infinite", factory: factory).set(-Double.infinity)
        let text = scrape(factory)
        #expect(text.contains("# TYPE meter gauge\nmeter -7.5\n"))
        #expect(text.contains("# TYPE gauge gauge\ngauge -3\n"))
        #expect(text.contains("\nnan NaN\n"))
        #expect(text.contains("\ninfinite -Inf\n"))
    }

    @Test func `a timer is a histogram of seconds`() {
        let factory = PrometheusMetricsFactory()
        let timer = Timer(label: "duration", factory: factory)
        timer.recordNanoseconds(1_000_000)
        timer.recordNanoseconds(1_000_001)
        timer.recordMilliseconds(250)
        timer.recordSeconds(31)
        timer.recordNanoseconds(-1)
        let counts = [
            ("0.001", 2), ("0.0025", 3), ("0.005", 3), ("0.01", 3), ("0.025", 3), ("0.05", 3), ("0.1", 3), ("0.25", 4),
            ("0.5", 4), ("1.0", 4), ("2.5", 4), ("5.0", 4), ("10.0", 4), ("30.0", 4), ("+Inf", 5),
        ]
        let buckets = counts.map { "duration_bucket{le=\"\($0)\"} \($1)\n" }.joined()
        #expect(
            scrape(factory).hasSuffix(
                "# TYPE duration histogram\n\(buckets)duration_sum 31.252000001\nduration_count 5\n"))
    }

    @Test func `a recorder that aggregates is a histogram in its own unit`() {
        let factory = PrometheusMetricsFactory()
        let recorder = Recorder(label: "size", factory: factory)
        recorder.record(10)
        recorder.record(10.5)
        recorder.record(2_000_000)
        for value in [Double.nan, .infinity, -.infinity] { recorder.record(value) }
        let text = scrape(factory)
        #expect(text.contains("size_bucket{le=\"10.0\"} 1\nsize_bucket{le=\"100.0\"} 2\n"))
        #expect(text.contains("size_bucket{le=\"1e+06\"} 2\nsize_bucket{le=\"+Inf\"} 3\n"))
        #expect(text.hasSuffix("size_sum 2000020.5\nsize_count 3\n"))
    }

    @Test func `a metric that is destroyed and created again keeps its value`() {
        let factory = PrometheusMetricsFactory()
        let first = Counter(label: "c", factory: factory)
        first.increment()
        first.destroy()
        Counter(label: "c", factory: factory).increment()
        #expect(scrape(factory).contains("\nc_total 2\n"))
    }

    @Test func `a metric has at most as many series as the limit says`() {
        let factory = PrometheusMetricsFactory(maximumSeries: 3)
        for index in 0..<10 {
            Counter(label: "requests", dimensions: [("caller", "\(index)")], factory: factory).increment()
        }
        Counter(label: "requests", dimensions: [("caller", "1")], factory: factory).increment()
        Meter(label: "other", factory: factory).set(1)
        #expect(
            scrape(factory) == """
                # HELP other The application's metric other.
                # TYPE other gauge
                other 1
                # HELP requests_total The application's metric requests_total.
                # TYPE requests_total counter
                requests_total{caller="0"} 1
                requests_total{caller="1"} 2
                requests_total{caller="2"} 1
                # HELP token_broker_metrics_series_dropped_total \(MetricDescription.droppedSeries.help)
                # TYPE token_broker_metrics_series_dropped_total counter
                token_broker_metrics_series_dropped_total{metric="requests_total"} 7

                """)
    }

    @Test func `the counter of dropped series is itself bounded`() {
        let factory = PrometheusMetricsFactory(maximumSeries: 2)
        for index in 0..<5 {
            for value in ["1", "2", "3"] {
                _ = Meter(label: "m\(index)", dimensions: [("v", value)], factory: factory)
            }
        }
        #expect(scrape(factory).components("token_broker_metrics_series_dropped_total{") == 2)
        let none = PrometheusMetricsFactory(maximumSeries: 0)
        Meter(label: "m", factory: none).set(1)
        #expect(scrape(none) == "")
    }

    @Test func `a name that another kind uses is dropped and counted`() {
        let factory = PrometheusMetricsFactory()
        Timer(label: "t", factory: factory).recordSeconds(1)
        Counter(label: "c", factory: factory).increment(by: 4)
        let before = scrape(factory)
        // Each would repeat the name of a family or a sample, in one of the formats.
        Meter(label: "t", factory: factory).set(1)
        Meter(label: "t_count", factory: factory).set(1)
        Counter(label: "t", factory: factory).increment()
        Meter(label: "c", factory: factory).set(1)
        Timer(label: "c_total", factory: factory).recordSeconds(1)
        Gauge(label: "token_broker_metrics_series_dropped_total", factory: factory).record(1)
        let text = scrape(factory)
        #expect(text.hasPrefix(before))
        let dropped = "token_broker_metrics_series_dropped_total"
        let names = ["c", "c_total", "t", "t_count", "t_total", dropped]
        #expect(text.hasSuffix("counter\n" + names.map { "\(dropped){metric=\"\($0)\"} 1\n" }.joined()))
    }
}

extension String {
    /// Returns how often the text contains another one.
    fileprivate func components(_ text: String) -> Int { ranges(of: text).count }
}

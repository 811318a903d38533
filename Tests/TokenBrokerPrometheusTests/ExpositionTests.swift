import CoreMetrics
import Testing
@testable import TokenBrokerPrometheus

/// Returns what a scraper reads.
func scrape(_ factory: PrometheusMetricsFactory, _ format: ExpositionFormat = .text) -> String {
    String(decoding: factory.text(format), as: UTF8.self)
}

struct ExpositionTests {
    /// Returns a factory with a metric of each kind.
    private func example() -> PrometheusMetricsFactory {
        let factory = PrometheusMetricsFactory(descriptions: [
            MetricDescription(
                name: "token_broker_vendor_calls_total", kind: .counter, help: "Calls to a vendor\\'s \"API\".\nAll.",
                labels: ["vendor", "outcome"]),
            MetricDescription(
                name: "wait_seconds", kind: .histogram, help: "The wait.", buckets: [1, 0.5, .infinity, 1, 1e6, .nan]),
            MetricDescription(
                name: "token_broker_build_info", kind: .info, help: "The build.", labels: ["version", "commit"]),
        ])
        let calls = { vendor, outcome in
            Counter(
                label: "token_broker_vendor_calls_total", dimensions: [("outcome", outcome), ("vendor", vendor)],
                factory: factory)
        }
        calls("b", "failure").increment()
        calls("a", "success").increment(by: 3)
        let timer = Timer(label: "wait_seconds", dimensions: [("queue", "q")], factory: factory)
        timer.recordNanoseconds(500_000_000)
        timer.recordNanoseconds(500_000_001)
        timer.recordSeconds(2)
        Meter(label: "cache_bytes", factory: factory).set(1.5)
        Gauge(label: "token_broker_build_info", dimensions: [("commit", "c"), ("version", "1")], factory: factory)
            .record(7)
        return factory
    }

    @Test func `the text format shows each kind of metric as its specification says`() {
        #expect(
            scrape(example()) == #"""
                # HELP cache_bytes The application's metric cache_bytes.
                # TYPE cache_bytes gauge
                cache_bytes 1.5
                # HELP token_broker_build_info The build.
                # TYPE token_broker_build_info gauge
                token_broker_build_info{version="1",commit="c"} 1
                # HELP token_broker_vendor_calls_total Calls to a vendor\\'s "API".\nAll.
                # TYPE token_broker_vendor_calls_total counter
                token_broker_vendor_calls_total{vendor="a",outcome="success"} 3
                token_broker_vendor_calls_total{vendor="b",outcome="failure"} 1
                # HELP wait_seconds The wait.
                # TYPE wait_seconds histogram
                wait_seconds_bucket{queue="q",le="0.5"} 1
                wait_seconds_bucket{queue="q",le="1.0"} 2
                wait_seconds_bucket{queue="q",le="1e+06"} 3
                wait_seconds_bucket{queue="q",le="+Inf"} 3
                wait_seconds_sum{queue="q"} 3.000000001
                wait_seconds_count{queue="q"} 3

                """#)
    }

    @Test func `OpenMetrics shows each kind of metric as its specification says`() {
        #expect(
            scrape(example(), .openMetrics) == #"""
                # TYPE cache_bytes gauge
                # UNIT cache_bytes bytes
                # HELP cache_bytes The application's metric cache_bytes.
                cache_bytes 1.5
                # TYPE token_broker_build info
                # HELP token_broker_build The build.
                token_broker_build_info{version="1",commit="c"} 1
                # TYPE token_broker_vendor_calls counter
                # HELP token_broker_vendor_calls Calls to a vendor\\'s \"API\".\nAll.
                token_broker_vendor_calls_total{vendor="a",outcome="success"} 3
                token_broker_vendor_calls_total{vendor="b",outcome="failure"} 1
                # TYPE wait_seconds histogram
                # UNIT wait_seconds seconds
                # HELP wait_seconds The wait.
                wait_seconds_bucket{queue="q",le="0.5"} 1
                wait_seconds_bucket{queue="q",le="1.0"} 2
                wait_seconds_bucket{queue="q",le="1e+06"} 3
                wait_seconds_bucket{queue="q",le="+Inf"} 3
                wait_seconds_sum{queue="q"} 3.000000001
                wait_seconds_count{queue="q"} 3
                # EOF

                """#)
    }

    @Test func `a factory without metrics shows an empty document`() {
        let factory = PrometheusMetricsFactory(descriptions: [
            MetricDescription(name: "requests_total", kind: .counter, help: "Never created.")
        ])
        #expect(scrape(factory) == "")
        #expect(scrape(factory, .openMetrics) == "# EOF\n")
    }

    @Test func `a metric is shown once it is created, before anything is recorded`() {
        let factory = PrometheusMetricsFactory()
        _ = Counter(label: "a", factory: factory)
        _ = Meter(label: "b", factory: factory)
        _ = Timer(label: "c", factory: factory)
        let text = scrape(factory)
        #expect(text.contains("\na_total 0\n"))
        #expect(text.contains("\nb 0\n"))
        #expect(text.contains("\nc_bucket{le=\"+Inf\"} 0\nc_sum 0\nc_count 0\n"))
    }

    @Test func `the order does not depend on the order of creation`() {
        let names = ["b_total", "a", "b_a", "c"]
        let values = ["2", "10", "1", "é", "a\"b"]
        func text(_ format: ExpositionFormat, isReversed: Bool) -> String {
            let factory = PrometheusMetricsFactory()
            for name in isReversed ? names.reversed() : names {
                for value in isReversed ? values.reversed() : values {
                    Counter(label: name, dimensions: [("v", value)], factory: factory).increment()
                }
            }
            return scrape(factory, format)
        }
        for format in ExpositionFormat.allCases {
            #expect(text(format, isReversed: false) == text(format, isReversed: true))
        }
        let families = { (text: String) in
            text.split(separator: "\n").filter { $0.hasPrefix("# TYPE") }.map { String($0.split(separator: " ")[2]) }
        }
        #expect(families(text(.text, isReversed: true)) == ["a_total", "b_a_total", "b_total", "c_total"])
        #expect(families(text(.openMetrics, isReversed: true)) == ["a", "b", "b_a", "c"])
    }

    @Test func `a histogram with negative bounds has no sum in OpenMetrics`() {
        let factory = PrometheusMetricsFactory(descriptions: [
            MetricDescription(name: "difference", kind: .histogram, help: "It.", buckets: [-1, 1])
        ])
        Recorder(label: "difference", factory: factory).record(-5)
        #expect(scrape(factory).hasSuffix("difference_sum -5\ndifference_count 1\n"))
        let lines = scrape(factory, .openMetrics).split(separator: "\n")
        #expect(
            lines.suffix(4) == [
                "difference_bucket{le=\"-1.0\"} 1", "difference_bucket{le=\"1.0\"} 1",
                "difference_bucket{le=\"+Inf\"} 1", "# EOF",
            ])
    }

    @Test func `a description is used for its own kind only`() {
        let factory = PrometheusMetricsFactory(descriptions: [
            MetricDescription(name: "requests", kind: .counter, help: "Of a counter without a suffix."),
            MetricDescription(name: "depth", kind: .counter, help: "Of another kind."),
            MetricDescription(name: "silent", kind: .gauge, help: ""),
            MetricDescription(name: "twice", kind: .gauge, help: "First."),
            MetricDescription(name: "twice", kind: .gauge, help: "Last."),
        ])
        _ = Counter(label: "requests_total", factory: factory)
        for label in ["depth", "silent", "twice"] { _ = Meter(label: label, factory: factory) }
        let text = scrape(factory)
        #expect(text.contains("# HELP requests_total Of a counter without a suffix.\n"))
        #expect(text.contains("# HELP depth The application's metric depth.\n# TYPE depth gauge\n"))
        #expect(text.contains("# HELP silent The application's metric silent.\n"))
        #expect(text.contains("# HELP twice Last.\n"))
    }
}

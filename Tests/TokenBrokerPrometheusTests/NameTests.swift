import CoreMetrics
import Testing
@testable import TokenBrokerPrometheus

struct NameTests {
    @Test(arguments: [
        ("http.server-requests", "http_server_requests"), ("a:b_C9", "a:b_C9"), ("9lives", "_9lives"), ("", "_"),
        ("é", "_"), ("e\u{301}", "e_"), ("a\n# EOF\n", "a___EOF_"), ("a{b=\"c\"} 1", "a_b__c___1"), ("\0", "_"),
        ("١", "_"), ("__a", "__a"),
    ])
    func `a metric's name is made valid`(label: String, name: String) {
        #expect(metricName(label) == name)
        #expect(metricName(name) == name)
    }

    @Test(arguments: [
        ("outcome", "outcome"), ("a:b", "a_b"), ("1", "_1"), ("", "_"), ("__name__", "_name__"), ("___", "_"),
        ("éé", "_"), ("le", "exported_le"), ("quantile", "exported_quantile"), ("a\"b\n", "a_b_"),
    ])
    func `a label's name is made valid`(name: String, expected: String) {
        #expect(labelName(name) == expected)
        #expect(labelName(expected) == expected)
    }

    @Test(arguments: [
        ("requests", "requests", "requests_total"), ("requests_total", "requests", "requests_total"),
        ("_total", "_total", "_total_total"), ("total", "total", "total_total"), ("", "_", "__total"),
        ("requests.total", "requests", "requests_total"),
    ])
    func `a counter has the suffix _total once`(label: String, base: String, full: String) {
        let name = FamilyName(label, kind: .counter)
        #expect(name.base == base)
        #expect(name.full == full)
    }

    @Test func `a label's value cannot break out of its quotes`() {
        let factory = PrometheusMetricsFactory()
        let values = ["\"} 1\n# EOF\n", "\\", "\\n", "\r\u{0}\u{7F}\u{2028}", "é", "e\u{301}", "😀", "a,b=\"c\""]
        for value in values { Meter(label: "m", dimensions: [("v", value)], factory: factory).set(1) }
        let expected = [
            #"\"} 1\n# EOF\n"#, #"\\"#, #"\\n"#, "\r\u{0}\u{7F}\u{2028}", "é", "e\u{301}", "😀", #"a,b=\"c\""#,
        ]
        for format in ExpositionFormat.allCases {
            let lines = factory.text(format).split(separator: UInt8(ascii: "\n")).filter { $0.first != 0x23 }
            #expect(Set(lines.map(Array.init)) == Set(expected.map { Array("m{v=\"\($0)\"} 1".utf8) }))
        }
    }

    @Test func `labels that are the same to Prometheus are the same series`() {
        let factory = PrometheusMetricsFactory()
        let dimensions = [
            [("a", "1"), ("b", "2")], [("b", "2"), ("a", "1")], [("a", "0"), ("b", "2"), ("a", "1")],
            [("a", "1"), ("b", "2"), ("c", "")], [("a", "1"), ("c", "3"), ("b", "2"), ("c", "")],
        ]
        for dimensions in dimensions { Counter(label: "c", dimensions: dimensions, factory: factory).increment() }
        Counter(label: "c_total", dimensions: [("b", "2"), ("a", "1")], factory: factory).increment()
        #expect(scrape(factory).hasSuffix("# TYPE c_total counter\nc_total{a=\"1\",b=\"2\"} 6\n"))
    }

    @Test func `names that become the same keep the last value`() {
        let factory = PrometheusMetricsFactory()
        Meter(label: "m", dimensions: [("a.b", "1"), ("a-b", "2")], factory: factory).set(1)
        #expect(scrape(factory).contains("\nm{a_b=\"2\"} 1\n"))
    }

    @Test func `a dimension named le does not break a histogram`() {
        let factory = PrometheusMetricsFactory(descriptions: [
            MetricDescription(name: "h", kind: .histogram, help: "It.", buckets: [1])
        ])
        Recorder(label: "h", dimensions: [("le", "x"), ("quantile", "y")], factory: factory).record(0.5)
        #expect(
            scrape(factory).hasSuffix(
                """
                h_bucket{exported_le="x",exported_quantile="y",le="1.0"} 1
                h_bucket{exported_le="x",exported_quantile="y",le="+Inf"} 1
                h_sum{exported_le="x",exported_quantile="y"} 0.5
                h_count{exported_le="x",exported_quantile="y"} 1

                """))
    }
}

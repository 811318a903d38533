import CoreMetrics
import Testing
@testable import TokenBrokerPrometheus

struct ConcurrencyTests {
    private static let tasks = 8
    private static let rounds = 2_000

    @Test func `no update is lost, and every scrape is consistent while updates run`() async {
        let factory = PrometheusMetricsFactory()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<Self.tasks {
                group.addTask {
                    for round in 0..<Self.rounds {
                        let dimensions = [("shard", "\(round % 5)")]
                        Counter(label: "c", dimensions: dimensions, factory: factory).increment()
                        factory.makeFloatingPointCounter(label: "f", dimensions: []).increment(by: 0.5)
                        Meter(label: "m", factory: factory).increment(by: 1)
                        Timer(label: "t", factory: factory).recordSeconds(round % 3)
                        Recorder(label: "r", factory: factory).record(2)
                    }
                }
            }
            group.addTask {
                for _ in 0..<100 {
                    for format in ExpositionFormat.allCases { Self.checkHistograms(scrape(factory, format)) }
                }
            }
        }
        let count = Self.tasks * Self.rounds
        let text = scrape(factory)
        for shard in 0..<5 { #expect(text.contains("\nc_total{shard=\"\(shard)\"} \(count / 5)\n")) }
        #expect(text.contains("\nf_total \(count / 2)\n"))
        #expect(text.contains("\nm \(count)\n"))
        #expect(text.contains("\nt_count \(count)\n"))
        #expect(text.contains("\nr_sum \(count * 2)\n"))
        Self.checkHistograms(text)
    }

    private static func checkHistograms(_ text: String) {
        var values: [Substring: Int] = [:]
        var last = 0
        for line in text.split(separator: "\n") where line.hasPrefix("r_") || line.hasPrefix("t_") {
            let parts = line.split(separator: " ")
            guard parts.count == 2, let value = Int(parts[1]) else {
                Issue.record("\(line)")
                continue
            }
            values[parts[0]] = value
            guard parts[0].contains("_bucket") else { continue }
            last = parts[0].hasSuffix("{le=\"0.001\"}") ? 0 : last
            #expect(value >= last)
            last = value
        }
        for name in ["r", "t"] { #expect(values["\(name)_bucket{le=\"+Inf\"}"] == values["\(name)_count"]) }
        // Each observation is 2.
        #expect(values["r_sum"] == values["r_count"].map { $0 * 2 })
    }
}

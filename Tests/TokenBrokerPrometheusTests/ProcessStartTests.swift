import Testing
@testable import TokenBrokerPrometheus

struct ProcessStartTests {
    private static let fields = "S 1 1 1 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 4 0 "
    private static let system = "cpu  1 2 3\nintr 5 6\nctxt 7\nbtime 1764200000\nprocesses 9\n"

    @Test(arguments: ["broker", "a) S 1 (b", "new\nline", "", "é"])
    func `the start of the process is read whatever the name of the program`(name: String) {
        let process = "17 (\(name)) \(Self.fields)12345 1000 200\n"
        #expect(
            ProcessStart.seconds(process: process, system: Self.system, ticksPerSecond: 100) == 1_764_200_123.45)
    }

    @Test(arguments: [
        ("", system, 100), ("17 (a)", system, 100), ("17 a \(fields)12345 1", system, 100),
        ("17 (a) \(fields)", system, 100), ("17 (a) \(fields)x 1", system, 100), ("17 (a) \(fields)-1 1", system, 100),
        ("17 (a) \(fields)99999999999999999999 1", system, 100), ("17 (a) \(fields)5 1", "", 100),
        ("17 (a) \(fields)5 1", "btime\n", 100), ("17 (a) \(fields)5 1", "btime x\n", 100),
        ("17 (a) \(fields)5 1", "btime 0\n", 100), ("17 (a) \(fields)5 1", "xbtime 5\n", 100),
        ("17 (a) \(fields)5 1", system, 0), ("17 (a) \(fields)5 1", system, -1),
    ])
    func `files of another shape tell no start`(process: String, system: String, ticksPerSecond: Int) {
        #expect(ProcessStart.seconds(process: process, system: system, ticksPerSecond: ticksPerSecond) == nil)
    }

    @Test func `the start of this process is in the past`() throws {
        let factory = PrometheusMetricsFactory()
        factory.recordProcessStart()
        factory.recordProcessStart()
        let lines = scrape(factory, .openMetrics).split(separator: "\n")
        #expect(
            lines.prefix(2) == [
                "# TYPE process_start_time_seconds gauge", "# UNIT process_start_time_seconds seconds",
            ])
        let sample = try #require(lines.dropFirst(3).first).split(separator: " ")
        #expect(sample.first == "process_start_time_seconds")
        let start = try #require(sample.last.flatMap { Double($0) })
        #expect(start > 1_700_000_000)
        #expect(start <= ProcessStart.seconds + 1)
    }
}

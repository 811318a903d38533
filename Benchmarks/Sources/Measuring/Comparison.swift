import CMeasuring
import Foundation

#if canImport(Glibc)
import Glibc
#endif

/// One of the implementations that are compared.
public struct Contender: Sendable {
    /// The contender's name in the table.
    public let name: String
    /// The number of operations that ``run`` performs.
    public let operations: Int
    /// Performs the operations.
    public let run: @Sendable () async throws -> Void

    /// Creates a contender.
    public init(_ name: String, operations: Int, run: @escaping @Sendable () async throws -> Void) {
        self.name = name
        self.operations = operations
        self.run = run
    }
}

/// Runs the contenders in turns, and prints the medians of all rounds.
///
/// The table has the time and this process's CPU time per operation, in nanoseconds, and the ratios of both to those of
/// the first contender. A warm-up round is not counted.
/// - Returns: The median times in nanoseconds, in the order of the contenders.
@discardableResult
public func compare(
    _ title: String, rounds: Int = rounds(usually: 7), _ contenders: [Contender]
) async throws -> [Double] {
    var times = [[Double]](repeating: [], count: contenders.count)
    var processorTimes = times
    for round in 0...rounds {
        for (index, contender) in contenders.enumerated() {
            let (start, startCPU) = (ContinuousClock.now, processorTime())
            try await contender.run()
            let (time, cpu) = (start.duration(to: .now), processorTime() - startCPU)
            guard round > 0 else { continue }
            times[index].append(time / .nanoseconds(1) / Double(contender.operations))
            processorTimes[index].append(cpu / .nanoseconds(1) / Double(contender.operations))
        }
    }
    let medians = times.map(median)
    print("\n\(title)")
    let processorMedians = processorTimes.map(median)
    print(row("", "time", "CPU", "ratio", "CPU ratio"))
    for (index, contender) in contenders.enumerated() {
        let ratios = [medians, processorMedians].map { ratioText($0[index] / $0[0]) }
        print(
            row(
                contender.name, inNanoseconds(medians[index]), inNanoseconds(processorMedians[index]), ratios[0],
                ratios[1]
            )
        )
    }
    return medians
}

/// Returns the number of rounds: `ROUNDS` in the environment, for a quick look, or `count`, for reliable figures.
public func rounds(usually count: Int) -> Int {
    ProcessInfo.processInfo.environment["ROUNDS"].flatMap(Int.init) ?? count
}

/// Returns the median of `values`, the upper one of two; NaN if there are none.
public func median(_ values: [Double]) -> Double { values.isEmpty ? .nan : values.sorted()[values.count / 2] }

/// Returns this process's CPU time so far, in user and kernel mode.
public func processorTime() -> Duration {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return .seconds(Int64(time.tv_sec)) + .nanoseconds(Int64(time.tv_nsec))
}

/// Returns the bytes that are allocated and not yet freed.
public func allocatedBytes() -> Int { Int(allocated_bytes()) }

/// Returns the number of allocations by this thread.
public func allocationCount() -> Int { Int(allocation_count()) }

/// Returns one line of a table.
public func row(_ name: String, _ columns: String...) -> String {
    let wide = name.padding(toLength: max(48, name.count), withPad: " ", startingAt: 0)
    return columns.reduce(wide) { $0 + String(repeating: " ", count: max(1, 12 - $1.count)) + $1 }
}

/// Returns a ratio as text.
public func ratioText(_ value: Double) -> String { String(format: "%.2f", value) }

/// Returns a time as text, with a suitable unit.
public func inNanoseconds(_ value: Double) -> String {
    switch value {
    case ..<10_000: String(format: "%.1f ns", value)
    case ..<10_000_000: String(format: "%.1f µs", value / 1000)
    default: String(format: "%.1f ms", value / 1_000_000)
    }
}

import CMeasuring
import Foundation

#if canImport(Glibc)
import Glibc
#endif

/// One way of doing the thing that is measured.
public struct Contender: Sendable {
    /// What the table calls it.
    public let name: String
    /// How often ``run`` does the thing.
    public let operations: Int
    /// Does it.
    public let run: @Sendable () async throws -> Void

    /// Takes all members, in their order of declaration.
    public init(_ name: String, operations: Int, run: @escaping @Sendable () async throws -> Void) {
        self.name = name
        self.operations = operations
        self.run = run
    }
}

/// Lets the contenders take turns, and prints the medians: time and CPU of this process for each operation, in nanoseconds, and the
/// ratios of both to those of the first contender. One round before is not counted.
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

/// How many rounds to measure: `ROUNDS` in the environment, for a short look, or as many as make figures that count.
public func rounds(usually count: Int) -> Int {
    ProcessInfo.processInfo.environment["ROUNDS"].flatMap(Int.init) ?? count
}

/// The middle one of `values`, the upper of two; not a number if there are none.
public func median(_ values: [Double]) -> Double { values.isEmpty ? .nan : values.sorted()[values.count / 2] }

/// What the processors spent on this process so far, for itself and in the kernel.
public func processorTime() -> Duration {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return .seconds(Int64(time.tv_sec)) + .nanoseconds(Int64(time.tv_nsec))
}

/// What the allocator has handed out and not got back.
public func allocatedBytes() -> Int { Int(allocated_bytes()) }

/// How often this thread has asked the allocator for memory.
public func allocationCount() -> Int { Int(allocation_count()) }

/// One line of a table.
public func row(_ name: String, _ columns: String...) -> String {
    let wide = name.padding(toLength: max(48, name.count), withPad: " ", startingAt: 0)
    return columns.reduce(wide) { $0 + String(repeating: " ", count: max(1, 12 - $1.count)) + $1 }
}

/// A ratio in text.
public func ratioText(_ value: Double) -> String { String(format: "%.2f", value) }

/// A time in text, with a unit that suits it.
public func inNanoseconds(_ value: Double) -> String {
    switch value {
    case ..<10_000: String(format: "%.1f ns", value)
    case ..<10_000_000: String(format: "%.1f µs", value / 1000)
    default: String(format: "%.1f ms", value / 1_000_000)
    }
}

import CSimulatedScheduler
import Dispatch
import Foundation
public import TokenBrokerTesting

/// A scheduler that runs tasks on one thread in a random order, so that a seed replays exactly.
///
/// Everything that the thread starts or wakes stays on it: `Task { }`, continuations that it resumes, actors, and
/// sleepers of a ``ManualClock`` that it moves. This does not hold for `Task.yield()`, `Task.sleep` and other clocks.
public struct SimulatedScheduler {
    private init() {}

    /// Runs `body` on its own thread, so that it blocks no other test.
    public static func run<Result: Sendable>(
        _ body: @escaping @Sendable (SimulatedScheduler) -> Result
    ) async -> Result {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: simulate(body)) }
        }
    }

    /// Runs long simulations like ``run(_:)``, but one after another, which leaves a processor for the other tests.
    public static func runInTurn<Result: Sendable>(
        _ body: @escaping @Sendable (SimulatedScheduler) -> Result
    ) async -> Result {
        await withCheckedContinuation { continuation in
            queue.async { continuation.resume(returning: simulate(body)) }
        }
    }

    private static let queue = DispatchQueue(label: "simulations")

    private static func simulate<Result>(_ body: (SimulatedScheduler) -> Result) -> Result {
        scheduler_begin()
        defer { scheduler_end() }
        return body(SimulatedScheduler())
    }

    /// A Boolean value that indicates whether a task can run.
    public var hasWork: Bool { scheduler_count() > 0 }

    /// Runs a random task to its next suspension.
    public func step(using random: inout some RandomNumberGenerator) {
        scheduler_run(Int.random(in: 0..<max(1, scheduler_count()), using: &random))
    }

    /// Runs tasks until all of them are suspended.
    public func settle(using random: inout some RandomNumberGenerator) {
        while hasWork { step(using: &random) }
    }

    /// Runs tasks and moves the clock from one sleeper's deadline to the next, until no sleeper is left or `isDone`
    /// returns `true`.
    public func run(
        on clock: ManualClock, using random: inout some RandomNumberGenerator, until isDone: () -> Bool = { false }
    ) {
        settle(using: &random)
        while !isDone(), let next = clock.nextDeadline {
            clock.advance(by: clock.now.duration(to: next))
            settle(using: &random)
        }
    }
}

/// A SplitMix64 generator, whose sequence depends only on its seed.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// Creates a generator. Different seeds give different sequences.
    public init(seed: UInt64) { state = seed }

    /// Returns the next number.
    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

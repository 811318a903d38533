import CSimulatedScheduler
import Dispatch
import Foundation
public import TokenBrokerTesting

/// Runs tasks on one thread, in an order that a generator of random numbers decides, so that a seed replays.
///
/// Everything that the thread starts or wakes stays on it: `Task { }`, continuations that it resumes, actors, sleepers of a ``ManualClock``
/// that it moves. Not `Task.yield()` and `Task.sleep`, and no other clock.
public struct SimulatedScheduler {
    private init() {}

    /// Runs `body` on a thread of its own, so that it holds up no other test.
    public static func run<Result: Sendable>(
        _ body: @escaping @Sendable (SimulatedScheduler) -> Result
    ) async -> Result {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: simulate(body)) }
        }
    }

    /// Like ``run(_:)`` for what takes seconds: one after the other, so that there is a processor left for the other tests.
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

    /// Whether some task could go on.
    public var hasWork: Bool { scheduler_count() > 0 }

    /// Runs some task to its next suspension.
    public func step(using random: inout some RandomNumberGenerator) {
        scheduler_run(Int.random(in: 0..<max(1, scheduler_count()), using: &random))
    }

    /// Runs until all tasks wait for something.
    public func settle(using random: inout some RandomNumberGenerator) {
        while hasWork { step(using: &random) }
    }

    /// Runs and moves the clock from one sleeper's time to the next, until nobody sleeps any more or `isDone` says so.
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

/// SplitMix64, so that a seed replays.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// Another seed, another sequence.
    public init(seed: UInt64) { state = seed }

    /// The next number.
    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

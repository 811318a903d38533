public import FoundationEssentials
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A clock that stands still until a test advances it.
///
/// ```swift
/// let clock = ManualClock()
/// let task = Task { try await clock.sleep(for: .seconds(5)) }
/// await clock.sleepers(1)        // the task sleeps now
/// clock.advance(by: .seconds(5)) // and wakes
/// ```
///
/// If tasks sleep on the clock and nothing advances it for five seconds of real time, it reports that on standard
/// error, since a test that waits for these tasks hangs.
public final class ManualClock: Clock {
    /// A point in the clock's time.
    public struct Instant: InstantProtocol {
        /// The clock's time since it was created.
        public var offset: Duration

        /// Returns the instant that is later by `duration`, or earlier if `duration` is negative.
        public func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
        /// Returns the duration from this instant to `other`, which is negative if `other` is earlier.
        public func duration(to other: Instant) -> Duration { other.offset - offset }
        /// Returns whether `left` is earlier than `right`.
        public static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
    }

    private struct Sleeper {
        let id: UInt64
        let deadline: Instant
        let continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var now = Instant(offset: .zero)
        /// The number of times that the clock was advanced.
        var moves = 0
        var isWatched = false
        /// The number of moves when a standstill was last reported.
        var reported: Int?
        var lastID: UInt64 = 0
        var sleepers: [Sleeper] = []
        var watchers: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []

        /// Removes and returns the watchers whose count is reached.
        mutating func satisfiedWatchers() -> [CheckedContinuation<Void, Never>] {
            let satisfied = watchers.filter { $0.count <= sleepers.count }.map(\.continuation)
            watchers.removeAll { $0.count <= sleepers.count }
            return satisfied
        }
    }

    private let state = Mutex(State())
    private let timeout: Duration
    private let report: @Sendable (String) -> Void

    /// Creates a clock whose offset is zero.
    /// - Parameters:
    ///   - timeout: How long, in real time, tasks may sleep without an advance before the clock reports a standstill.
    ///   - report: A closure that takes the report, once for each standstill. `nil` writes it to standard error.
    public init(
        reportingStandstillAfter timeout: Duration = .seconds(5), report: (@Sendable (String) -> Void)? = nil
    ) {
        self.timeout = timeout
        self.report =
            report ?? { text in
                let line = Array("\(text)\n".utf8)
                _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
            }
    }

    /// The current instant.
    public var now: Instant { state.withLock { $0.now } }
    /// The resolution of the clock, one nanosecond.
    public var minimumResolution: Duration { .nanoseconds(1) }

    /// Waits until the clock reaches `deadline`. Returns at once if it already has.
    /// - Throws: `CancellationError` when the task is cancelled.
    public func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let (result, watchers): (Result<Void, any Error>?, [CheckedContinuation<Void, Never>]) =
                    state.withLock { state in
                        // The cancellation handler may already have run and found no sleeper to wake.
                        if Task.isCancelled { return (.failure(CancellationError()), []) }
                        if deadline <= state.now { return (.success(()), []) }
                        state.sleepers.append(Sleeper(id: id, deadline: deadline, continuation: continuation))
                        return (nil, state.satisfiedWatchers())
                    }
                if let result { continuation.resume(with: result) } else { watch() }
                for watcher in watchers { watcher.resume() }
            }
        } onCancel: {
            let sleeper = state.withLock { state in
                state.sleepers.firstIndex { $0.id == id }.map { state.sleepers.remove(at: $0) }
            }
            sleeper?.continuation.resume(throwing: CancellationError())
        }
    }

    /// Advances the clock and wakes the tasks whose deadline is reached, the earliest deadline first.
    /// - Parameter duration: How far to advance. The clock does not go back: a negative duration counts as zero.
    public func advance(by duration: Duration) {
        let woken = state.withLock { state in
            state.now = state.now.advanced(by: max(.zero, duration))
            state.moves += 1
            let woken = state.sleepers.filter { $0.deadline <= state.now }
            state.sleepers.removeAll { $0.deadline <= state.now }
            return woken.sorted { ($0.deadline, $0.id) < ($1.deadline, $1.id) }
        }
        for sleeper in woken { sleeper.continuation.resume() }
    }

    /// Watches the sleeping tasks in real time until there are none.
    private func watch() {
        let begins = state.withLock { state in
            defer { state.isWatched = true }
            return !state.isWatched
        }
        guard begins else { return }
        Task { [weak self, timeout] in
            while let moves = self?.movesWhileSomebodySleeps() {
                try? await Task.sleep(for: timeout)
                self?.reportStandstill(since: moves)
            }
        }
    }

    private func movesWhileSomebodySleeps() -> Int? {
        state.withLock { state in
            state.isWatched = !state.sleepers.isEmpty
            return state.isWatched ? state.moves : nil
        }
    }

    private func reportStandstill(since moves: Int) {
        let waiting: (count: Int, wait: Duration)? = state.withLock { state in
            guard state.moves == moves, state.reported != moves, let first = state.sleepers.map(\.deadline).min()
            else { return nil }
            state.reported = moves
            return (state.sleepers.count, state.now.duration(to: first))
        }
        guard let waiting else { return }
        report(
            "ManualClock: the clock has not advanced for \(timeout). Tasks sleeping on it: \(waiting.count). "
                + "The first one wakes after advance(by:) with \(waiting.wait). A test that waits for it hangs."
        )
    }

    /// Waits until at least `count` tasks sleep on this clock.
    public func sleepers(_ count: Int) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.sleepers.count >= count { return true }
                state.watchers.append((count, continuation))
                return false
            }
            if isThere { continuation.resume() }
        }
    }

    /// A wall clock that starts on 15 January 2027 and advances with this clock.
    public var date: Date { Date(timeIntervalSince1970: 1_800_000_000 + now.offset / .seconds(1)) }

    /// The earliest deadline of the sleeping tasks; `nil` if no task sleeps.
    public var nextDeadline: Instant? { state.withLock { $0.sleepers.map(\.deadline).min() } }

    /// The number of tasks that sleep on this clock now.
    public var sleeperCount: Int { state.withLock { $0.sleepers.count } }
}

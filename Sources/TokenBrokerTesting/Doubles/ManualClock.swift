public import FoundationEssentials
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A clock that stands still until a test moves it.
///
/// ```swift
/// let clock = ManualClock()
/// let task = Task { try await clock.sleep(for: .seconds(5)) }
/// await clock.sleepers(1)        // the task sleeps now
/// clock.advance(by: .seconds(5)) // and wakes
/// ```
///
/// If tasks sleep on it and nobody moves it for five seconds of real time, it says so on standard error: a test that
/// waits for them waits for ever.
public final class ManualClock: Clock {
    /// A point in the clock's time.
    public struct Instant: InstantProtocol {
        /// Since the clock was made.
        public var offset: Duration

        /// Later by `duration`, or earlier if it is negative.
        public func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
        /// How much later `other` is; negative if it is earlier.
        public func duration(to other: Instant) -> Duration { other.offset - offset }
        /// Whether `left` is earlier.
        public static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
    }

    private struct Sleeper {
        let id: UInt64
        let deadline: Instant
        let continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var now = Instant(offset: .zero)
        /// How often the clock was moved.
        var moves = 0
        var isWatched = false
        /// The moves when a standstill was last reported.
        var reported: Int?
        var lastID: UInt64 = 0
        var sleepers: [Sleeper] = []
        var watchers: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []

        /// Takes out the watchers whose number is reached.
        mutating func satisfiedWatchers() -> [CheckedContinuation<Void, Never>] {
            let satisfied = watchers.filter { $0.count <= sleepers.count }.map(\.continuation)
            watchers.removeAll { $0.count <= sleepers.count }
            return satisfied
        }
    }

    private let state = Mutex(State())
    private let timeout: Duration
    private let report: @Sendable (String) -> Void

    /// A clock at its beginning.
    /// - Parameters:
    ///   - timeout: How long in real time tasks may sleep on it without a move before that is reported.
    ///   - report: Gets the report, once for each standstill. Unless given, it goes to standard error.
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

    /// Where the clock stands.
    public var now: Instant { state.withLock { $0.now } }
    /// None finer than the type's.
    public var minimumResolution: Duration { .nanoseconds(1) }

    /// Waits until the clock was moved to `deadline`; returns at once if it is there already.
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
                        // The cancellation handler may have run already, and found nobody to wake.
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

    /// Moves the clock, and wakes those whose time has come, the earliest deadline first.
    /// - Parameter duration: A negative one moves nothing.
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

    /// Looks in real time after those who sleep, until nobody does.
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
            "ManualClock: nobody has moved the clock for \(timeout), and tasks that sleep on it: \(waiting.count). "
                + "The first wakes after advance(by:) with \(waiting.wait); a test that waits for it without that hangs."
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

    /// The wall clock that goes with it: some day in 2027, and on with the clock.
    public var date: Date { Date(timeIntervalSince1970: 1_800_000_000 + now.offset / .seconds(1)) }

    /// When the first sleeper wakes; `nil` if nobody sleeps.
    public var nextDeadline: Instant? { state.withLock { $0.sleepers.map(\.deadline).min() } }

    /// How many tasks sleep on this clock right now.
    public var sleeperCount: Int { state.withLock { $0.sleepers.count } }
}

import HeapModule
import Synchronization

/// Runs actions after a given time.
///
/// One sleeping task serves any number of alarms. One sleep for each alarm would also work, but a cancelled sleep keeps
/// its memory until it would have ended, which is hundreds of megabytes under load.
package final class Alarm: Sendable {
    package typealias ID = UInt64

    private struct Entry: Comparable {
        var time: Duration
        var id: ID

        static func < (left: Entry, right: Entry) -> Bool { (left.time, left.id) < (right.time, right.id) }
    }

    private struct State {
        /// The entries, earliest first. An entry without an action was cancelled.
        var heap = Heap<Entry>()
        var actions: [ID: @Sendable () -> Void] = [:]
        var lastID: ID = 0
        /// When the runner wakes; `nil` if there is none.
        var wake: Duration?
        var runner: Task<Void, Never>?
    }

    private let state = Mutex(State())
    /// The source of ``now``.
    package let stopwatch: Stopwatch
    private let sleep: @Sendable (_ until: Duration) async -> Void

    package init(_ clock: some Clock<Duration>) {
        let origin = clock.now
        stopwatch = Stopwatch(clock)
        sleep = { time in try? await clock.sleep(until: origin.advanced(by: time), tolerance: nil) }
    }

    deinit { state.withLock { $0.runner }?.cancel() }

    /// The time since the alarm was created.
    package var now: Duration { stopwatch.now }

    /// Schedules an action.
    /// - Parameters:
    ///   - pause: The time until the action runs.
    ///   - action: Called once, from some task, unless it is cancelled first. It must not block.
    /// - Returns: The id with which the action can be cancelled.
    package func schedule(after pause: Duration, _ action: @escaping @Sendable () -> Void) -> ID {
        let time = now + max(.zero, pause)
        return state.withLock { state in
            state.lastID += 1
            state.actions[state.lastID] = action
            state.heap.insert(Entry(time: time, id: state.lastID))
            if state.wake.map({ time < $0 }) ?? true {
                state.runner?.cancel()
                state.wake = time
                state.runner = runner(waking: time)
            }
            return state.lastID
        }
    }

    package func cancel(_ id: ID) {
        state.withLock { state in
            state.actions[id] = nil
            // Most alarms are cancelled; they must not pile up behind one that is not.
            if state.heap.count > 64, state.heap.count > 2 * state.actions.count {
                state.heap = Heap(state.heap.unordered.filter { state.actions[$0.id] != nil })
            }
        }
    }

    private func runner(waking first: Duration) -> Task<Void, Never> {
        Task { [weak self, sleep] in
            var wake: Duration? = first
            while let time = wake {
                await sleep(time)
                // Another runner has taken over.
                if Task.isCancelled { return }
                wake = self?.fire()
            }
        }
    }

    /// Runs the actions that are due.
    /// - Returns: When to run the next ones.
    private func fire() -> Duration? {
        let now = now
        let (due, next) = state.withLock { state in
            var due: [@Sendable () -> Void] = []
            while let first = state.heap.min, first.time <= now || state.actions[first.id] == nil {
                if let action = state.actions.removeValue(forKey: first.id) { due.append(action) }
                state.heap.removeMin()
            }
            state.wake = state.heap.min?.time
            if state.wake == nil { state.runner = nil }
            return (due, state.wake)
        }
        for action in due { action() }
        return next
    }
}

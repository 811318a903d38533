import Synchronization

/// Calls back when time has passed.
///
/// One sleeping task serves any number of alarms. A sleep for each would do as well, but one that is cancelled keeps its memory until its
/// time would have come, which is hundreds of megabytes under load.
package final class Alarm: Sendable {
    package typealias ID = UInt64

    private struct Entry {
        var time: Duration
        var id: ID
    }

    private struct State {
        /// A binary heap, the earliest first. Entries without an action were cancelled.
        var heap: [Entry] = []
        var actions: [ID: @Sendable () -> Void] = [:]
        var lastID: ID = 0
        /// When the runner wakes; `nil` while there is none.
        var wake: Duration?
        var runner: Task<Void, Never>?

        mutating func siftUp() {
            var child = heap.count - 1
            while child > 0, heap[child].time < heap[(child - 1) / 2].time {
                heap.swapAt(child, (child - 1) / 2)
                child = (child - 1) / 2
            }
        }

        mutating func removeFirst() {
            guard let last = heap.popLast(), !heap.isEmpty else { return }
            heap[0] = last
            var parent = 0
            while 2 * parent + 1 < heap.count {
                var child = 2 * parent + 1
                if child + 1 < heap.count, heap[child + 1].time < heap[child].time { child += 1 }
                if heap[parent].time <= heap[child].time { return }
                heap.swapAt(parent, child)
                parent = child
            }
        }
    }

    private let state = Mutex(State())
    private let stopwatch: Stopwatch
    private let sleep: @Sendable (_ until: Duration) async -> Void

    package init(_ clock: some Clock<Duration>) {
        let origin = clock.now
        stopwatch = Stopwatch(clock)
        sleep = { time in try? await clock.sleep(until: origin.advanced(by: time), tolerance: nil) }
    }

    deinit { state.withLock { $0.runner }?.cancel() }

    /// Since the alarm was made.
    package var now: Duration { stopwatch.now }

    /// - Parameter action: Called once, from some task, unless it is cancelled before. It must not block.
    package func schedule(after pause: Duration, _ action: @escaping @Sendable () -> Void) -> ID {
        let time = now + max(.zero, pause)
        return state.withLock { state in
            state.lastID += 1
            state.actions[state.lastID] = action
            state.heap.append(Entry(time: time, id: state.lastID))
            state.siftUp()
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
                state.heap.removeAll { state.actions[$0.id] == nil }
                state.heap.sort { $0.time < $1.time }
            }
        }
    }

    private func runner(waking first: Duration) -> Task<Void, Never> {
        Task { [weak self, sleep] in
            var wake: Duration? = first
            while let time = wake {
                await sleep(time)
                // Another one has taken over.
                if Task.isCancelled { return }
                wake = self?.fire()
            }
        }
    }

    /// Calls back what is due.
    /// - Returns: When to do so next.
    private func fire() -> Duration? {
        let now = now
        let (due, next) = state.withLock { state in
            var due: [@Sendable () -> Void] = []
            while let first = state.heap.first, first.time <= now || state.actions[first.id] == nil {
                if let action = state.actions.removeValue(forKey: first.id) { due.append(action) }
                state.removeFirst()
            }
            state.wake = state.heap.first?.time
            if state.wake == nil { state.runner = nil }
            return (due, state.wake)
        }
        for action in due { action() }
        return next
    }
}

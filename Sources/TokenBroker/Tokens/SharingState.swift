import Synchronization

/// What a process knows about the shared tokens of one step: those that it has, so that a revocation reaches them, and
/// the callers that wait for another process.
final class SharingState: Sendable {
    private struct State {
        var lineages = BoundedMap<String, Lineage>(capacity: 10_000)
        /// The tags of refused tokens. The store's answer with such a token may still be under way when the event
        /// arrives.
        var refused = BoundedMap<String, Bool>(capacity: 10_000)
        var waiting: [String: Waiters<Void>] = [:]
        var lastWaiter: Waiters<Void>.ID = 0
    }

    private let state = Mutex(State())

    func note(_ event: SharedStoreEvent) {
        switch event {
        case .landed(let name): resume { $0.waiting[name]?.removeAll() ?? [] }
        case .revoked(let tag):
            let lineage = state.withLock { state in
                state.refused.update(tag, default: true) { _ in }
                return state.lineages[tag]
            }
            lineage?.revoke()
        case .disconnected:
            resume { state in
                defer { state.waiting = [:] }
                // In the same order each time, so that a simulation replays.
                return state.waiting.sorted { $0.key < $1.key }.flatMap { _, waiters in
                    var waiters = waiters
                    return waiters.removeAll()
                }
            }
        case .connected, .coolDown: break
        }
    }

    private func resume(_ waiting: (inout State) -> [CheckedContinuation<Void, Never>]) {
        for continuation in state.withLock({ waiting(&$0) }) { continuation.resume() }
    }

    /// Remembers the lineage of a token that this process fetched.
    func keep(_ lineage: Lineage, tag: String) {
        state.withLock { $0.lineages.update(tag, default: lineage) { $0 = lineage } }
    }

    /// Returns the lineage of a token that came from the store. It is the same one each time, and revoked from the
    /// start if the token was refused.
    func lineage(of tag: String, descendingFrom parent: Lineage) -> Lineage {
        state.withLock { state in
            let isRefused = state.refused[tag] ?? false
            return state.lineages.update(tag, default: Lineage(descendingFrom: parent)) { lineage in
                if lineage.parent !== parent { lineage = Lineage(descendingFrom: parent) }
                if isRefused { lineage.revoke() }
                return lineage
            }
        }
    }

    /// Waits until a fetch has ended under a name, the time has passed, or the caller is cancelled.
    func wait(for name: String, atMost time: Duration, _ alarm: Alarm) async {
        let id = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        let leave: @Sendable () -> Void = { [self] in
            let continuation = state.withLock { $0.waiting[name]?.remove(id) }
            continuation?.resume()
        }
        await suspended { continuation in
            let waits = state.withLock { state in
                var waiters = state.waiting[name] ?? Waiters()
                defer { state.waiting[name] = waiters }
                return waiters.add(id, continuation)
            }
            if waits { _ = alarm.schedule(after: time, leave) } else { continuation.resume() }
        } onCancel: {
            leave()
        }
        state.withLock { state in
            if state.waiting[name]?.isEmpty == true { state.waiting[name] = nil }
        }
    }
}

import Synchronization

/// Work that no caller waits for.
package final class BackgroundWork: Sendable {
    private struct State {
        var count = 0
        var draining: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    package init() {}

    /// Starts a piece of work, which must end by itself.
    package func start(_ work: @escaping @Sendable () async -> Void) {
        state.withLock { $0.count += 1 }
        Task {
            await work()
            let draining = state.withLock { state in
                state.count -= 1
                guard state.count == 0 else { return [CheckedContinuation<Void, Never>]() }
                defer { state.draining = [] }
                return state.draining
            }
            for continuation in draining { continuation.resume() }
        }
    }

    /// Waits until no work is under way.
    package func drained() async {
        await withCheckedContinuation { continuation in
            let isDrained = state.withLock { state in
                if state.count > 0 { state.draining.append(continuation) }
                return state.count == 0
            }
            if isDrained { continuation.resume() }
        }
    }
}

import Synchronization

/// Runs a piece of work once for all concurrent callers with the same key. The work belongs to none of them: a caller
/// that is cancelled ends only its own wait. The work must end by itself.
package final class SingleFlight<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private typealias Answer = Result<Value, any Error>

    private struct State {
        /// An entry for each key whose work is under way, even if all callers have left.
        var waiting: [Key: Waiters<Answer>] = [:]
        var lastWaiter: UInt64 = 0
    }

    private let state = Mutex(State())

    package init() {}

    package func value(for key: Key, _ work: @escaping @Sendable () async throws -> Value) async throws -> Value {
        let waiter = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        let answer: Answer = await suspended { continuation in
            let isFirst: Bool? = state.withLock { state in
                var waiters = state.waiting[key] ?? Waiters()
                guard waiters.add(waiter, continuation) else { return nil }
                defer { state.waiting[key] = waiters }
                return state.waiting[key] == nil
            }
            switch isFirst {
            case nil: continuation.resume(returning: .failure(CancellationError()))
            case true?: start(key, work)
            case false?: break
            }
        } onCancel: { [self] in
            let continuation = state.withLock { $0.waiting[key]?.remove(waiter) }
            continuation?.resume(returning: .failure(CancellationError()))
        }
        return try answer.get()
    }

    private func start(_ key: Key, _ work: @escaping @Sendable () async throws -> Value) {
        Task {
            let result: Result<Value, any Error>
            do {
                result = .success(try await work())
            } catch {
                result = .failure(error)
            }
            let waiting = state.withLock { state in
                var waiting = state.waiting.removeValue(forKey: key)
                return waiting?.removeAll() ?? []
            }
            for continuation in waiting { continuation.resume(returning: result) }
        }
    }
}

import Synchronization

/// Does a piece of work once for all who ask for it at the same time, by key. The work belongs to none of them: who
/// is cancelled ends only its own wait. It must end by itself.
package final class SingleFlight<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private typealias Waiting = CheckedContinuation<Result<Value, any Error>, Never>

    private struct State {
        /// An entry for each key that is being worked on, even when all have left.
        var waiting: [Key: [UInt64: Waiting]] = [:]
        var lastWaiter: UInt64 = 0
    }

    private let state = Mutex(State())

    package init() {}

    package func value(for key: Key, _ work: @escaping @Sendable () async throws -> Value) async throws -> Value {
        let waiter = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: Waiting) in
                let isFirst: Bool? = state.withLock { state in
                    // The cancellation handler may have run already, and found nobody to wake.
                    guard !Task.isCancelled else { return nil }
                    defer { state.waiting[key, default: [:]][waiter] = continuation }
                    return state.waiting[key] == nil
                }
                switch isFirst {
                case nil: continuation.resume(returning: .failure(CancellationError()))
                case true?: start(key, work)
                case false?: break
                }
            }
        } onCancel: {
            let continuation = state.withLock { $0.waiting[key]?.removeValue(forKey: waiter) }
            continuation?.resume(returning: .failure(CancellationError()))
        }
        return try result.get()
    }

    private func start(_ key: Key, _ work: @escaping @Sendable () async throws -> Value) {
        Task {
            let result: Result<Value, any Error>
            do {
                result = .success(try await work())
            } catch {
                result = .failure(error)
            }
            let waiting = state.withLock { $0.waiting.removeValue(forKey: key) }
            for continuation in (waiting ?? [:]).values { continuation.resume(returning: result) }
        }
    }
}

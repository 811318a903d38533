/// Suspends the caller until it is answered.
/// - Parameters:
///   - register: Receives the continuation, normally for ``Waiters/add(_:_:)``. It must make sure that the continuation
///     is resumed exactly once.
///   - onCancel: Called when the caller is cancelled, possibly before `register`.
package func suspended<Answer: Sendable>(
    _ register: (CheckedContinuation<Answer, Never>) -> Void, onCancel: @escaping @Sendable () -> Void
) async -> Answer {
    await withTaskCancellationHandler {
        await withCheckedContinuation(register)
    } onCancel: {
        onCancel()
    }
}

/// The callers that are waiting for an answer, by id. Keep this value in state that a lock protects.
package struct Waiters<Answer: Sendable>: Sendable {
    package typealias ID = UInt64

    private var continuations: [ID: CheckedContinuation<Answer, Never>] = [:]

    package init() {}

    /// Whether nobody waits.
    package var isEmpty: Bool { continuations.isEmpty }

    /// Adds a caller, before anything can suspend.
    /// - Returns: `false` if the caller was cancelled. Its cancellation handler may already have run and found nobody
    ///   to resume, so the caller must be answered at once.
    package mutating func add(_ id: ID, _ continuation: CheckedContinuation<Answer, Never>) -> Bool {
        guard !Task.isCancelled else { return false }
        continuations[id] = continuation
        return true
    }

    /// Removes a caller that is to be answered; `nil` if it was already answered.
    package mutating func remove(_ id: ID) -> CheckedContinuation<Answer, Never>? {
        continuations.removeValue(forKey: id)
    }

    /// Removes all callers.
    package mutating func removeAll() -> [CheckedContinuation<Answer, Never>] {
        defer { continuations = [:] }
        return Array(continuations.values)
    }
}

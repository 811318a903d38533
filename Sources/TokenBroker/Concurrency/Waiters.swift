/// Suspends the caller until it is answered.
/// - Parameters:
///   - register: Hands over the continuation, normally to ``Waiters/add(_:_:)``. It must see to it that it is resumed once.
///   - onCancel: Called when the caller is cancelled, perhaps before `register`.
package func suspended<Answer: Sendable>(
    _ register: (CheckedContinuation<Answer, Never>) -> Void, onCancel: @escaping @Sendable () -> Void
) async -> Answer {
    await withTaskCancellationHandler {
        await withCheckedContinuation(register)
    } onCancel: {
        onCancel()
    }
}

/// The callers that wait for an answer, by number. It stands in a state under a lock.
package struct Waiters<Answer: Sendable>: Sendable {
    package typealias ID = UInt64

    private var continuations: [ID: CheckedContinuation<Answer, Never>] = [:]

    package init() {}

    /// Adds the caller, before anything can suspend.
    /// - Returns: `false` if it was cancelled, since its cancellation handler may have run already and found nobody to wake. Then it is to be
    ///   answered at once.
    package mutating func add(_ id: ID, _ continuation: CheckedContinuation<Answer, Never>) -> Bool {
        guard !Task.isCancelled else { return false }
        continuations[id] = continuation
        return true
    }

    /// Takes out one who is to be answered; `nil` if it has been.
    package mutating func remove(_ id: ID) -> CheckedContinuation<Answer, Never>? {
        continuations.removeValue(forKey: id)
    }

    /// Takes out all.
    package mutating func removeAll() -> [CheckedContinuation<Answer, Never>] {
        defer { continuations = [:] }
        return Array(continuations.values)
    }
}

import Synchronization

/// Runs `operation` for at most `limit`. If it takes longer, cancels it and returns `nil`.
///
/// - Parameters:
///   - limit: The limit, measured from the call. It is evaluated again when it has passed, and may have grown.
///   - mayAbandon: Called when time is up. Returns whether to return without waiting for the operation. Otherwise the
///     operation must end when it is cancelled.
///   - operation: The operation.
package func withTimeLimit<Success: Sendable>(
    _ limit: @escaping @autoclosure @Sendable () -> Duration, _ alarm: Alarm,
    mayAbandon: @escaping @Sendable () -> Bool = { false },
    operation: @escaping @Sendable () async throws -> Success
) async throws -> Success? {
    let race = Race<Success>()
    let start = alarm.now
    @Sendable func timeOut() {
        let left = limit() - (alarm.now - start)
        if left > .zero { return race.setAlarm(alarm.schedule(after: left, timeOut)) }
        race.timeOut()
        if mayAbandon() { race.finish(nil) }
    }
    race.setAlarm(alarm.schedule(after: limit(), timeOut))
    defer { race.alarm.map(alarm.cancel) }
    // Unstructured, because an alarm can only cancel a task that has a handle.
    let task = Task {
        do {
            race.finish(.success(try await operation()))
        } catch {
            race.finish(.failure(error))
        }
    }
    race.began(task)
    let result = await withTaskCancellationHandler {
        await withCheckedContinuation { race.wait($0) }
    } onCancel: {
        task.cancel()
    }
    return try result?.get()
}

/// The race between an operation and its time limit.
private final class Race<Success: Sendable>: Sendable {
    typealias Outcome = Result<Success, any Error>?

    private struct State {
        var isOver = false
        var task: Task<Void, Never>?
        var alarm: Alarm.ID?
        /// The inner `nil` means that time was up.
        var outcome: Outcome?
        var continuation: CheckedContinuation<Outcome, Never>?
    }
    private let state = Mutex(State())

    var alarm: Alarm.ID? { state.withLock { $0.alarm } }
    func setAlarm(_ id: Alarm.ID) { state.withLock { $0.alarm = id } }

    func began(_ task: Task<Void, Never>) {
        let isOver = state.withLock { state in
            state.task = task
            return state.isOver
        }
        if isOver { task.cancel() }
    }

    func timeOut() {
        let task = state.withLock { state in
            state.isOver = true
            return state.task
        }
        task?.cancel()
    }

    /// - Parameter outcome: Ignored if time is up, or if there already is an outcome.
    func finish(_ outcome: Outcome) {
        let (continuation, outcome): (CheckedContinuation<Outcome, Never>?, Outcome) = state.withLock { state in
            let outcome = state.outcome ?? (state.isOver ? nil : outcome)
            state.outcome = .some(outcome)
            state.task = nil
            defer { state.continuation = nil }
            return (state.continuation, outcome)
        }
        continuation?.resume(returning: outcome)
    }

    func wait(_ continuation: CheckedContinuation<Outcome, Never>) {
        let outcome: Outcome? = state.withLock { state in
            if state.outcome == nil { state.continuation = continuation }
            return state.outcome
        }
        if let outcome { continuation.resume(returning: outcome) }
    }
}

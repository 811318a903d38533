import Synchronization

/// Runs `operation` for at most `limit`; `nil` if it takes longer. It is cancelled then.
///
/// - Parameters:
///   - limit: Since the call. It is asked again when it has passed, and may have grown.
///   - mayAbandon: Asked when time is up: whether to return without waiting for the operation's end. Otherwise it must
///     end when it is cancelled.
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
    // Unstructured, since only a task that has a handle can be cancelled by an alarm.
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

/// Between an operation and the time it has.
private final class Race<Success: Sendable>: Sendable {
    typealias Outcome = Result<Success, any Error>?

    private struct State {
        var isOver = false
        var task: Task<Void, Never>?
        var alarm: Alarm.ID?
        /// Inner `nil`: there was no time left.
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

    /// - Parameter outcome: Does not count when time is up, or if there is one already.
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

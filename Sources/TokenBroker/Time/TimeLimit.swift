import Synchronization

/// Runs `operation` for at most `limit`; `nil` if it takes longer. It is cancelled then, and must end when it is.
package func withTimeLimit<Success: Sendable>(
    _ limit: Duration, _ alarm: Alarm, operation: @escaping @Sendable () async throws -> Success
) async throws -> Success? {
    let isOver = Flag()
    // Unstructured, since only a task that has a handle can be cancelled by an alarm. Its end is awaited all the same.
    let task = Task { try await operation() }
    let id = alarm.schedule(after: limit) {
        isOver.value.store(true, ordering: .releasing)
        task.cancel()
    }
    defer { alarm.cancel(id) }
    let result = await withTaskCancellationHandler {
        await task.result
    } onCancel: {
        task.cancel()
    }
    return isOver.value.load(ordering: .acquiring) ? nil : try result.get()
}

private final class Flag: Sendable {
    let value = Atomic(false)
}

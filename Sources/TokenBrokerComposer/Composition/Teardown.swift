import Synchronization
import TokenBroker

/// Shuts down the parts of a broker, once, in the reverse of the order in which they were built.
final class Teardown: Sendable {
    private let state = Mutex(State())

    private struct State {
        var parts: [any ShutsDown] = []
        var hasBegun = false
        var waiting: [AsyncStream<Never>.Continuation] = []
    }

    func add(_ part: any Sendable) {
        state.withLock { $0.parts += components(of: part, as: (any ShutsDown).self) }
    }

    func run() async {
        let (parts, waiting) = state.withLock { state in
            defer { state = State(hasBegun: true) }
            return (state.parts, state.waiting)
        }
        for continuation in waiting { continuation.finish() }
        for part in parts.reversed() { await part.shutdown() }
    }

    /// Waits until ``run()`` is called or the task is cancelled.
    func waitUntilBegun() async {
        // Each caller gets its own stream, because a stream ends for all its consumers when one of them is cancelled.
        let (stream, continuation) = AsyncStream<Never>.makeStream()
        let hasBegun = state.withLock { state in
            state.waiting.append(continuation)
            return state.hasBegun
        }
        if hasBegun { return }
        for await _ in stream {}
    }
}

/// The end of a part whose own parts belong to somebody else.
struct Ending: ShutsDown {
    let end: @Sendable () async -> Void

    func shutdown() async { await end() }
}

/// Repeats an operation until it is shut down or released.
final class Repeating: ShutsDown {
    private let task: Task<Void, Never>

    init(
        every pause: Duration, on clock: some Clock<Duration>, _ operation: @escaping @Sendable () async -> Void
    ) {
        task = Task {
            while !Task.isCancelled {
                guard (try? await clock.sleep(for: pause)) != nil else { return }
                await operation()
            }
        }
    }

    deinit { task.cancel() }

    func shutdown() async {
        task.cancel()
        await task.value
    }
}

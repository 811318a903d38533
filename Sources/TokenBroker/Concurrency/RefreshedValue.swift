import Synchronization

/// A value that is refreshed from time to time, with one read at a time that all callers share.
///
/// It remembers the last value and the outcome of the last read. The closure that its owner passes to ``answer(_:)``
/// decides from them whether the value is too old and whether to read it again. No caller owns a read: a caller that is
/// cancelled ends only its own wait.
package final class RefreshedValue<Value: Sendable, Failure: Error>: Sendable {
    /// What is known about the value.
    package struct Knowledge: Sendable {
        /// The last value that was read; `nil` if there was none.
        package fileprivate(set) var value: Value?
        /// When the read of ``value`` began, and when it ended.
        package fileprivate(set) var readAt: (begin: Duration, end: Duration) = (.zero, .zero)
        /// The failure of the last read; `nil` if it succeeded.
        package fileprivate(set) var failure: Failure?
        /// The number of consecutive reads that failed.
        package fileprivate(set) var failures = 0
        /// When the last read began, and when the last finished read ended.
        package fileprivate(set) var beganAt: Duration?
        package fileprivate(set) var endedAt: Duration?
        /// Whether a read is under way.
        package fileprivate(set) var isReading = false
    }

    /// What happens to a caller.
    package enum Decision<Answer> {
        /// The caller receives its answer. `refreshes` begins a read in the background, unless one is under way.
        case answer(Answer, refreshes: Bool = false)
        /// The caller waits for the read that is under way, or begins one. Then the decision is made again.
        case wait
    }

    private struct State {
        var knowledge = Knowledge()
        var waiting = Waiters<Void>()
        var lastWaiter: Waiters<Void>.ID = 0
    }

    private let state = Mutex(State())
    private let stopwatch: Stopwatch
    private let read: @Sendable () async throws(Failure) -> Value
    private let ended: @Sendable (_ failure: Failure?, _ former: Knowledge) -> Void

    /// - Parameters:
    ///   - stopwatch: Measures ages.
    ///   - read: Reads the value. It must return by itself, in a bounded time.
    ///   - ended: Called after each read, with its failure, if any, and with what was known before.
    package init(
        _ stopwatch: Stopwatch, read: @escaping @Sendable () async throws(Failure) -> Value,
        ended: @escaping @Sendable (_ failure: Failure?, _ former: Knowledge) -> Void = { _, _ in }
    ) {
        self.stopwatch = stopwatch
        self.read = read
        self.ended = ended
    }

    /// What is known now.
    package var knowledge: Knowledge { state.withLock { $0.knowledge } }

    /// Decides what happens to the caller, and decides again after each read that the caller waited for.
    /// - Throws: `CancellationError` if the caller was cancelled while it waited.
    package func answer<Answer: Sendable>(
        _ decide: (_ knowledge: Knowledge, _ now: Duration) -> Decision<Answer>
    ) async throws(CancellationError) -> Answer {
        while true {
            let now = stopwatch.now
            let (decision, begins) = state.withLock { state in
                let decision = decide(state.knowledge, now)
                let begins =
                    switch decision {
                    case .answer(_, let refreshes): refreshes && !state.knowledge.isReading
                    case .wait: !state.knowledge.isReading
                    }
                if begins { (state.knowledge.isReading, state.knowledge.beganAt) = (true, now) }
                return (decision, begins)
            }
            if begins { begin(at: now) }
            switch decision {
            case .answer(let answer, _): return answer
            case .wait: await waitForReading()
            }
            if Task.isCancelled { throw CancellationError() }
        }
    }

    /// Waits until the current read ends or the caller is cancelled.
    private func waitForReading() async {
        let id = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        await suspended { continuation in
            let waits = state.withLock { $0.knowledge.isReading && $0.waiting.add(id, continuation) }
            if !waits { continuation.resume() }
        } onCancel: { [self] in
            state.withLock { $0.waiting.remove(id) }?.resume()
        }
    }

    private func begin(at begin: Duration) {
        // The task belongs to this value and not to the caller, which may leave.
        Task {
            let result: Result<Value, Failure>
            do throws(Failure) {
                result = .success(try await read())
            } catch {
                result = .failure(error)
            }
            end(result, began: begin)
        }
    }

    private func end(_ result: Result<Value, Failure>, began begin: Duration) {
        let now = stopwatch.now
        let (waiting, former) = state.withLock { state in
            let former = state.knowledge
            state.knowledge.isReading = false
            state.knowledge.endedAt = now
            switch result {
            case .success(let value):
                (state.knowledge.value, state.knowledge.readAt) = (value, (begin, now))
                (state.knowledge.failure, state.knowledge.failures) = (nil, 0)
            case .failure(let failure):
                state.knowledge.failure = failure
                state.knowledge.failures += 1
            }
            return (state.waiting.removeAll(), former)
        }
        for continuation in waiting { continuation.resume() }
        if case .failure(let failure) = result { ended(failure, former) } else { ended(nil, former) }
    }
}

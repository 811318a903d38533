import Synchronization

/// A value that is read anew from time to time, by one reader at a time and for all callers together.
///
/// It knows what was read last, and how that went. Whoever owns it decides, from that knowledge, what is too old and when to read again
/// (``answer(_:)``). A reading belongs to nobody: a caller that is cancelled ends only its own wait.
package final class RefreshedValue<Value: Sendable, Failure: Error>: Sendable {
    /// What is known of the value.
    package struct Knowledge: Sendable {
        /// What was read last; `nil` if nothing ever was.
        package fileprivate(set) var value: Value?
        /// When the reading of ``value`` began, and when it ended.
        package fileprivate(set) var readAt: (begin: Duration, end: Duration) = (.zero, .zero)
        /// How the last reading failed; `nil` if it did not.
        package fileprivate(set) var failure: Failure?
        /// How many readings in a row have failed.
        package fileprivate(set) var failures = 0
        /// When the last reading began, and when the last that has ended did.
        package fileprivate(set) var beganAt: Duration?
        package fileprivate(set) var endedAt: Duration?
        /// Whether it is being read.
        package fileprivate(set) var isReading = false
    }

    /// What is to become of a caller.
    package enum Decision<Answer> {
        /// It has its answer. `refreshes` begins a reading that nobody waits for, unless one is under way.
        case answer(Answer, refreshes: Bool = false)
        /// It waits for the reading that is under way, or that begins with it; then it is decided anew.
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
    ///   - stopwatch: Time for ages.
    ///   - read: Must end by itself, in a bounded time.
    ///   - ended: Told of each reading: how it failed, if it did, and what was known before.
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

    /// Decides what becomes of the caller, and again after each reading that it waited for.
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

    /// Until the reading ends that is under way, or the caller is cancelled.
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
        // Of this value and not of the caller, which may leave.
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

package import Logging
import Synchronization

/// Asks what costs something, a process or a call, only once in a while, and for all callers together.
///
/// What was read counts for `refresh`. After that it is still answered while it is read anew, unless it is older than
/// twice as long; so nobody waits while there is something. When reading fails, what was read last counts on, and
/// reading is tried again after a second, doubling to `refresh`. A caller that is cancelled ends only its own wait.
package final class CredentialCache: Sendable {
    /// What was read, and how long it may be used if that is limited.
    package struct Reading: Sendable {
        package var credentials: [Credential]
        package var life: Duration?

        package init(_ credentials: [Credential], life: Duration? = nil) {
            self.credentials = credentials
            self.life = life
        }
    }

    private struct State {
        /// The last that was read and may still be used.
        var good: [Credential]?
        var goodUntil: Duration?
        /// Why the last attempt failed; `nil` if it did not.
        var failure: CredentialError?
        var failures = 0
        /// When the next attempt is due, and when nobody is answered without it.
        var due: Duration = .zero
        var stale: Duration = .zero
        var isReading = false
        var waiting: [AsyncStream<Never>.Continuation] = []
    }

    private let state = Mutex(State())
    private let source: String
    private let refresh: Duration
    private let logger: Logger?
    private let stopwatch: Stopwatch
    private let read: @Sendable () async throws(CredentialError) -> Reading

    /// - Parameters:
    ///   - source: What the log calls it.
    ///   - refresh: How long what was read counts.
    ///   - clock: Measures that.
    ///   - logger: For failures while what was read before is used.
    ///   - read: Must end by itself, in a bounded time.
    package init(
        source: String, refresh: Duration, clock: some Clock<Duration>, logger: Logger?,
        read: @escaping @Sendable () async throws(CredentialError) -> Reading
    ) {
        self.source = source
        self.refresh = refresh
        self.logger = logger
        stopwatch = Stopwatch(clock)
        self.read = read
    }

    package func credentials() async throws(CredentialError) -> [Credential] {
        while true {
            switch look() {
            case .answer(let answer): return try answer.get()
            case .wait(let stream): for await _ in stream {}
            }
            if Task.isCancelled {
                throw CredentialError(.unreadable, source: source, message: "the caller did not wait for it")
            }
        }
    }

    private enum Look {
        case answer(Result<[Credential], CredentialError>)
        case wait(AsyncStream<Never>)
    }

    private func look() -> Look {
        let now = stopwatch.now
        let (look, isDue): (Look, Bool) = state.withLock { state in
            if let end = state.goodUntil, now >= end {
                (state.good, state.goodUntil) = (nil, nil)
                state.due = min(state.due, now)
            }
            let isDue = now >= state.due && !state.isReading
            if isDue { state.isReading = true }
            if let good = state.good, now < state.stale || !state.isReading { return (.answer(.success(good)), isDue) }
            if !state.isReading, let failure = state.failure { return (.answer(.failure(failure)), isDue) }
            // A stream of its own for each caller, since one ends for all when one of them is cancelled.
            let (stream, continuation) = AsyncStream<Never>.makeStream()
            state.waiting.append(continuation)
            return (.wait(stream), isDue)
        }
        if isDue {
            // Of the cache and not of the caller, which may leave.
            Task {
                do throws(CredentialError) {
                    finish(.success(try await read()))
                } catch {
                    finish(.failure(error))
                }
            }
        }
        return look
    }

    private func finish(_ result: Result<Reading, CredentialError>) {
        let now = stopwatch.now
        let (waiting, news) = state.withLock { state in
            state.isReading = false
            defer { state.waiting = [] }
            return (state.waiting, note(result, now, &state))
        }
        for continuation in waiting { continuation.finish() }
        if let news { logger?.log(level: news.level, "\(news.message)", metadata: ["source": "\(source)"]) }
    }

    private func note(
        _ result: Result<Reading, CredentialError>, _ now: Duration, _ state: inout State
    ) -> (level: Logger.Level, message: String)? {
        switch result {
        case .success(let reading):
            let hadFailed = state.failures > 0
            (state.failure, state.failures) = (nil, 0)
            state.good = reading.credentials
            // At least a second, or it would be read again and again.
            let life = reading.life.map { max($0, .seconds(1)) }
            state.goodUntil = life.map { now + $0 }
            // What is not there yet is looked for more often.
            let pause = min(refresh, life.map { $0 * 2 / 3 } ?? refresh)
            state.due = now + (reading.credentials.isEmpty ? min(pause, .seconds(5)) : pause)
            state.stale = state.due + pause
            return hadFailed ? (.notice, "the credentials can be read again") : nil
        case .failure(let failure):
            let isFirst = state.failures == 0
            state.failure = failure
            state.failures += 1
            state.due = now + Backoff(first: .seconds(1), longest: refresh).pause(after: state.failures)
            guard state.good != nil else { return nil }
            // What was read last counts on, though it is old.
            state.stale = max(state.stale, state.due + refresh)
            return isFirst ? (.warning, "the credentials cannot be read; those read last are used: \(failure)") : nil
        }
    }
}

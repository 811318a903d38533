package import Logging

/// Asks what costs something, a process or a call, only once in a while, and for all callers together.
///
/// What was read is used for `refresh`. After that it is still answered while it is read anew, unless it is older than
/// twice as long; so nobody waits while there is something. When reading fails, what was read last counts on, and
/// reading is tried again after a second, doubling to `refresh`. A caller that is cancelled ends only its own wait.
package final class CredentialCache: Sendable {
    /// What was read, and how long it may be used if that is limited.
    package struct Reading: Sendable {
        package var credentials: [Credential]
        package var life: Duration?

        package init(_ credentials: [Credential], life: Duration? = nil) {
            self.credentials = credentials
            // At least a second, or it would be read again and again.
            self.life = life.map { max($0, .seconds(1)) }
        }
    }

    private typealias Value = RefreshedValue<Reading, CredentialError>

    private let source: String
    private let refresh: Duration
    private let backoff: Backoff
    private let value: Value

    /// - Parameters:
    ///   - source: What the log calls it.
    ///   - refresh: How long what was read is used before it is read again.
    ///   - clock: Measures that.
    ///   - logger: For failures while what was read before is used.
    ///   - read: Must end by itself, in a bounded time.
    package init(
        source: String, refresh: Duration, clock: some Clock<Duration>, logger: Logger?,
        read: @escaping @Sendable () async throws(CredentialError) -> Reading
    ) {
        self.source = source
        self.refresh = refresh
        backoff = Backoff(first: .seconds(1), longest: refresh)
        value = Value(Stopwatch(clock), read: read) { failure, former in
            guard let failure else {
                if former.failures > 0 {
                    logger?.notice("the credentials can be read again", metadata: ["source": "\(source)"])
                }
                return
            }
            guard former.failures == 0, former.value != nil else { return }
            logger?.warning(
                "the credentials cannot be read; those read last are used: \(failure)",
                metadata: ["source": "\(source)"]
            )
        }
    }

    package func credentials() async throws(CredentialError) -> [Credential] {
        let answer: Result<[Credential], CredentialError>
        do {
            answer = try await value.answer(decide)
        } catch {
            throw CredentialError(.unreadable, source: source, message: "the caller did not wait for it")
        }
        return try answer.get()
    }

    private func decide(
        _ known: Value.Knowledge, now: Duration
    ) -> Value.Decision<Result<[Credential], CredentialError>> {
        let end = known.value?.life.map { known.readAt.end + $0 }
        let good = end.map { now >= $0 } == true ? nil : known.value?.credentials
        let (due, stale) = times(known, end)
        let isReading = known.isReading || now >= due
        // What is too old is answered only while it is not being read.
        if let good, now < stale || !isReading { return .answer(.success(good), refreshes: now >= due) }
        if !isReading, let failure = known.failure { return .answer(.failure(failure)) }
        return .wait
    }

    /// When the next reading is due, and when nobody is answered without it.
    private func times(_ known: Value.Knowledge, _ end: Duration?) -> (due: Duration, stale: Duration) {
        var (due, stale) = (Duration.zero, Duration.zero)
        if let value = known.value {
            let pause = min(refresh, value.life.map { $0 * 2 / 3 } ?? refresh)
            // What is not there yet is looked for more often.
            due = known.readAt.end + (value.credentials.isEmpty ? min(pause, .seconds(5)) : pause)
            stale = due + pause
        }
        if known.failures > 0, let endedAt = known.endedAt {
            due = endedAt + backoff.pause(after: known.failures)
            // What was read last counts on, though it is old.
            stale = max(stale, due + refresh)
        }
        // What has ended since is looked for at once.
        if let end, known.endedAt.map({ $0 < end }) ?? true { due = min(due, end) }
        return (due, stale)
    }
}

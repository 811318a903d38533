package import Logging

/// Caches credentials that are expensive to read, such as from a process or a network call, and shares each read among
/// all callers.
///
/// Credentials are used for `refresh` after they were read. After that, they are still returned while a new read is in
/// progress, up to twice that age, so callers do not wait. When a read fails, the last credentials stay in use, and the
/// read is retried after one second, doubling up to `refresh`. A caller that is cancelled ends only its own wait.
package final class CredentialCache: Sendable {
    /// The result of a read, and how long it may be used if that is limited.
    package struct Reading: Sendable {
        package var credentials: [Credential]
        package var life: Duration?

        package init(_ credentials: [Credential], life: Duration? = nil) {
            self.credentials = credentials
            // At least one second, so that it is not read again all the time.
            self.life = life.map { max($0, .seconds(1)) }
        }
    }

    private typealias Value = RefreshedValue<Reading, CredentialError>

    private let source: String
    private let refresh: Duration
    private let backoff: Backoff
    private let value: Value

    /// Creates a cache.
    ///
    /// - Parameters:
    ///   - source: The name of the source in the log.
    ///   - refresh: How long credentials are used before they are read again.
    ///   - clock: Measures the age of the credentials.
    ///   - logger: Receives failures while earlier credentials are used.
    ///   - read: Reads the credentials. It must end by itself, in a bounded time.
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
                "the credentials cannot be read; those read last stay in use: \(failure)",
                metadata: ["source": "\(source)"]
            )
        }
    }

    package func credentials() async throws(CredentialError) -> [Credential] {
        let answer: Result<[Credential], CredentialError>
        do {
            answer = try await value.answer(decide)
        } catch {
            throw CredentialError(.unreadable, source: source, message: "the caller was cancelled while waiting")
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
        // Credentials that are too old are returned only while no read is in progress.
        if let good, now < stale || !isReading { return .answer(.success(good), refreshes: now >= due) }
        if !isReading, let failure = known.failure { return .answer(.failure(failure)) }
        return .wait
    }

    /// Returns when the next read is due, and from when on callers wait for it.
    private func times(_ known: Value.Knowledge, _ end: Duration?) -> (due: Duration, stale: Duration) {
        var (due, stale) = (Duration.zero, Duration.zero)
        if let value = known.value {
            let pause = min(refresh, value.life.map { $0 * 2 / 3 } ?? refresh)
            // Missing credentials are looked for more often.
            due = known.readAt.end + (value.credentials.isEmpty ? min(pause, .seconds(5)) : pause)
            stale = due + pause
        }
        if known.failures > 0, let endedAt = known.endedAt {
            due = endedAt + backoff.pause(after: known.failures)
            // The last credentials stay in use although they are old.
            stale = max(stale, due + refresh)
        }
        // Credentials that have expired since the last read are read again at once.
        if let end, known.endedAt.map({ $0 < end }) ?? true { due = min(due, end) }
        return (due, stale)
    }
}

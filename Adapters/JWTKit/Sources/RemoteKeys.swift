#if JWTSupport
import HTTPTypes
import Logging
import Synchronization
import TokenBroker

/// A JWK set at a URL, kept. However many tokens with invented keys come in, it is fetched once in a while and by one
/// at a time.
///
/// Only the first fetch, and one for a key that is new, is waited for. While keys are known to be down, whoever sets
/// off the next fetch waits for a second at most, and everybody else not at all: it cannot be known.
final class RemoteKeys: KeySource {
    private struct State {
        var keys: KeySet?
        var fetchedAt: Duration = .zero
        var failures = 0
        /// The number of the fetch that is under way or was the last.
        var fetch: UInt64 = 0
        var isFetching = false
        var startedAt: Duration?
        var failedAt: Duration?
        var failure: TokenError.Code?

        /// Until when no fetch is started after the last one failed.
        var rested: Duration? {
            guard failures > 0, let startedAt else { return nil }
            return startedAt + RemoteKeys.rest.pause(after: failures)
        }
    }

    private let url: ServerURL
    private let transport: any HTTPTransport
    private let maximumAge: Duration
    private let alarm: Alarm
    private let logger: Logger
    private let state = Mutex(State())
    private let flights = SingleFlight<UInt64, KeySet>()

    init(url: ServerURL, transport: any HTTPTransport, maximumAge: Duration, alarm: Alarm, logger: Logger) {
        self.url = url
        self.transport = transport
        self.maximumAge = maximumAge
        self.alarm = alarm
        self.logger = logger
    }

    private static let rest = Backoff(first: .seconds(1), longest: .seconds(30))

    struct Unavailable: Error {}

    func keysAtStart() async throws(CredentialError) -> KeySet? { nil }

    func candidates(for token: CompactToken) async throws -> [VerificationKey] {
        let now = alarm.now
        let kept = state.withLock { state in
            state.keys.flatMap { now - state.fetchedAt < maximumAge ? ($0, age: now - state.fetchedAt) : nil }
        }
        if let (keys, age) = kept {
            let candidates = keys.candidates(for: token)
            if !candidates.isEmpty {
                if age >= maximumAge / 4, let fetch = turn(atMostEvery: nil) {
                    Task { try? await self.keys(from: fetch) }
                }
                return candidates
            }
        }
        // The key may be a new one.
        let isFailing = state.withLock { $0.failures > 0 }
        guard let fetch = turn(atMostEvery: kept == nil ? nil : .seconds(30), joining: !isFailing) else {
            if kept == nil || isFailing { throw Unavailable() }
            return []
        }
        guard isFailing else { return try await keys(from: fetch).candidates(for: token) }
        let keys = try await withTimeLimit(.seconds(1), alarm) { try await self.keys(from: fetch) }
        guard let keys else { throw Unavailable() }
        return keys.candidates(for: token)
    }

    /// The number of a fetch to wait for or to start; `nil` if it is not yet time for another.
    /// - Parameters:
    ///   - pause: Between the starts of two; `nil` for the back-off after failures alone.
    ///   - joining: Whether one that is under way will do.
    private func turn(atMostEvery pause: Duration?, joining: Bool = false) -> UInt64? {
        let now = alarm.now
        return state.withLock { state in
            if state.isFetching { return joining ? state.fetch : nil }
            if let rested = state.rested {
                if now < rested { return nil }
            } else if let pause, let startedAt = state.startedAt, now - startedAt < pause {
                return nil
            }
            state.isFetching = true
            state.startedAt = now
            state.fetch += 1
            return state.fetch
        }
    }

    private func keys(from fetch: UInt64) async throws -> KeySet {
        try await flights.value(for: fetch) { [self] in
            // It may have landed since, and must not be done again for somebody who comes late.
            let landed = state.withLock { state in
                state.fetch != fetch || !state.isFetching ? Result { try state.keys ?? { throw Unavailable() }() } : nil
            }
            if let landed { return try landed.get() }
            do {
                let startedAt = alarm.now
                let keys = try await self.fetch()
                state.withLock { state in
                    state.keys = keys
                    state.fetchedAt = startedAt
                    state.failures = 0
                    state.isFetching = false
                }
                return keys
            } catch {
                state.withLock { state in
                    state.failures += 1
                    state.failedAt = alarm.now
                    state.failure = (error as? TransportError)?.code == .timedOut ? .timedOut : .unavailable
                    state.isFetching = false
                }
                let reason = (error as? TransportError)?.description ?? (error as? VerificationKey.Unusable)?.reason
                logger.warning("the keys for tokens cannot be fetched", metadata: ["reason": "\(reason ?? "unknown")"])
                throw error
            }
        }
    }

    private func fetch() async throws -> KeySet {
        let response = try await transport.send(
            url.request(.get, [.accept: "application/jwk-set+json, application/json"]), body: [],
            options: TransportOptions(timeout: .seconds(5), maximumResponseBytes: 256 << 10)
        )
        guard response.status == .ok else {
            throw VerificationKey.Unusable(reason: "the answer has status \(response.status.code)")
        }
        guard let json = try? JSONValue.parse(response.body) else {
            throw VerificationKey.Unusable(reason: "the answer is not JSON with each key once")
        }
        let keys = try await KeySet(jwks: json, allowsSecrets: false) { index, reason in
            logger.info(
                "a key for tokens is passed over", metadata: ["key": "\(index + 1)", "reason": "\(reason)"]
            )
        }
        guard !keys.keys.isEmpty else {
            throw VerificationKey.Unusable(reason: "there is no key for signatures that can be used")
        }
        return keys
    }
}

extension RemoteKeys: LiveChecking {
    var checked: String { "keys for tokens at \(host)" }

    func check() async throws(TokenError) -> String {
        do {
            let count = try await fetch().keys.count
            return count == 1 ? "1 key for signatures" : "\(count) keys for signatures"
        } catch {
            let reason = (error as? VerificationKey.Unusable)?.reason ?? "they cannot be fetched"
            throw TokenError(.unavailable, message: reason, cause: error as? TransportError)
        }
    }

    private var host: String { Authority(url.authority)?.host.description ?? "" }
}

extension RemoteKeys: HealthReporting {
    var part: String { "access_keys" }
    /// The host that publishes the keys.
    var account: String { host }

    func health() async -> Health {
        let now = alarm.now
        return state.withLock { state in
            var health = Health(
                part: part, account: account, state: state.failures > 0 ? .failing : .ok,
                lastSuccess: state.keys.map { _ in now - state.fetchedAt }
            )
            if let failedAt = state.failedAt, let code = state.failure {
                health.lastFailure = Health.Failure(code, ago: now - failedAt)
            }
            health.retryIn = state.rested.map { max(.zero, $0 - now) }
            return health
        }
    }
}
#endif

#if JWTSupport
import HTTPTypes
import Logging
import TokenBroker

/// A cached JWK set from a URL. However many tokens with invented keys arrive, fetches are rate-limited and never
/// overlap.
///
/// Callers wait only for the first fetch, and for one that looks for a new key. While fetches are failing, the caller
/// that triggers the next fetch waits for at most a second. Others do not wait: if the cached keys do not include
/// theirs, they fail with ``Unavailable``.
final class RemoteKeys: KeySource {
    private typealias Value = RefreshedValue<KeySet, any Error>

    private let url: ServerURL
    private let transport: any HTTPTransport
    private let maximumAge: Duration
    private let alarm: Alarm
    private let logger: Logger?
    private let value: Value
    private static let rest = Backoff(first: .seconds(1), longest: .seconds(30))

    init(url: ServerURL, transport: any HTTPTransport, maximumAge: Duration, alarm: Alarm, logger: Logger?) {
        self.url = url
        self.transport = transport
        self.maximumAge = maximumAge
        self.alarm = alarm
        self.logger = logger
        value = Value(alarm.stopwatch) { () async throws(any Error) in
            try await Self.fetch(url, transport, logger)
        } ended: { failure, _ in
            guard let failure else { return }
            let reason = (failure as? VerificationKey.Unusable)?.reason ?? (failure as? any SafeToLog)?.description
            logger?.warning("token verification keys cannot be fetched", metadata: ["reason": "\(reason ?? "unknown")"])
        }
    }

    /// It is currently unknown which keys there are.
    struct Unavailable: Error {}

    func keysAtStart() async throws(CredentialError) -> KeySet? { nil }

    func candidates(for token: CompactToken) async throws -> [VerificationKey] {
        // While fetches are failing, the caller that triggers the next one waits for at most a second.
        guard value.knowledge.failures > 0 else { return try await answer(for: token).get() }
        let answer = try await withTimeLimit(.seconds(1), alarm) { try await self.answer(for: token) }
        guard let answer else { throw Unavailable() }
        return try answer.get()
    }

    private func answer(for token: CompactToken) async throws -> Result<[VerificationKey], Unavailable> {
        try await value.answer { known, now in decide(for: token, known, now) }
    }

    private func decide(
        for token: CompactToken, _ known: Value.Knowledge, _ now: Duration
    ) -> Value.Decision<Result<[VerificationKey], Unavailable>> {
        let age = now - known.readAt.begin
        let kept = age < maximumAge ? known.value : nil
        let mayFetch = restsUntil(known).map { now >= $0 } ?? true
        let candidates = kept?.candidates(for: token) ?? []
        if !candidates.isEmpty {
            return .answer(.success(candidates), refreshes: age >= maximumAge / 4 && mayFetch)
        }
        // The token's key may be a new one.
        if known.failures > 0 {
            return known.isReading || !mayFetch ? .answer(.failure(Unavailable())) : .wait
        }
        if known.isReading || kept == nil { return .wait }
        let isRecent = known.beganAt.map { now - $0 < .seconds(30) } ?? false
        return isRecent ? .answer(.success([])) : .wait
    }

    /// The time until which no fetch begins, after the last one failed.
    private func restsUntil(_ known: Value.Knowledge) -> Duration? {
        guard known.failures > 0, let beganAt = known.beganAt else { return nil }
        return beganAt + Self.rest.pause(after: known.failures)
    }

    private static func fetch(
        _ url: ServerURL, _ transport: any HTTPTransport, _ logger: Logger?
    ) async throws -> KeySet {
        let response = try await transport.send(
            url.request(.get, [.accept: "application/jwk-set+json, application/json"]), body: [],
            options: TransportOptions(timeout: .seconds(5), maximumResponseBytes: 256 << 10)
        )
        guard response.status == .ok else {
            throw VerificationKey.Unusable(reason: "the response has status \(response.status.code)")
        }
        guard let json = try? JSONValue.parse(response.body) else {
            throw VerificationKey.Unusable(reason: "the response is not JSON, or has a duplicate member")
        }
        let keys = try await KeySet(jwks: json, allowsSecrets: false) { index, reason in
            logger?.info(
                "a token verification key is skipped", metadata: ["key": "\(index + 1)", "reason": "\(reason)"]
            )
        }
        guard !keys.keys.isEmpty else {
            throw VerificationKey.Unusable(reason: "there is no usable signature key")
        }
        return keys
    }
}

extension RemoteKeys: LiveChecking {
    var checked: String { "token verification keys at \(host)" }

    func check() async throws(TokenError) -> String {
        do {
            let count = try await Self.fetch(url, transport, logger).keys.count
            return count == 1 ? "1 signature key" : "\(count) signature keys"
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
        let (now, known) = (alarm.now, value.knowledge)
        var health = Health(
            part: part, account: account, state: known.failures > 0 ? .failing : .ok,
            lastSuccess: known.value.map { _ in now - known.readAt.begin }
        )
        if let failure = known.failure, let endedAt = known.endedAt {
            let code: TokenError.Code = (failure as? TransportError)?.code == .timedOut ? .timedOut : .unavailable
            health.lastFailure = Health.Failure(code, ago: now - endedAt)
        }
        health.retryIn = restsUntil(known).map { max(.zero, $0 - now) }
        return health
    }
}
#endif

import Metrics
import Synchronization

/// Tries again what failed in passing.
///
/// - Again: no connection, one that ended early, an answer of 5xx or without sense. Not again: what the server refused or asked to come back
///   for later, what something in front of it answered (``TokenError/isForeign``), a certificate that is not trusted, a cancellation, and
///   what was tried again already below (``TokenError/wasRetried``).
/// - The pause before is random, up to 200 ms before the second attempt and twice that before the third (full jitter).
/// - All requests together have a budget: each success earns a tenth of a retry, ten at most are saved up. During an outage it is soon
///   empty, and retries do not multiply the load.
/// - No attempt begins more than two seconds after the first one, or half the caller's ``TokenDemand/timeout``, since the time is needed
///   for the attempt itself.
public struct RetryingTokenProvider<Upstream: TokenProvider>: TokenProvider, Composite {
    private let upstream: Upstream
    private let attempts: Int
    private let stopwatch: Stopwatch
    private let sleep: @Sendable (Duration) async throws -> Void
    private let chance: @Sendable () -> Double
    private let budget = RetryBudget()
    private let backoff = Backoff(first: .milliseconds(200), longest: .seconds(100))
    private let retries: Counter

    /// - Parameters:
    ///   - upstream: What is tried again.
    ///   - attempts: How often altogether.
    ///   - clock: Measures the pauses.
    public init(_ upstream: Upstream, attempts: Int = 3, clock: some Clock<Duration> = ContinuousClock()) {
        self.init(upstream, attempts: attempts, clock: clock) { Double.random(in: 0..<1) }
    }

    package init(
        _ upstream: Upstream, attempts: Int = 3, clock: some Clock<Duration>,
        chance: @escaping @Sendable () -> Double
    ) {
        self.upstream = upstream
        self.attempts = max(1, attempts)
        self.stopwatch = Stopwatch(clock)
        self.sleep = { try await clock.sleep(for: $0) }
        self.chance = chance
        let reporting = upstream as? any HealthReporting
        self.retries = Counter(
            label: "token_broker_token_retries_total",
            dimensions: [("step", reporting?.part ?? "token"), ("account", reporting?.account ?? "")]
        )
    }

    /// The upstream provider.
    public var components: [any Sendable] { [upstream] }

    /// See ``TokenProvider/token(for:demand:)``.
    public func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        let start = stopwatch.now
        let end = start + min(.seconds(2), demand.timeout.map { $0 / 2 } ?? .seconds(2))
        var attempt = 1
        while true {
            do throws(TokenError) {
                var demand = demand
                demand.timeout = demand.timeout.map { max(.zero, $0 - (stopwatch.now - start)) }
                let token = try await upstream.token(for: request, demand: demand)
                budget.earn()
                return token
            } catch {
                guard mayPass(error) else { throw error }
                var error = error
                error.wasRetried = true
                let pause = backoff.pause(after: attempt) * chance()
                guard attempt < attempts, stopwatch.now + pause < end, budget.spend() else { throw error }
                do {
                    try await sleep(pause)
                } catch {
                    throw TokenError(.cancelled, message: "the caller was cancelled")
                }
                retries.increment()
                attempt += 1
            }
        }
    }

    private func mayPass(_ error: TokenError) -> Bool {
        guard error.code == .unavailable, !error.wasRetried, !error.isForeign, error.retryAfter == nil else {
            return false
        }
        guard let transport = error.cause as? TransportError else { return true }
        return [.resolve, .connect, .closed].contains(transport.code)
    }
}

extension RetryingTokenProvider: HealthReporting where Upstream: HealthReporting {
    /// That of what it stands in front of.
    public var part: String { upstream.part }
    /// That of what it stands in front of.
    public var account: String { upstream.account }
    /// That of what it stands in front of.
    public func health() async -> Health { await upstream.health() }
}

extension TokenProvider {
    /// ``RetryingTokenProvider`` in front of this provider.
    public func retrying(attempts: Int = 3, clock: some Clock<Duration> = ContinuousClock()) -> RetryingTokenProvider<
        Self
    > {
        RetryingTokenProvider(self, attempts: attempts, clock: clock)
    }
}

/// In tenths of a retry.
private final class RetryBudget: Sendable {
    private let tenths = Mutex(100)

    func earn() { tenths.withLock { $0 = min($0 + 1, 100) } }

    func spend() -> Bool {
        tenths.withLock { tenths in
            guard tenths >= 10 else { return false }
            tenths -= 10
            return true
        }
    }
}

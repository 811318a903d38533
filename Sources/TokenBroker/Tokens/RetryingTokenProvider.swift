import Metrics
import Synchronization

/// A decorator that retries transient failures.
///
/// - Retried: no connection, a connection that ended early, a 5xx, and a response that makes no sense. Not retried: a
///   timeout, what the server refused or asked to try later, what something in front of it answered
///   (``TokenError/isForeign``), an untrusted certificate, a cancellation, and what a lower layer has already retried
///   (``TokenError/wasRetried``).
/// - The pause before an attempt is random: up to 200 ms before the second one, and up to twice that before the third
///   (full jitter).
/// - All requests share a budget. Each success earns a tenth of a retry, and at most ten retries are saved up. During
///   an outage the budget is soon empty, so that retries do not multiply the load.
/// - No attempt begins more than two seconds after the first one, or more than half the caller's
///   ``TokenDemand/timeout`` if that is shorter, because the attempt itself needs time.
public struct RetryingTokenProvider<Upstream: TokenProvider>: TokenProvider, Composite {
    private let upstream: Upstream
    private let attempts: Int
    private let stopwatch: Stopwatch
    private let sleep: @Sendable (Duration) async throws -> Void
    private let chance: @Sendable () -> Double
    private let budget = RetryBudget()
    private let backoff = Backoff(first: .milliseconds(200), longest: .seconds(100))
    private let retries: Counter

    /// Creates a retrying provider.
    ///
    /// - Parameters:
    ///   - upstream: The provider whose failures are retried.
    ///   - attempts: The maximum number of attempts, including the first.
    ///   - clock: The clock that measures the pauses.
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
            .retries, [("step", reporting?.part ?? "token"), ("account", reporting?.account ?? "")])
    }

    /// The upstream provider.
    public var components: [any Sendable] { [upstream] }

    /// Returns the upstream provider's token, after retries if they are necessary.
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
    /// The upstream provider's part.
    public var part: String { upstream.part }
    /// The upstream provider's account.
    public var account: String { upstream.account }
    /// Returns the upstream provider's health.
    public func health() async -> Health { await upstream.health() }
}

extension TokenProvider {
    /// Returns a ``RetryingTokenProvider`` that decorates this provider.
    ///
    /// - Parameters:
    ///   - attempts: The maximum number of attempts, including the first.
    ///   - clock: The clock that measures the pauses.
    public func retrying(attempts: Int = 3, clock: some Clock<Duration> = ContinuousClock()) -> RetryingTokenProvider<
        Self
    > {
        RetryingTokenProvider(self, attempts: attempts, clock: clock)
    }
}

/// A budget of retries, counted in tenths of a retry.
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

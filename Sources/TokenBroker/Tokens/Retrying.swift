import Synchronization

/// Tries again what failed in passing.
///
/// - Again: no connection, one that ended early, an answer of 5xx or without sense. Not again: what the server refused or asked to come back
///   for later, a certificate that is not trusted, a cancellation, and what was tried again already below
///   (``TokenError/wasRetried``).
/// - The pause before is random, up to 200 ms before the second attempt and twice that before the third (full jitter).
/// - All requests together have a budget: each success earns a tenth of a retry, ten at most are saved up. During an outage it is soon
///   empty, and retries do not multiply the load.
/// - No attempt begins more than two seconds after the first one, since the callers' time is needed for the attempt itself.
public struct Retrying<Upstream: TokenProvider>: TokenProvider {
    private let upstream: Upstream
    private let attempts: Int
    private let now: @Sendable () -> Duration
    private let sleep: @Sendable (Duration) async throws -> Void
    private let chance: @Sendable () -> Double
    private let budget = RetryBudget()

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
        let origin = clock.now
        self.upstream = upstream
        self.attempts = max(1, attempts)
        self.now = { origin.duration(to: clock.now) }
        self.sleep = { try await clock.sleep(for: $0) }
        self.chance = chance
    }

    /// See ``TokenProvider/token(for:demand:)``; the type tells what is particular.
    public func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        let end = now() + .seconds(2)
        var attempt = 1
        while true {
            do throws(TokenError) {
                let token = try await upstream.token(for: request, demand: demand)
                budget.earn()
                return token
            } catch {
                guard mayPass(error) else { throw error }
                var error = error
                error.wasRetried = true
                let pause = Duration.milliseconds(100) * Double(1 << min(attempt, 10)) * chance()
                guard attempt < attempts, now() + pause < end, budget.spend() else { throw error }
                do {
                    try await sleep(pause)
                } catch {
                    throw TokenError(.cancelled, message: "the caller was cancelled")
                }
                attempt += 1
            }
        }
    }

    private func mayPass(_ error: TokenError) -> Bool {
        guard error.code == .unavailable, !error.wasRetried, error.retryAfter == nil else { return false }
        guard let transport = error.cause as? TransportError else { return true }
        return [.resolve, .connect, .closed].contains(transport.kind)
    }
}

extension TokenProvider {
    /// ``Retrying`` in front of this provider.
    public func retrying(attempts: Int = 3, clock: some Clock<Duration> = ContinuousClock()) -> Retrying<Self> {
        Retrying(self, attempts: attempts, clock: clock)
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

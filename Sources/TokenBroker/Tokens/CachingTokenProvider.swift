import Metrics

/// A decorator that caches tokens and runs one fetch at a time for each request.
///
/// - A token is served until it expires, if its remaining lifetime meets the caller's demand. From about two thirds of
///   its lifetime on, it is renewed in the background. No caller waits for that, and if the renewal fails, the token is
///   still served.
/// - Concurrent callers share one fetch. The fetch belongs to the cache: a caller that is cancelled or times out ends
///   only its own wait. A fetch that takes longer than the fetch timeout is abandoned.
/// - Callers that waited for a fetch share its failure, and so do later callers until the next attempt: after one
///   second, doubling up to 30 seconds, or at the time that the server asked for (``TokenError/retryAfter``). A
///   cancellation is not remembered.
/// - ``TokenDemand/replacing`` discards the cached token if it is exactly that token, and never joins a fetch that
///   could return that token.
/// - A token whose ``Lineage`` is revoked is discarded. A token whose lineage is superseded is served, and renewed in
///   the background, until a token of the new lineage arrives.
///
/// A cache hit does not suspend. `TokenSlot` decides what happens and when; it is pure. This type supplies it with
/// time, randomness, tasks and continuations.
public struct CachingTokenProvider<Upstream: TokenProvider>: TokenProvider, ShutsDown, Composite {
    private let upstream: Upstream
    private let alarm: Alarm
    private let fetchTimeout: Duration
    private let chance: @Sendable () -> Double
    private let cache: TokenCache
    private let metrics: CacheMetrics

    /// Creates a caching provider.
    ///
    /// - Parameters:
    ///   - upstream: The provider that tokens are fetched from.
    ///   - clock: The clock for expiry, timeouts and backoff.
    ///   - maximumEntries: The number of requests that are remembered. Approximately the least recently used one is
    ///     evicted first.
    ///   - fetchTimeout: How long a fetch may take before it counts as failed. The upstream provider receives it as its
    ///     ``TokenDemand/timeout``.
    public init(
        _ upstream: Upstream, clock: some Clock<Duration> = ContinuousClock(), maximumEntries: Int = 10_000,
        fetchTimeout: Duration = .seconds(30)
    ) {
        self.init(upstream, clock: clock, maximumEntries: maximumEntries, fetchTimeout: fetchTimeout) {
            Double.random(in: 0..<1)
        }
    }

    package init(
        _ upstream: Upstream, clock: some Clock<Duration>, maximumEntries: Int = 10_000,
        fetchTimeout: Duration = .seconds(30), chance: @escaping @Sendable () -> Double
    ) {
        self.upstream = upstream
        self.alarm = Alarm(clock)
        self.fetchTimeout = fetchTimeout
        self.chance = chance
        let metrics = CacheMetrics(upstream as? any HealthReporting)
        self.metrics = metrics
        self.cache = TokenCache(maximumEntries: maximumEntries, metrics)
    }

    private var now: Duration { alarm.now }

    /// The upstream provider.
    public var components: [any Sendable] { [upstream] }

    /// Returns a cached token that meets the demand, or waits for a fetch.
    public func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        if let token = cachedToken(for: request, demand: demand) { return token }
        metrics.misses.increment()
        let waiter = cache.newWaiter()
        let limit = demand.timeout.map { timeout in
            alarm.schedule(after: timeout) { [cache] in
                cache.leave(waiter, request, TokenError(.timedOut, message: "no token within the caller's timeout"))
            }
        }
        defer { if let limit { alarm.cancel(limit) } }
        let result: Result<Token, TokenError> = await suspended { continuation in
            perform(cache.ask(request, demand, waiter, continuation, now: now, chance: chance()), request, demand)
        } onCancel: { [cache] in
            cache.leave(waiter, request, TokenError(.cancelled, message: "the caller was cancelled"))
        }
        return try result.get()
    }

    /// Returns the token that ``token(for:demand:)`` would return without waiting; `nil` if there is none.
    ///
    /// The method never waits. A renewal that is due runs in the background.
    ///
    /// - Parameters:
    ///   - request: The request for the token.
    ///   - demand: The demand that the token must meet.
    public func cachedToken(for request: TokenRequest, demand: TokenDemand = TokenDemand()) -> Token? {
        guard let (token, isDue) = cache.served(request, demand, now: now) else { return nil }
        metrics.hits.increment()
        if isDue { perform(cache.handle(.due(demand), request, now: now, chance: chance()), request, demand) }
        return token
    }

    /// Renews the tokens whose line is superseded, in the background.
    ///
    /// A token of a superseded line is renewed when it is used next. Call this every few seconds to renew the tokens
    /// that nobody uses at the moment, too. In a fleet, other processes share tokens of the new line soon after a
    /// rotation, and from then on this process should not use one of the old line.
    public func renewSuperseded() {
        for request in cache.superseded() {
            let demand = TokenDemand()
            perform(cache.handle(.due(demand), request, now: now, chance: chance()), request, demand)
        }
    }

    /// Ends all fetches, and returns when they have ended. Cached tokens are still served until they expire.
    public func shutdown() async {
        let (steps, running) = cache.shutDown(now: now)
        for step in steps { step.resume() }
        for running in running {
            alarm.cancel(running.limit)
            running.fetch.cancel()
        }
        await cache.drained()
    }

    private func perform(_ steps: [TokenCache.Step], _ request: TokenRequest, _ demand: TokenDemand) {
        for step in steps {
            switch step {
            case .resume: step.resume()
            case .fetch(let flight, let replacing):
                fetch(
                    request,
                    TokenDemand(
                        minimumRemaining: demand.minimumRemaining, replacing: replacing, timeout: fetchTimeout
                    ),
                    flight
                )
            }
        }
    }

    /// Starts a fetch. It is not a child of the caller's task, because other callers may come to wait for it.
    private func fetch(_ request: TokenRequest, _ demand: TokenDemand, _ flight: TokenSlot.FlightID) {
        let fetch = Task {
            do throws(TokenError) {
                land(flight, request, demand, .success(try await upstream.token(for: request, demand: demand)))
            } catch {
                land(flight, request, demand, .failure(error))
            }
            cache.fetchEnded()
        }
        // The timeout lands in the fetch's place, so that a fetch that ignores its cancellation holds up no caller.
        let limit = alarm.schedule(after: fetchTimeout) {
            land(flight, request, demand, .failure(TokenError(.timedOut, message: "the fetch took too long")))
            fetch.cancel()
        }
        if !cache.add(fetch, limit, flight, request) {
            alarm.cancel(limit)
            fetch.cancel()
        }
    }

    private func land(
        _ flight: TokenSlot.FlightID, _ request: TokenRequest, _ demand: TokenDemand,
        _ result: Result<Token, TokenError>
    ) {
        let (steps, limit) = cache.land(flight, request, result, now: now, chance: chance())
        if let limit { alarm.cancel(limit) }
        perform(steps, request, demand)
    }
}

/// A cache of tokens, whatever it decorates.
package protocol TokenCaching: TokenProvider, HealthReporting {
    func renewSuperseded()
}

extension CachingTokenProvider: TokenCaching where Upstream: HealthReporting {}

extension CachingTokenProvider: HealthReporting where Upstream: HealthReporting {
    /// The upstream provider's part.
    public var part: String { upstream.part }
    /// The upstream provider's account.
    public var account: String { upstream.account }

    /// Returns the upstream provider's health with the remaining lifetime of the longest-lived cached token. Unless the
    /// provider knows it, the cache adds the time until the next attempt, after a failure that is not about one request
    /// only.
    public func health() async -> Health {
        var health = await upstream.health()
        let now = now
        let (held, last, retry) = cache.ends(now: now)
        health.holdsToken = held != nil
        // A revoked token counts as expired, whenever it would have expired.
        health.expiresIn = held.map { $0 - now } ?? last.map { min(.zero, $0 - now) }
        health.retryIn = health.retryIn ?? retry.flatMap { $0 > now ? $0 - now : nil }
        if let left = health.expiresIn { metrics.expiry.set(left / .seconds(1)) }
        return health
    }
}

extension TokenProvider {
    /// Returns a ``CachingTokenProvider`` that decorates this provider.
    ///
    /// - Parameters:
    ///   - clock: The clock for expiry, timeouts and backoff.
    ///   - maximumEntries: The number of requests that are remembered.
    ///   - fetchTimeout: How long a fetch may take before it counts as failed.
    public func caching(
        clock: some Clock<Duration> = ContinuousClock(), maximumEntries: Int = 10_000,
        fetchTimeout: Duration = .seconds(30)
    ) -> CachingTokenProvider<Self> {
        CachingTokenProvider(self, clock: clock, maximumEntries: maximumEntries, fetchTimeout: fetchTimeout)
    }
}

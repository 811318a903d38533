import Metrics

/// Keeps tokens and hands them out again, with one fetch at a time per request.
///
/// - A token is served to its end, as long as it has the life that the caller demands. From about two thirds of its life on it is
///   renewed in the background; nobody waits for that, and if it fails the token goes on being served.
/// - However many callers ask at once, there is one fetch. It belongs to the cache: a caller that is cancelled or runs out of timeout
///   ends only its own wait. A fetch that takes longer than the limit is given up on.
/// - Those who waited for a fetch share its failure, and so do those who come until it is worth trying again: after one second,
///   doubling to thirty, or when the server said (``TokenError/retryAfter``). A cancellation is nobody else's failure.
/// - ``TokenDemand/replacing`` drops the cached token if it is that very one, and never joins a fetch that was started without it.
/// - A token whose ``Lineage`` is revoked is gone; one whose line is superseded is served and renewed behind, until a token of the new
///   line is there.
///
/// A cache hit does not suspend inside. What is decided, and when, is in `TokenSlot`, which is pure; this type supplies it with time,
/// chance, tasks and continuations.
public struct CachingTokenProvider<Upstream: TokenProvider>: TokenProvider, ShutsDown, Composite {
    private let upstream: Upstream
    private let alarm: Alarm
    private let fetchTimeout: Duration
    private let chance: @Sendable () -> Double
    private let cache: TokenCache
    private let metrics: CacheMetrics

    /// - Parameters:
    ///   - upstream: Where tokens come from.
    ///   - clock: Time for expiry, timeout and back-off.
    ///   - maximumEntries: How many requests are remembered. Those not used for longest go first, about.
    ///   - fetchTimeout: How long a fetch may take before it counts as failed. What is below is told as its
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

    /// See ``TokenProvider/token(for:demand:)``; the type tells what is particular.
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

    /// The token that ``token(for:demand:)`` would hand out without a wait; `nil` if there is none. It never waits, not even for a
    /// renewal that is due, which goes on behind.
    public func cachedToken(for request: TokenRequest, demand: TokenDemand = TokenDemand()) -> Token? {
        guard let (token, isDue) = cache.served(request, demand, now: now) else { return nil }
        metrics.hits.increment()
        if isDue { perform(cache.handle(.due(demand), request, now: now, chance: chance()), request, demand) }
        return token
    }

    /// Ends all fetches and waits until they have ended. Tokens that are kept go on being served to their end.
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

    /// Not a child of the caller's task, because others may come to wait for it.
    private func fetch(_ request: TokenRequest, _ demand: TokenDemand, _ flight: TokenSlot.FlightID) {
        let fetch = Task {
            do throws(TokenError) {
                land(flight, request, demand, .success(try await upstream.token(for: request, demand: demand)))
            } catch {
                land(flight, request, demand, .failure(error))
            }
            cache.fetchEnded()
        }
        // Lands in the fetch's place, so that one that does not even end when it is cancelled holds up nobody.
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

extension CachingTokenProvider: HealthReporting where Upstream: HealthReporting {
    /// That of what it stands in front of.
    public var part: String { upstream.part }
    /// That of what it stands in front of.
    public var account: String { upstream.account }

    /// With the life of the longest-lived token that it holds, and how long it is until the next attempt after a failure.
    public func health() async -> Health {
        var health = await upstream.health()
        let now = now
        let (held, last, retry) = cache.ends(now: now)
        health.holdsToken = held != nil
        // One that was revoked is over, whenever it would have ended.
        health.expiresIn = held.map { $0 - now } ?? last.map { min(.zero, $0 - now) }
        health.retryIn = retry.flatMap { $0 > now ? $0 - now : nil }
        if let left = health.expiresIn { metrics.expiry.set(left / .seconds(1)) }
        return health
    }
}

extension TokenProvider {
    /// ``CachingTokenProvider`` in front of this provider.
    public func caching(
        clock: some Clock<Duration> = ContinuousClock(), maximumEntries: Int = 10_000,
        fetchTimeout: Duration = .seconds(30)
    ) -> CachingTokenProvider<Self> {
        CachingTokenProvider(self, clock: clock, maximumEntries: maximumEntries, fetchTimeout: fetchTimeout)
    }
}

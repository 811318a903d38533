import Metrics
import Synchronization

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

/// What a cache tells swift-metrics.
private struct CacheMetrics: Sendable {
    let hits: Counter
    let misses: Counter
    let evictions: Counter
    let entries: Meter
    let expiry: Meter

    init(_ upstream: (any HealthReporting)?) {
        let dimensions = [("step", upstream?.part ?? "token"), ("account", upstream?.account ?? "")]
        let lookups = "token_broker_cache_lookups_total"
        hits = Counter(label: lookups, dimensions: dimensions + [("result", "hit")])
        misses = Counter(label: lookups, dimensions: dimensions + [("result", "miss")])
        evictions = Counter(label: "token_broker_cache_evictions_total", dimensions: dimensions)
        entries = Meter(label: "token_broker_cache_entries", dimensions: dimensions)
        expiry = Meter(label: "token_broker_token_expiry_seconds", dimensions: dimensions)
    }
}

/// The slots of all requests, and who waits and works for them. Every method is one step under the lock, and neither suspends nor
/// calls out other than to metrics.
private final class TokenCache: Sendable {
    typealias Waiting = CheckedContinuation<Result<Token, TokenError>, Never>

    enum Step {
        case resume(Waiting, Result<Token, TokenError>)
        case fetch(TokenSlot.FlightID, replacing: Token.ID?)

        func resume() {
            if case .resume(let continuation, let result) = self { continuation.resume(returning: result) }
        }
    }

    typealias Running = (fetch: Task<Void, Never>, limit: Alarm.ID)

    private struct FlightKey: Hashable {
        var request: TokenRequest
        var flight: TokenSlot.FlightID
    }

    private struct State {
        var slots: SlotTable
        var waiting = Waiters<Result<Token, TokenError>>()
        var running: [FlightKey: Running] = [:]
        /// Fetches that were begun and have not ended, those that were given up on included.
        var fetches = 0
        var draining: [CheckedContinuation<Void, Never>] = []
        /// The end of the token that landed last, and when it is worth trying again after the failure that did.
        var last: (end: Duration?, retry: Duration?)
        var isShutDown = false
    }

    private let state: Mutex<State>
    private let lastWaiter = Atomic<TokenSlot.WaiterID>(0)
    private let metrics: CacheMetrics

    init(maximumEntries: Int, _ metrics: CacheMetrics) {
        self.state = Mutex(State(slots: SlotTable(maximumCount: max(1, maximumEntries))))
        self.metrics = metrics
    }

    /// When the longest-lived token ends that it holds, when the one that landed last would, and when the next attempt is.
    func ends(now: Duration) -> (held: Duration?, last: Duration?, retry: Duration?) {
        state.withLock { ($0.slots.longestEnd(now: now), $0.last.end, $0.last.retry) }
    }

    func newWaiter() -> TokenSlot.WaiterID { lastWaiter.add(1, ordering: .relaxed).newValue }

    func served(_ request: TokenRequest, _ demand: TokenDemand, now: Duration) -> (token: Token, isDue: Bool)? {
        state.withLock { state in
            guard var served = state.slots.served(request, demand, now: now) else { return nil }
            if state.isShutDown { served.isDue = false }
            return served
        }
    }

    /// Registers the waiter before anything can suspend.
    func ask(
        _ request: TokenRequest, _ demand: TokenDemand, _ waiter: TokenSlot.WaiterID, _ continuation: Waiting,
        now: Duration, chance: Double
    ) -> [Step] {
        state.withLock { state in
            guard !state.isShutDown, state.waiting.add(waiter, continuation) else {
                let reason = state.isShutDown ? "the broker is shutting down" : "the caller was cancelled"
                return [.resume(continuation, .failure(TokenError(.cancelled, message: reason)))]
            }
            return handle(.asked(waiter, demand), request, now: now, chance: chance, &state)
        }
    }

    func handle(_ event: TokenSlot.Event, _ request: TokenRequest, now: Duration, chance: Double) -> [Step] {
        state.withLock { state in
            state.isShutDown ? [] : handle(event, request, now: now, chance: chance, &state)
        }
    }

    private func handle(
        _ event: TokenSlot.Event, _ request: TokenRequest, now: Duration, chance: Double, _ state: inout State
    ) -> [Step] {
        let (place, evicted) = state.slots.place(for: request, now: now)
        if evicted { metrics.evictions.increment() }
        return state.slots[place].handle(event, now: now, chance: chance).compactMap { action in
            switch action {
            case .fetch(let flight, let replacing):
                state.fetches += 1
                return .fetch(flight, replacing: replacing)
            case .answer(let waiter, let result):
                return state.waiting.remove(waiter).map { .resume($0, result) }
            }
        }
    }

    /// Ends the wait of one caller; the fetch goes on.
    func leave(_ waiter: TokenSlot.WaiterID, _ request: TokenRequest, _ error: TokenError) {
        let continuation = state.withLock { state in
            let continuation = state.waiting.remove(waiter)
            if continuation != nil, let place = state.slots.place(of: request) {
                _ = state.slots[place].handle(.left(waiter), now: .zero, chance: 0)
            }
            return continuation
        }
        continuation?.resume(returning: .failure(error))
    }

    /// Remembers what works for a flight.
    /// - Returns: Whether anybody still wants it; it may have landed already, or the cache was shut down.
    func add(
        _ fetch: Task<Void, Never>, _ limit: Alarm.ID, _ flight: TokenSlot.FlightID, _ request: TokenRequest
    ) -> Bool {
        state.withLock { state in
            guard !state.isShutDown, let place = state.slots.place(of: request),
                state.slots[place].flights.contains(where: { $0.id == flight })
            else { return false }
            state.running[FlightKey(request: request, flight: flight)] = (fetch, limit)
            return true
        }
    }

    func land(
        _ flight: TokenSlot.FlightID, _ request: TokenRequest, _ result: Result<Token, TokenError>, now: Duration,
        chance: Double
    ) -> (steps: [Step], limit: Alarm.ID?) {
        state.withLock { state in
            let running = state.running.removeValue(forKey: FlightKey(request: request, flight: flight))
            guard let place = state.slots.place(of: request) else { return ([], running?.limit) }
            let steps = handle(.landed(flight, result), request, now: now, chance: chance, &state)
            state.last = (state.slots[place].kept?.end ?? state.last.end, state.slots[place].failure?.until)
            metrics.entries.set(state.slots.count)
            return (steps, running?.limit)
        }
    }

    func fetchEnded() {
        let draining = state.withLock { state in
            state.fetches -= 1
            guard state.fetches == 0 else { return [CheckedContinuation<Void, Never>]() }
            defer { state.draining = [] }
            return state.draining
        }
        for continuation in draining { continuation.resume() }
    }

    /// Until no fetch is under way.
    func drained() async {
        await withCheckedContinuation { continuation in
            let isDrained = state.withLock { state in
                if state.fetches > 0 { state.draining.append(continuation) }
                return state.fetches == 0
            }
            if isDrained { continuation.resume() }
        }
    }

    func shutDown(now: Duration) -> (steps: [Step], running: [Running]) {
        state.withLock { state in
            state.isShutDown = true
            let steps = state.slots.requestsWithFlights.flatMap {
                handle(.shutDown, $0, now: now, chance: 0, &state)
            }
            defer { state.running = [:] }
            return (steps, Array(state.running.values))
        }
    }
}

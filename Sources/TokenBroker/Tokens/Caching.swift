import Synchronization

/// Keeps tokens and hands them out again, with one fetch at a time per request.
///
/// - A token is served to its end, as long as it has the life that the caller demands. From about two thirds of its life on it is
///   renewed in the background; nobody waits for that, and if it fails the token goes on being served.
/// - However many callers ask at once, there is one fetch. It belongs to the cache: a caller that is cancelled or runs out of patience
///   ends only its own wait. A fetch that takes longer than the limit is given up on.
/// - Those who waited for a fetch share its failure, and so do those who come until it is worth trying again: after one second,
///   doubling to thirty, or when the server said (``TokenError/retryAfter``). A cancellation is nobody else's failure.
/// - ``TokenDemand/insteadOf`` drops the cached token if it is that very one, and never joins a fetch that was started without it.
/// - A token whose ``Lineage`` is revoked is gone; one whose line is superseded is served and renewed behind.
///
/// A cache hit does not suspend inside. What is decided, and when, is in `TokenSlot`, which is pure; this type supplies it with time,
/// chance, tasks and continuations.
public struct Caching<Upstream: TokenProvider>: TokenProvider {
    private let upstream: Upstream
    private let alarm: Alarm
    private let fetchLimit: Duration
    private let chance: @Sendable () -> Double
    private let cache: TokenCache

    /// - Parameters:
    ///   - upstream: Where tokens come from.
    ///   - clock: Time for expiry, patience and back-off.
    ///   - maximumEntries: How many requests are remembered. Those not used for longest go first, about.
    ///   - fetchLimit: How long a fetch may take before it counts as failed.
    public init(
        _ upstream: Upstream, clock: some Clock<Duration> = ContinuousClock(), maximumEntries: Int = 10_000,
        fetchLimit: Duration = .seconds(30)
    ) {
        self.init(upstream, clock: clock, maximumEntries: maximumEntries, fetchLimit: fetchLimit) {
            Double.random(in: 0..<1)
        }
    }

    package init(
        _ upstream: Upstream, clock: some Clock<Duration>, maximumEntries: Int = 10_000,
        fetchLimit: Duration = .seconds(30), chance: @escaping @Sendable () -> Double
    ) {
        self.upstream = upstream
        self.alarm = Alarm(clock)
        self.fetchLimit = fetchLimit
        self.chance = chance
        self.cache = TokenCache(maximumEntries: maximumEntries)
    }

    private var now: Duration { alarm.now }

    /// See ``TokenProvider/token(for:demand:)``; the type tells what is particular.
    public func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        if let (token, isDue) = cache.served(request, demand, now: now) {
            if isDue { perform(cache.handle(.due, request, now: now, chance: chance()), request, demand) }
            return token
        }
        let waiter = cache.newWaiter()
        let limit = demand.patience.map { patience in
            alarm.schedule(after: patience) { [cache] in
                cache.leave(waiter, request, TokenError(.timedOut, message: "no token within the caller's patience"))
            }
        }
        defer { if let limit { alarm.cancel(limit) } }
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                perform(
                    cache.ask(request, demand, waiter, continuation, now: now, chance: chance()), request, demand
                )
            }
        } onCancel: {
            cache.leave(waiter, request, TokenError(.cancelled, message: "the caller was cancelled"))
        }
        return try result.get()
    }

    /// Ends all fetches and waits until they have ended. Tokens that are kept go on being served to their end.
    public func shutdown() async {
        let (steps, running) = cache.shutDown(now: now)
        for step in steps { step.resume() }
        for running in running {
            alarm.cancel(running.limit)
            running.fetch.cancel()
        }
        for running in running { await running.fetch.value }
    }

    private func perform(_ steps: [TokenCache.Step], _ request: TokenRequest, _ demand: TokenDemand) {
        for step in steps {
            switch step {
            case .resume: step.resume()
            case .fetch(let flight, let insteadOf):
                fetch(
                    request, TokenDemand(minimumRemaining: demand.minimumRemaining, insteadOf: insteadOf), flight)
            }
        }
    }

    /// Not a child of the caller's task, because others may come to wait for it.
    private func fetch(_ request: TokenRequest, _ demand: TokenDemand, _ flight: TokenSlot.FlightID) {
        let fetch = Task {
            do throws(TokenError) {
                land(flight, request, .success(try await upstream.token(for: request, demand: demand)))
            } catch {
                land(flight, request, .failure(error))
            }
        }
        // Lands in the fetch's place, so that one that does not even end when it is cancelled holds up nobody.
        let limit = alarm.schedule(after: fetchLimit) {
            land(flight, request, .failure(TokenError(.timedOut, message: "the fetch took too long")))
            fetch.cancel()
        }
        if !cache.add(fetch, limit, flight, request) {
            alarm.cancel(limit)
            fetch.cancel()
        }
    }

    private func land(_ flight: TokenSlot.FlightID, _ request: TokenRequest, _ result: Result<Token, TokenError>) {
        // Nothing of what follows a landing is a fetch.
        let (steps, limit) = cache.land(flight, request, result, now: now, chance: chance())
        if let limit { alarm.cancel(limit) }
        for step in steps { step.resume() }
    }
}

extension TokenProvider {
    /// ``Caching`` in front of this provider.
    public func caching(
        clock: some Clock<Duration> = ContinuousClock(), maximumEntries: Int = 10_000
    ) -> Caching<Self> {
        Caching(self, clock: clock, maximumEntries: maximumEntries)
    }
}

/// The slots of all requests, and who waits and works for them. Every method is one step under the lock and neither suspends nor
/// calls out.
private final class TokenCache: Sendable {
    typealias Waiting = CheckedContinuation<Result<Token, TokenError>, Never>

    enum Step {
        case resume(Waiting, Result<Token, TokenError>)
        case fetch(TokenSlot.FlightID, insteadOf: Token.ID?)

        func resume() {
            if case .resume(let continuation, let result) = self { continuation.resume(returning: result) }
        }
    }

    typealias Running = (fetch: Task<Void, Never>, limit: Alarm.ID)

    private struct Entry {
        var slot: TokenSlot
        /// Since the last look for something to drop.
        var wasUsed = true
    }

    private struct FlightKey: Hashable {
        var request: TokenRequest
        var flight: TokenSlot.FlightID
    }

    private struct State {
        var entries: [TokenRequest: Entry] = [:]
        /// Every request that has an entry, once; from `first` on. What was used goes to the end when it is looked at.
        var order: [TokenRequest] = []
        var first = 0
        var waiting: [TokenSlot.WaiterID: Waiting] = [:]
        var running: [FlightKey: Running] = [:]
        var lastWaiter: TokenSlot.WaiterID = 0
        /// Of the slots that were dropped: what they gave up on may land yet, and must not be taken for another's.
        var lastFlight: TokenSlot.FlightID = 0
        var isShutDown = false
    }

    private let maximumEntries: Int
    private let state = Mutex(State())

    init(maximumEntries: Int) { self.maximumEntries = max(1, maximumEntries) }

    func newWaiter() -> TokenSlot.WaiterID {
        state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
    }

    func served(_ request: TokenRequest, _ demand: TokenDemand, now: Duration) -> (token: Token, isDue: Bool)? {
        state.withLock { state in
            guard let served = state.entries[request]?.slot.served(demand, now: now) else { return nil }
            state.entries[request]?.wasUsed = true
            return (served.token, served.isDue && !state.isShutDown)
        }
    }

    /// Registers the waiter before anything can suspend.
    func ask(
        _ request: TokenRequest, _ demand: TokenDemand, _ waiter: TokenSlot.WaiterID, _ continuation: Waiting,
        now: Duration, chance: Double
    ) -> [Step] {
        state.withLock { state in
            // The cancellation handler may have run already, and found nobody to wake.
            guard !Task.isCancelled, !state.isShutDown else {
                let reason = state.isShutDown ? "the broker is shutting down" : "the caller was cancelled"
                return [.resume(continuation, .failure(TokenError(.cancelled, message: reason)))]
            }
            state.waiting[waiter] = continuation
            return handle(.asked(waiter, demand), request, now: now, chance: chance, &state)
        }
    }

    func handle(_ event: TokenSlot.Event, _ request: TokenRequest, now: Duration, chance: Double) -> [Step] {
        state.withLock { handle(event, request, now: now, chance: chance, &$0) }
    }

    private func handle(
        _ event: TokenSlot.Event, _ request: TokenRequest, now: Duration, chance: Double, _ state: inout State
    ) -> [Step] {
        if state.entries[request] == nil {
            drop(from: &state, now: now)
            state.order.append(request)
        }
        let new = Entry(slot: TokenSlot(lastFlight: state.lastFlight))
        return state.entries[request, default: new].slot.handle(event, now: now, chance: chance)
            .compactMap { action in
                switch action {
                case .fetch(let flight, let insteadOf): .fetch(flight, insteadOf: insteadOf)
                case .answer(let waiter, let result):
                    state.waiting.removeValue(forKey: waiter).map { .resume($0, result) }
                }
            }
    }

    /// Ends the wait of one caller; the fetch goes on.
    func leave(_ waiter: TokenSlot.WaiterID, _ request: TokenRequest, _ error: TokenError) {
        let continuation = state.withLock { state in
            let continuation = state.waiting.removeValue(forKey: waiter)
            if continuation != nil { _ = state.entries[request]?.slot.handle(.left(waiter), now: .zero, chance: 0) }
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
            let isThere = state.entries[request]?.slot.flights.contains { $0.id == flight } ?? false
            guard isThere, !state.isShutDown else { return false }
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
            guard state.entries[request] != nil else { return ([], running?.limit) }
            return (handle(.landed(flight, result), request, now: now, chance: chance, &state), running?.limit)
        }
    }

    func shutDown(now: Duration) -> (steps: [Step], running: [Running]) {
        state.withLock { state in
            state.isShutDown = true
            let requests = state.entries.filter { !$0.value.slot.flights.isEmpty }.keys
            let steps = requests.flatMap { handle(.shutDown, $0, now: now, chance: 0, &state) }
            defer { state.running = [:] }
            return (steps, Array(state.running.values))
        }
    }

    /// Makes room: drops what is over and, beyond the limit, what was not used since it was last looked at. What is being fetched
    /// stays. A constant number of steps for each request added, on average.
    private func drop(from state: inout State, now: Duration) {
        // Twice around at most; if everything is being fetched, the limit gives way.
        for _ in 0..<(2 * state.entries.count) {
            let isFull = state.entries.count >= maximumEntries
            guard state.first < state.order.count else { break }
            let request = state.order[state.first]
            guard let entry = state.entries[request] else { break }
            if entry.slot.isIdle(now: now) || (isFull && !entry.wasUsed && entry.slot.flights.isEmpty) {
                state.lastFlight = max(state.lastFlight, entry.slot.lastFlight)
                state.entries[request] = nil
            } else if isFull {
                state.entries[request]?.wasUsed = false
                state.order.append(request)
            } else {
                break
            }
            state.first += 1
        }
        if state.first > 64, state.first > state.order.count / 2 {
            state.order.removeFirst(state.first)
            state.first = 0
        }
    }
}

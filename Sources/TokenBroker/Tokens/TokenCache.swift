import Metrics
import Synchronization

/// The slots of all requests, with the callers that wait and the fetches that run for them.
///
/// Every method but ``drained()`` takes one step under the lock. It neither suspends nor calls anything except metrics.
final class TokenCache: Sendable {
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
        /// The number of fetches that began and have not ended, including abandoned ones.
        var fetches = 0
        var draining: [CheckedContinuation<Void, Never>] = []
        /// The expiry of the token that landed last, and the time of the next attempt after the failure that landed
        /// last.
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

    /// Returns the expiry of the longest-lived cached token, the expiry of the token that landed last, and the time of
    /// the next attempt.
    func ends(now: Duration) -> (held: Duration?, last: Duration?, retry: Duration?) {
        state.withLock { ($0.slots.longestEnd(now: now), $0.last.end, $0.last.retry) }
    }

    /// Returns the requests whose token is of a superseded line.
    func superseded() -> [TokenRequest] { state.withLock { $0.slots.requestsOfSupersededTokens } }

    func newWaiter() -> TokenSlot.WaiterID { lastWaiter.add(1, ordering: .relaxed).newValue }

    func served(_ request: TokenRequest, _ demand: TokenDemand, now: Duration) -> (token: Token, isDue: Bool)? {
        state.withLock { state in
            guard var served = state.slots.served(request, demand, now: now) else { return nil }
            if state.isShutDown { served.isDue = false }
            return served
        }
    }

    /// Asks for a token. Registers the waiter before anything can suspend.
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

    /// Ends the wait of one caller. The fetch goes on.
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

    /// Records the task and the time limit of a flight.
    /// - Returns: `false` if the flight is no longer wanted, because it has already landed or the cache was shut down.
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
            let slot = state.slots[place]
            // A rejected request says nothing about the next attempt for other requests.
            let failure = slot.failure?.error.code == .requestRejected ? nil : slot.failure
            state.last = (slot.kept?.end ?? state.last.end, failure?.until)
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

    /// Waits until no fetch is under way.
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
            return (steps, state.running.values.sorted { $0.limit < $1.limit })
        }
    }
}

/// The metrics of a cache.
struct CacheMetrics: Sendable {
    let hits: Counter
    let misses: Counter
    let evictions: Counter
    let entries: Meter
    let expiry: Meter

    init(_ upstream: (any HealthReporting)?) {
        let dimensions = [("step", upstream?.part ?? "token"), ("account", upstream?.account ?? "")]
        hits = Counter(.cacheLookups, dimensions + [("result", "hit")])
        misses = Counter(.cacheLookups, dimensions + [("result", "miss")])
        evictions = Counter(.cacheEvictions, dimensions)
        entries = Meter(.cacheEntries, dimensions)
        expiry = Meter(.tokenExpiry, dimensions)
    }
}

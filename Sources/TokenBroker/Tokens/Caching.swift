import Synchronization

/// Keeps tokens and hands them out again, with one fetch at a time per request.
///
/// - A token is served until a margin before its end: 60 seconds, or half of its life if that is less.
/// - However many callers ask at once, there is one fetch. It belongs to the cache: a caller that is cancelled or runs out of patience
///   ends only its own wait.
/// - Those who waited for a fetch share its failure; it is not kept, and the next caller starts anew.
/// - ``TokenDemand/insteadOf`` drops the cached token if it is that very one, and never joins a fetch that was started without it.
/// - A cached token whose ``Lineage`` is revoked or superseded is not served.
///
/// A cache hit does not suspend inside.
public struct Caching<Upstream: TokenProvider, C: Clock>: TokenProvider where C.Duration == Duration {
    private let upstream: Upstream
    private let clock: C
    private let cache: TokenCache<C.Instant>

    /// - Parameters:
    ///   - upstream: Where tokens come from.
    ///   - clock: Time for expiry and patience.
    ///   - maximumEntries: How many tokens are kept; the oldest go first.
    public init(_ upstream: Upstream, clock: C = ContinuousClock(), maximumEntries: Int = 10_000) {
        self.upstream = upstream
        self.clock = clock
        self.cache = TokenCache(maximumEntries: maximumEntries)
    }

    /// See ``TokenProvider/token(for:demand:)``; the type tells what is particular.
    public func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        if let token = cache.hit(request, demand, now: clock.now) { return token }
        let waiter = cache.newWaiter()
        let timer = demand.patience.map { patience in
            Task {
                try await clock.sleep(for: patience)
                cache.leave(waiter, request, TokenError(.timedOut, message: "no token within the caller's patience"))
            }
        }
        defer { timer?.cancel() }
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                switch cache.join(request, demand, waiter, continuation, now: clock.now) {
                case .answered(let result): continuation.resume(returning: result)
                case .waiting: break
                case .fetch(let flight): fetch(request, demand, flight)
                }
            }
        } onCancel: {
            cache.leave(waiter, request, TokenError(.cancelled, message: "the caller was cancelled"))
        }
        return try result.get()
    }

    /// Not a child of the caller's task, because others may come to wait for it. It ends with the upstream's own limits.
    private func fetch(_ request: TokenRequest, _ demand: TokenDemand, _ flight: FlightID) {
        Task {
            let result: Result<Token, TokenError>
            do throws(TokenError) {
                let shared = TokenDemand(minimumRemaining: demand.minimumRemaining, insteadOf: demand.insteadOf)
                result = .success(try await upstream.token(for: request, demand: shared))
            } catch {
                result = .failure(error)
            }
            for continuation in cache.land(flight, request, result, now: clock.now) {
                continuation.resume(returning: result)
            }
        }
    }
}

extension TokenProvider {
    /// ``Caching`` in front of this provider.
    public func caching<C: Clock>(
        clock: C = ContinuousClock(), maximumEntries: Int = 10_000
    ) -> Caching<Self, C> where C.Duration == Duration {
        Caching(self, clock: clock, maximumEntries: maximumEntries)
    }
}

private typealias Waiting = CheckedContinuation<Result<Token, TokenError>, Never>
private typealias FlightID = UInt64
private typealias WaiterID = UInt64

/// The cache's memory. Every method is one step under the lock and neither suspends nor calls out.
private final class TokenCache<Instant: InstantProtocol>: Sendable where Instant.Duration == Duration {
    private let maximumEntries: Int
    private let state = Mutex(State())

    private struct State {
        var entries: [TokenRequest: Entry] = [:]
        /// Requests in the order in which their tokens were stored, for dropping the oldest; `firstStored` is where it begins.
        var stored: [(request: TokenRequest, flight: FlightID)] = []
        var firstStored = 0
        var flights: [TokenRequest: [Flight]] = [:]
        var lastID: UInt64 = 0

        mutating func nextID() -> UInt64 {
            lastID += 1
            return lastID
        }
    }

    private struct Entry {
        var token: Token
        var end: Instant
        var lifetime: Duration
        /// The fetch that brought it. Later fetches have higher numbers.
        var flight: FlightID

        func served(_ demand: TokenDemand, now: Instant) -> Token? {
            let remaining = now.duration(to: end)
            let margin = min(.seconds(60), lifetime / 2)
            let promised = min(demand.minimumRemaining, lifetime / 2)
            guard remaining > .zero, remaining >= max(margin, promised), token.id != demand.insteadOf,
                token.lineage.state == .current
            else { return nil }
            var token = token
            token.remaining = remaining
            return token
        }
    }

    private struct Flight {
        var id: FlightID
        var insteadOf: Token.ID?
        var waiters: [WaiterID: Waiting]
    }

    enum Joined {
        case answered(Result<Token, TokenError>)
        case waiting
        case fetch(FlightID)
    }

    init(maximumEntries: Int) { self.maximumEntries = max(1, maximumEntries) }

    func newWaiter() -> WaiterID { state.withLock { $0.nextID() } }

    func hit(_ request: TokenRequest, _ demand: TokenDemand, now: Instant) -> Token? {
        state.withLock { state in
            guard let entry = state.entries[request] else { return nil }
            if entry.token.id == demand.insteadOf {
                entry.token.lineage.revoke()
                state.entries[request] = nil
                return nil
            }
            return entry.served(demand, now: now)
        }
    }

    /// Registers the waiter with a fetch that suits it, or with a new one, before anything can suspend.
    func join(
        _ request: TokenRequest, _ demand: TokenDemand, _ waiter: WaiterID, _ continuation: Waiting, now: Instant
    ) -> Joined {
        state.withLock { state in
            // The cancellation handler may have run already, and found nobody to wake.
            if Task.isCancelled { return .answered(.failure(.init(.cancelled, message: "the caller was cancelled"))) }
            // A fetch may have landed since the look at the cache.
            if let token = state.entries[request]?.served(demand, now: now) { return .answered(.success(token)) }
            let flights = state.flights[request] ?? []
            if let index = flights.firstIndex(where: { $0.insteadOf == demand.insteadOf }) {
                state.flights[request]?[index].waiters[waiter] = continuation
                return .waiting
            }
            let id = state.nextID()
            state.flights[request, default: []].append(
                Flight(id: id, insteadOf: demand.insteadOf, waiters: [waiter: continuation])
            )
            return .fetch(id)
        }
    }

    /// Ends the wait of one caller; the fetch goes on.
    func leave(_ waiter: WaiterID, _ request: TokenRequest, _ error: TokenError) {
        let continuation = state.withLock { state -> Waiting? in
            for index in state.flights[request]?.indices ?? 0..<0 {
                if let found = state.flights[request]?[index].waiters.removeValue(forKey: waiter) { return found }
            }
            return nil
        }
        continuation?.resume(returning: .failure(error))
    }

    /// Takes a fetch's result in, and hands back who waited for it.
    func land(
        _ id: FlightID, _ request: TokenRequest, _ result: Result<Token, TokenError>, now: Instant
    ) -> [Waiting] {
        state.withLock { state in
            guard let index = state.flights[request]?.firstIndex(where: { $0.id == id }),
                let flight = state.flights[request]?.remove(at: index)
            else { return [] }
            if state.flights[request]?.isEmpty == true { state.flights[request] = nil }
            // A slower, earlier fetch must not displace the token of a later one.
            if case .success(let token) = result, token.remaining > .zero,
                state.entries[request].map({ $0.flight < id }) ?? true
            {
                state.entries[request] = Entry(
                    token: token, end: now.advanced(by: token.remaining), lifetime: token.remaining, flight: id
                )
                state.stored.append((request, id))
                drop(from: &state, now: now)
            }
            return Array(flight.waiters.values)
        }
    }

    /// Drops what has expired at the old end, and the oldest beyond the limit: a constant number of steps for each token stored, on
    /// average.
    private func drop(from state: inout State, now: Instant) {
        while state.firstStored < state.stored.count {
            let (request, flight) = state.stored[state.firstStored]
            if let entry = state.entries[request], entry.flight == flight {
                guard state.entries.count > maximumEntries || entry.end <= now else { break }
                state.entries[request] = nil
            }
            state.firstStored += 1
        }
        if state.firstStored > 64, state.firstStored > state.stored.count / 2 {
            state.stored.removeFirst(state.firstStored)
            state.firstStored = 0
        }
    }
}

/// What is known about one ``TokenRequest``, and what to do next.
///
/// The slot is a pure state machine without tasks, clocks or locks. Time is passed in as the duration since some
/// origin, and randomness as a number, so that every history can be replayed. ``CachingTokenProvider`` drives it.
struct TokenSlot {
    typealias WaiterID = UInt64
    typealias FlightID = UInt64

    /// Something that happened.
    enum Event {
        /// A caller waits, because ``served(_:now:)`` returned nothing.
        case asked(WaiterID, TokenDemand)
        /// A caller stopped waiting.
        case left(WaiterID)
        /// A flight ended with a result.
        case landed(FlightID, Result<Token, TokenError>)
        /// A caller was served with this demand, and the token was due for renewal.
        case due(TokenDemand)
        case shutDown
    }

    /// What to do in response to an event.
    enum Action {
        case answer(WaiterID, Result<Token, TokenError>)
        case fetch(FlightID, replacing: Token.ID?)
    }

    /// The pauses after failures while there is no valid token.
    private static let rest = Backoff(first: .seconds(1), longest: .seconds(30))
    /// The pauses after failures while the last token is still valid, or while something in front of the server
    /// answers.
    private static let restWhileValid = Backoff(first: .seconds(1), longest: .seconds(60))

    private(set) var kept: Kept?
    private(set) var flights: [Flight] = []
    private(set) var failure: Failure?
    private(set) var lastFlight: FlightID
    /// Whether a caller looked for a token here since the table last cleared the flag.
    var wasUsed = false

    /// - Parameter lastFlight: The slot's flights are numbered from the next number on.
    init(lastFlight: FlightID = 0) { self.lastFlight = lastFlight }

    /// A cached token. It is a class, so that handing out the token copies it only once.
    final class Kept: Sendable {
        let token: Token
        let end: Duration
        /// The longest remaining lifetime that is promised to a caller. The server may issue tokens with a shorter
        /// lifetime than callers demand.
        let promise: Duration
        /// How long before its remaining lifetime falls below a demand the token is renewed.
        let margin: Duration
        /// When the token is renewed in the background, whatever the callers demand.
        let renewal: Duration
        /// When the token may be renewed, whatever the callers demand. A fetch that brought the same token again,
        /// because another process is renewing it, is repeated after a while.
        let notBefore: Duration
        /// The flight that brought the token. Later flights have higher numbers.
        let flight: FlightID

        /// - Parameters:
        ///   - former: The token that was kept before.
        ///   - chance: Moves the renewal earlier, never later, so that many brokers do not renew at once and none
        ///     renews late.
        init(_ token: Token, from flight: FlightID, after former: Kept?, now: Duration, chance: Double) {
            // At most a day, so that arithmetic on it cannot overflow.
            let remaining = min(token.remaining, .seconds(86_400))
            let lifetime = min(max(token.lifetime ?? remaining, remaining), .seconds(86_400))
            var token = token
            token.isFresh = false
            self.token = token
            self.flight = flight
            end = now + remaining
            promise = lifetime / 2
            margin = lifetime / 10
            renewal = end - lifetime * (0.25 + 0.1 * chance)
            notBefore = former?.token.id == token.id ? now + .seconds(1) * (1 + chance) : now
        }
    }

    struct Flight {
        var id: FlightID
        var replacing: Token.ID?
        var waiters: Set<WaiterID> = []
        /// Whether the flight repeats one whose token was outdated on arrival.
        var isSecond = false

        /// The waiters, in the order in which they came.
        var inOrder: [WaiterID] { waiters.sorted() }
    }

    /// A failure that is shared until the next attempt. It is a class, because most slots have none.
    final class Failure: Sendable {
        let error: TokenError
        let until: Duration
        /// The number of failures since the last success.
        let count: Int

        init(_ error: TokenError, until: Duration, count: Int) {
            self.error = error
            self.until = until
            self.count = count
        }
    }

    /// Whether nothing is under way and nothing worth keeping is known.
    func isIdle(now: Duration) -> Bool {
        flights.isEmpty && (kept.map { $0.end <= now } ?? true) && (failure.map { $0.until <= now } ?? true)
    }

    /// Returns the expiry of the cached token; `nil` if the token cannot be used.
    func usableEnd(now: Duration) -> Duration? {
        guard let kept, kept.end > now, kept.token.lineage.state != .revoked else { return nil }
        return kept.end
    }

    /// Returns the cached token if it meets the demand. Every cache hit takes this path, so it neither allocates nor
    /// divides.
    func served(_ demand: TokenDemand, now: Duration) -> (token: Token, isDue: Bool)? {
        guard let kept else { return nil }
        let remaining = kept.end - now
        let promised = min(demand.minimumRemaining, kept.promise)
        guard remaining > .zero, remaining >= promised else { return nil }
        if let refused = demand.replacing, refused == kept.token.id { return nil }
        let state = kept.token.lineage.state
        guard state != .revoked else { return nil }
        var token = kept.token
        token.remaining = remaining
        // Also due if the next caller with this demand would have to wait.
        let isDue = now >= kept.renewal || state == .superseded || remaining < promised + kept.margin
        return (token, isDue && now >= kept.notBefore && flights.isEmpty && mayTry(now: now))
    }

    private func mayTry(now: Duration) -> Bool { failure.map { now >= $0.until } ?? true }

    /// Handles an event.
    /// - Parameter chance: A random number from 0 up to, but not including, 1.
    /// - Returns: What to do.
    mutating func handle(_ event: Event, now: Duration, chance: Double) -> [Action] {
        switch event {
        case .asked(let waiter, let demand): asked(waiter, demand, now: now)
        case .left(let waiter): left(waiter)
        case .landed(let flight, let result): landed(flight, result, now: now, chance: chance)
        // The token may have been renewed since.
        case .due(let demand): served(demand, now: now)?.isDue == true ? [start(replacing: nil)] : []
        case .shutDown: shutDown()
        }
    }

    private mutating func asked(_ waiter: WaiterID, _ demand: TokenDemand, now: Duration) -> [Action] {
        // A flight may have landed since the caller looked.
        if let (token, _) = served(demand, now: now) { return [.answer(waiter, .success(token))] }
        if let kept, kept.token.id == demand.replacing {
            kept.token.lineage.revoke()
            self.kept = nil
        }
        if let index = flight(for: demand) {
            flights[index].waiters.insert(waiter)
            return []
        }
        if let failure, now < failure.until {
            var error = failure.error
            error.retryAfter = failure.until - now
            error.wasRetried = true
            return [.answer(waiter, .failure(error))]
        }
        return [start(replacing: demand.replacing, for: [waiter])]
    }

    /// Returns the index of the flight that a caller may wait for.
    private func flight(for demand: TokenDemand) -> Int? {
        if let index = flights.firstIndex(where: { $0.replacing == demand.replacing }) { return index }
        // A replacement also suits a caller that takes any token. A caller that invents tokens to replace does not get
        // a fetch for each.
        let willDo = demand.replacing == nil || flights.count >= 4
        return willDo ? flights.lastIndex { $0.replacing != nil } : nil
    }

    private mutating func start(
        replacing: Token.ID?, for waiters: Set<WaiterID> = [], isSecond: Bool = false
    ) -> Action {
        lastFlight += 1
        flights.append(Flight(id: lastFlight, replacing: replacing, waiters: waiters, isSecond: isSecond))
        return .fetch(lastFlight, replacing: replacing)
    }

    /// The flight goes on without the caller: this one or another will want the token soon.
    private mutating func left(_ waiter: WaiterID) -> [Action] {
        for index in flights.indices { flights[index].waiters.remove(waiter) }
        return []
    }

    private mutating func landed(
        _ id: FlightID, _ result: Result<Token, TokenError>, now: Duration, chance: Double
    ) -> [Action] {
        guard let index = flights.firstIndex(where: { $0.id == id }) else { return [] }
        let flight = flights.remove(at: index)
        let answer: Result<Token, TokenError>
        switch result {
        case .success(let token) where token.remaining <= .zero:
            answer = .failure(TokenError(.unavailable, message: "the token had already expired on arrival"))
        case .success(let token) where token.id == flight.replacing:
            answer = .failure(TokenError(.unavailable, message: "the fetch returned the token that was refused"))
        case .success(let token) where isOutdated(token, now: now):
            // The token must not be handed out. But the server issued it, so another fetch is worthwhile.
            failure = nil
            if flight.waiters.isEmpty { return [] }
            if !flight.isSecond { return [start(replacing: flight.replacing, for: flight.waiters, isSecond: true)] }
            answer = .failure(
                TokenError(.unavailable, message: "the credentials changed while the token was in transit"))
        default:
            answer = result
        }
        switch answer {
        case .success(let token): keep(token, from: flight.id, now: now, chance: chance)
        case .failure(var error):
            // The waiters are told to retry at the same time as later callers.
            if let failure = remember(error, now: now, chance: chance) {
                error = failure.error
                error.retryAfter = failure.until - now
            }
            return flight.inOrder.map { .answer($0, .failure(error)) }
        }
        return flight.inOrder.map { .answer($0, answer) }
    }

    /// Whether a token is outdated: its line was revoked while it was in transit, or its line was superseded and a
    /// token of the new line is cached. In the latter case, no token of the old line is handed out any more.
    private func isOutdated(_ token: Token, now: Duration) -> Bool {
        let state = token.lineage.state
        return state == .revoked || kept.map { $0.end > now && $0.token.lineage.state < state } ?? false
    }

    private mutating func keep(_ token: Token, from flight: FlightID, now: Duration, chance: Double) {
        failure = nil
        // A slower, earlier flight does not displace the token that a later flight of the same line brought.
        if let kept, kept.end > now, kept.token.lineage.state == token.lineage.state, kept.flight > flight { return }
        kept = Kept(token, from: flight, after: kept, now: now, chance: chance)
    }

    /// Remembers a failure, which later callers share until the next attempt.
    ///
    /// Refused or missing credentials are checked again every second. This costs the server nothing, because the
    /// provider knows what was refused.
    /// - Returns: `nil` for a cancellation, which is not remembered.
    private mutating func remember(_ error: TokenError, now: Duration, chance: Double) -> Failure? {
        guard error.code != .cancelled else { return nil }
        let count = (failure?.count ?? 0) + 1
        let pause: Duration
        switch error.code {
        case .credentialsRejected, .misconfigured:
            pause = Self.rest.first
        default:
            if error.isForeign {
                let asked = min(error.retryAfter ?? .zero, longestRetryAfter)
                pause = max(asked, Self.restWhileValid.pause(after: count) * (1 - 0.1 * chance))
            } else if let asked = error.retryAfter {
                pause = min(max(asked, Self.rest.first), longestRetryAfter)
            } else if usableEnd(now: now) != nil {
                pause = Self.restWhileValid.pause(after: count) * chance
            } else {
                pause = Self.rest.pause(after: count) * (1 - 0.1 * chance)
            }
        }
        // This slot keeps the pause, so that the layers above only have to retry after it. A later end that another
        // flight was told still counts.
        var error = error
        error.isForeign = false
        let failure = Failure(error, until: max(failure?.until ?? now, now + pause), count: count)
        self.failure = failure
        return failure
    }

    private mutating func shutDown() -> [Action] {
        defer { flights = [] }
        let error = TokenError(.cancelled, message: "the broker is shutting down")
        return flights.flatMap { $0.inOrder.map { Action.answer($0, .failure(error)) } }
    }
}

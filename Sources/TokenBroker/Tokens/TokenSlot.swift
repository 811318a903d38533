/// What is known of one ``TokenRequest``, and what is to be done next.
///
/// Pure: no tasks, no clocks, no locks. Time is handed in as the duration since some beginning, and chance as a number, so that every
/// history can be replayed. ``CachingTokenProvider`` drives it.
struct TokenSlot {
    typealias WaiterID = UInt64
    typealias FlightID = UInt64

    /// What happened.
    enum Event {
        /// Somebody waits, whom ``served(_:now:)`` could not help.
        case asked(WaiterID, TokenDemand)
        /// A waiter went away.
        case left(WaiterID)
        /// A flight brought something.
        case landed(FlightID, Result<Token, TokenError>)
        /// Somebody was served with this demand, and the token was due for renewal.
        case due(TokenDemand)
        case shutDown
    }

    /// What is to be done about it.
    enum Action {
        case answer(WaiterID, Result<Token, TokenError>)
        case fetch(FlightID, replacing: Token.ID?)
    }

    /// When to try again after failures, while nobody has a token.
    private static let rest = Backoff(first: .seconds(1), longest: .seconds(30))
    /// The same while the last token is still valid, or something in front of the server answers.
    private static let restWhileValid = Backoff(first: .seconds(1), longest: .seconds(60))

    private(set) var kept: Kept?
    private(set) var flights: [Flight] = []
    private(set) var failure: Failure?
    private(set) var lastFlight: FlightID
    /// Whether somebody looked here for a token, since the cache took note.
    var wasUsed = false

    /// - Parameter lastFlight: Its flights have higher numbers.
    init(lastFlight: FlightID = 0) { self.lastFlight = lastFlight }

    /// An object, so that a token is handed out without its being copied more than once.
    final class Kept: Sendable {
        let token: Token
        let end: Duration
        /// The most life that is promised to anyone, since a server may issue shorter tokens than was asked for.
        let promise: Duration
        /// How long before it would not do for a demand any more it is renewed.
        let margin: Duration
        /// When to renew it behind the callers whatever they demand.
        let renewal: Duration
        /// What brought it. Later flights have higher numbers.
        let flight: FlightID

        /// - Parameter chance: Moves the renewal earlier only, so that many brokers do not come at once and none comes late.
        init(_ token: Token, from flight: FlightID, now: Duration, chance: Double) {
            // A day at most, so that no arithmetic on it can overflow.
            let lifetime = min(token.remaining, .seconds(86_400))
            var token = token
            token.isFresh = false
            self.token = token
            self.flight = flight
            end = now + lifetime
            promise = lifetime / 2
            margin = lifetime / 10
            renewal = now + lifetime * (0.75 - 0.1 * chance)
        }
    }

    struct Flight {
        var id: FlightID
        var replacing: Token.ID?
        var waiters: Set<WaiterID> = []
        /// In place of one whose token was outdated when it came.
        var isSecond = false

        /// Those who came first go first.
        var inOrder: [WaiterID] { waiters.sorted() }
    }

    /// An object, since most slots have none.
    final class Failure: Sendable {
        let error: TokenError
        let until: Duration
        /// How many there were since the last success.
        let count: Int

        init(_ error: TokenError, until: Duration, count: Int) {
            self.error = error
            self.until = until
            self.count = count
        }
    }

    /// Nothing is going on and nothing worth keeping is known.
    func isIdle(now: Duration) -> Bool {
        flights.isEmpty && (kept.map { $0.end <= now } ?? true) && (failure.map { $0.until <= now } ?? true)
    }

    /// When the kept token ends, if it can be used.
    func usableEnd(now: Duration) -> Duration? {
        guard let kept, kept.end > now, kept.token.lineage.state != .revoked else { return nil }
        return kept.end
    }

    /// The kept token, if it meets the demand. On the way of every cached token: no allocation, no division.
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
        // Due as well when the next caller with this demand would have to wait.
        let isDue = now >= kept.renewal || state == .superseded || remaining < promised + kept.margin
        return (token, isDue && flights.isEmpty && mayTry(now: now))
    }

    private func mayTry(now: Duration) -> Bool { failure.map { now >= $0.until } ?? true }

    /// - Parameter chance: From 0 up to, but not including, 1.
    mutating func handle(_ event: Event, now: Duration, chance: Double) -> [Action] {
        switch event {
        case .asked(let waiter, let demand): asked(waiter, demand, now: now)
        case .left(let waiter): left(waiter)
        case .landed(let flight, let result): landed(flight, result, now: now, chance: chance)
        // It may have been renewed since.
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

    /// The flight that a caller may wait for.
    private func flight(for demand: TokenDemand) -> Int? {
        if let index = flights.firstIndex(where: { $0.replacing == demand.replacing }) { return index }
        // A renewal will do for whoever takes any token. And whoever makes up tokens to be replaced does not get a fetch for each.
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

    /// The flight goes on without it: the token is wanted soon, by this caller or another.
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
            answer = .failure(TokenError(.unavailable, message: "the token had expired when it came"))
        case .success(let token) where token.id == flight.replacing:
            answer = .failure(TokenError(.unavailable, message: "the token that was refused came again"))
        case .success(let token) where isOutdated(token, now: now):
            // Nobody may have it. But it was issued, so that another one is worth a fetch.
            failure = nil
            if flight.waiters.isEmpty { return [] }
            if !flight.isSecond { return [start(replacing: flight.replacing, for: flight.waiters, isSecond: true)] }
            answer = .failure(
                TokenError(.unavailable, message: "the credentials changed while the token was on its way"))
        default:
            answer = result
        }
        switch answer {
        case .success(let token): keep(token, from: flight.id, now: now, chance: chance)
        case .failure(var error):
            // Those who waited are told to come back when those are who come later.
            if let failure = remember(error, now: now, chance: chance) {
                error = failure.error
                error.retryAfter = failure.until - now
            }
            return flight.inOrder.map { .answer($0, .failure(error)) }
        }
        return flight.inOrder.map { .answer($0, answer) }
    }

    /// Its line was revoked while it was on its way, or was superseded and a token of the new line is there: then none of the old one is
    /// handed out any more.
    private func isOutdated(_ token: Token, now: Duration) -> Bool {
        let state = token.lineage.state
        return state == .revoked || kept.map { $0.end > now && $0.token.lineage.state < state } ?? false
    }

    private mutating func keep(_ token: Token, from flight: FlightID, now: Duration, chance: Double) {
        failure = nil
        // A slower, earlier flight does not displace the token of a later one of the same line.
        if let kept, kept.end > now, kept.token.lineage.state == token.lineage.state, kept.flight > flight { return }
        kept = Kept(token, from: flight, now: now, chance: chance)
    }

    /// Failures are shared with those who come until it is worth trying again. Credentials that are refused or missing are
    /// looked at every second, since looking costs nothing at the server: the provider knows what was refused.
    /// - Returns: `nil` if it is nobody's answer.
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
        // What another flight was told to wait for still counts.
        // The pause is kept here. Whoever is above has only to come back after it.
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

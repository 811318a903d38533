/// What is known of one ``TokenRequest``, and what is to be done next.
///
/// Pure: no tasks, no clocks, no locks. Time is handed in as the duration since some beginning, and chance as a number, so that every
/// history can be replayed. ``Caching`` drives it.
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
        /// Somebody was served, and the token is due for renewal.
        case due
        case shutDown
    }

    /// What is to be done about it.
    enum Action {
        case answer(WaiterID, Result<Token, TokenError>)
        case fetch(FlightID, insteadOf: Token.ID?)
    }

    /// When to try again after failures.
    struct Backoff: Sendable {
        /// After the first failure that may pass; it doubles with each further one.
        var first: Duration = .seconds(1)
        /// At most, while nobody has a token.
        var longest: Duration = .seconds(30)
        /// At most, while the last token is still valid.
        var longestWhileValid: Duration = .seconds(60)
        /// The longest that a server's `Retry-After` is obeyed.
        var longestAsked: Duration = .seconds(300)
    }

    private(set) var kept: Kept?
    private(set) var flights: [Flight] = []
    private(set) var failure: Failure?
    private(set) var lastFlight: FlightID
    private let backoff: Backoff

    /// - Parameter lastFlight: Its flights have higher numbers.
    init(lastFlight: FlightID = 0, backoff: Backoff = Backoff()) {
        self.lastFlight = lastFlight
        self.backoff = backoff
    }

    struct Kept {
        var token: Token
        var end: Duration
        var lifetime: Duration
        /// When to renew it behind the callers.
        var renewal: Duration
        /// What brought it. Later flights have higher numbers.
        var flight: FlightID
    }

    struct Flight {
        var id: FlightID
        var insteadOf: Token.ID?
        var waiters: Set<WaiterID> = []
    }

    struct Failure {
        var error: TokenError
        var until: Duration
        /// How many there were since the last success.
        var count: Int
    }

    /// Nothing is going on and nothing worth remembering is known.
    func isIdle(now: Duration) -> Bool {
        flights.isEmpty && (kept.map { $0.end <= now } ?? true) && (failure.map { $0.until <= now } ?? true)
    }

    /// The kept token, if it meets the demand.
    func served(_ demand: TokenDemand, now: Duration) -> (token: Token, isDue: Bool)? {
        guard let kept else { return nil }
        let remaining = kept.end - now
        // A server may issue shorter tokens than anyone asked for.
        let promised = min(demand.minimumRemaining, kept.lifetime / 2)
        guard remaining > .zero, remaining >= promised, kept.token.id != demand.insteadOf else { return nil }
        let state = kept.token.lineage.state
        guard state != .revoked else { return nil }
        var token = kept.token
        token.remaining = remaining
        // Due as well when the next caller with this demand would have to wait.
        let isDue = now >= kept.renewal || state == .superseded || remaining < promised + kept.lifetime / 10
        return (token, isDue && flights.isEmpty && mayTry(now: now))
    }

    private func mayTry(now: Duration) -> Bool { failure.map { now >= $0.until } ?? true }

    /// - Parameter chance: From 0 up to, but not including, 1.
    mutating func handle(_ event: Event, now: Duration, chance: Double) -> [Action] {
        switch event {
        case .asked(let waiter, let demand): asked(waiter, demand, now: now)
        case .left(let waiter): left(waiter)
        case .landed(let flight, let result): landed(flight, result, now: now, chance: chance)
        case .due: flights.isEmpty && mayTry(now: now) ? [start(insteadOf: nil)] : []
        case .shutDown: shutDown()
        }
    }

    private mutating func asked(_ waiter: WaiterID, _ demand: TokenDemand, now: Duration) -> [Action] {
        // A flight may have landed since the caller looked.
        if let (token, _) = served(demand, now: now) { return [.answer(waiter, .success(token))] }
        if let kept, kept.token.id == demand.insteadOf {
            kept.token.lineage.revoke()
            self.kept = nil
        }
        if let index = flights.firstIndex(where: { $0.insteadOf == demand.insteadOf }) {
            flights[index].waiters.insert(waiter)
            return []
        }
        if let failure, now < failure.until {
            var error = failure.error
            error.retryAfter = failure.until - now
            error.wasRetried = true
            return [.answer(waiter, .failure(error))]
        }
        let action = start(insteadOf: demand.insteadOf)
        flights[flights.endIndex - 1].waiters.insert(waiter)
        return [action]
    }

    private mutating func start(insteadOf: Token.ID?) -> Action {
        lastFlight += 1
        flights.append(Flight(id: lastFlight, insteadOf: insteadOf))
        return .fetch(lastFlight, insteadOf: insteadOf)
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
        case .success(let token) where token.id == flight.insteadOf:
            answer = .failure(TokenError(.unavailable, message: "the token that was refused came again"))
        default:
            answer = result
        }
        switch answer {
        case .success(let token): keep(token, from: id, now: now, chance: chance)
        case .failure(let error): remember(error, now: now, chance: chance)
        }
        return flight.waiters.map { .answer($0, answer) }
    }

    private mutating func keep(_ token: Token, from flight: FlightID, now: Duration, chance: Double) {
        failure = nil
        // A slower, earlier flight must not displace the token of a later one, nor bring back what was revoked meanwhile.
        guard kept.map({ $0.flight < flight }) ?? true, token.lineage.state != .revoked else { return }
        // A day at most, so that no arithmetic on it can overflow.
        let lifetime = min(token.remaining, .seconds(86_400))
        // Chance moves it earlier only, so that many brokers do not come at once and none comes late.
        let share = 0.75 - 0.1 * chance
        kept = Kept(
            token: token, end: now + lifetime, lifetime: lifetime, renewal: now + lifetime * share, flight: flight
        )
    }

    /// Failures are shared with those who come until it is worth trying again. Credentials that are refused or missing are
    /// looked at every second, since looking costs nothing at the server: the provider knows what was refused.
    private mutating func remember(_ error: TokenError, now: Duration, chance: Double) {
        // Nobody's answer.
        guard error.code != .cancelled else { return }
        let count = (failure?.count ?? 0) + 1
        let doubled = backoff.first * (1 << min(count - 1, 16))
        let pause: Duration
        switch error.code {
        case .requestRejected, .credentialsRejected, .misconfigured:
            pause = backoff.first
        case .throttled where error.retryAfter != nil:
            pause = min(max(error.retryAfter ?? .zero, backoff.first), backoff.longestAsked)
        default:
            let isValid = kept.map { $0.end > now && $0.token.lineage.state != .revoked } ?? false
            if isValid {
                pause = min(doubled, backoff.longestWhileValid) * chance
            } else {
                pause = min(doubled, backoff.longest) * (1 - 0.1 * chance)
            }
        }
        // What another flight was told to wait for still counts.
        let until = max(failure?.until ?? now, now + pause)
        failure = Failure(error: error, until: until, count: count)
    }

    private mutating func shutDown() -> [Action] {
        defer { flights = [] }
        let error = TokenError(.cancelled, message: "the broker is shutting down")
        return flights.flatMap { $0.waiters.map { Action.answer($0, .failure(error)) } }
    }
}

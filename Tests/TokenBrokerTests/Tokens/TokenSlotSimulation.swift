import TestSupport
import Testing

@testable import TokenBroker

/// A random history of one slot.
///
/// Callers arrive, wait and leave. The issuer responds in any order, fails, throttles, and issues short-lived and
/// expired tokens. Lines are superseded and revoked, and time jumps. After each step, the slot is compared with a model
/// that knows only which tokens were issued, when and in which flight.
private struct Simulation {
    let seed: UInt64
    var random: SeededGenerator
    var slot = TokenSlot()
    var now: Duration = .zero
    var steps = 0

    // The model.
    var issued: [Token.ID: (flight: UInt64, end: Duration, lifetime: Duration, lineage: Lineage)] = [:]
    /// The token that a caller may be served: the one of the latest flight, among those of the newest line that landed.
    var best: Token.ID?
    var credential = Lineage()
    var waiters: [UInt64: TokenDemand] = [:]
    var flights: [UInt64: Token.ID?] = [:]
    var failedUntil: Duration?
    var consecutiveFailures = 0
    var lastWaiter: UInt64 = 0
    var complaint: String?

    init(seed: UInt64) {
        self.seed = seed
        self.random = SeededGenerator(seed: seed)
    }

    mutating func expect(_ condition: Bool, _ promise: String) {
        if !condition, complaint == nil { complaint = "seed \(seed), step \(steps): \(promise)" }
    }

    mutating func run(_ count: Int) {
        while steps < count, complaint == nil {
            steps += 1
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<45: ask()
            case 45..<55: leave()
            case 55..<80: land()
            case 80..<95: now += .milliseconds(Int.random(in: 0...2_000, using: &random))
            case 95..<97: now += .seconds(Int.random(in: 1...4_000, using: &random))
            case 97: rotate()
            case 98: if let best { issued[best]?.lineage.revoke() }
            default: credential.revoke()
            }
        }
        // In the end, every caller has an answer.
        while let flight = flights.keys.min() { land(flight) }
        expect(waiters.isEmpty, "everybody who waits gets an answer: \(waiters.count) did not")
    }

    mutating func rotate() {
        credential.supersede()
        credential = Lineage()
    }

    func isServable(_ id: Token.ID, _ demand: TokenDemand) -> Bool {
        guard let token = issued[id], token.lineage.state != .revoked, id != demand.replacing else { return false }
        let remaining = token.end - now
        return remaining > .zero && remaining >= min(demand.minimumRemaining, token.lifetime / 2)
    }

    mutating func ask() {
        var demand = TokenDemand()
        if Bool.random(using: &random) {
            demand.minimumRemaining = .seconds(Int.random(in: 0...400, using: &random))
        }
        if Int.random(in: 0..<6, using: &random) == 0 {
            demand.replacing = Bool.random(using: &random) ? best : Token.ID(rawValue: "old")
        }
        let served = slot.served(demand, now: now)
        let servable = best.map { isServable($0, demand) } ?? false
        expect((served != nil) == servable, "a valid token is served, and only a valid one")
        if let served {
            expect(served.token.id == best, "the newest token is served, not \(served.token.id)")
            expect(served.token.remaining == (issued[served.token.id]?.end ?? .zero) - now, "the life is told truly")
            if served.isDue { perform(slot.handle(.due(demand), now: now, chance: chance())) }
            return
        }
        lastWaiter += 1
        waiters[lastWaiter] = demand
        if demand.replacing == best { best = nil }
        let before = flights.count
        let actions = slot.handle(.asked(lastWaiter, demand), now: now, chance: chance())
        perform(actions)
        if let until = failedUntil, now < until {
            expect(flights.count == before, "nothing is asked of the issuer before it is worth it")
        }
    }

    mutating func leave() {
        guard let waiter = waiters.keys.randomElement(using: &random) else { return }
        waiters[waiter] = nil
        perform(slot.handle(.left(waiter), now: now, chance: chance()))
    }

    mutating func chance() -> Double { Double.random(in: 0..<1, using: &random) }

    mutating func land() {
        if let flight = flights.keys.sorted().randomElement(using: &random) { land(flight) }
    }

    mutating func land(_ flight: UInt64) {
        guard let replacing = flights.removeValue(forKey: flight) else { return }
        var result: Result<Token, TokenError>
        switch Int.random(in: 0..<10, using: &random) {
        case 0: result = .failure(TokenError(.unavailable, message: ""))
        case 1:
            result = .failure(
                TokenError(.throttled, message: "", retryAfter: .seconds(Int.random(in: -1...90, using: &random))))
        case 2: result = .failure(TokenError(.credentialsRejected, message: ""))
        case 3: result = .failure(TokenError(.cancelled, message: ""))
        default:
            let life: Duration =
                [.seconds(3600), .seconds(900), .seconds(3), .milliseconds(1), .zero, .seconds(Int64.max / 4)]
                .randomElement(using: &random) ?? .zero
            result = .success(Token(secret: Secret("t"), remaining: life, lineage: Lineage(descendingFrom: credential)))
        }
        if case .success(let token) = result, token.remaining > .zero {
            let lifetime = min(token.remaining, .seconds(86_400))
            issued[token.id] = (flight, now + lifetime, lifetime, token.lineage)
            (failedUntil, consecutiveFailures) = (nil, 0)
            if token.lineage.state != .revoked, displacesBest(token, flight) { best = token.id }
        }
        let waiting = waiters.count
        perform(slot.handle(.landed(flight, result), now: now, chance: chance()))
        if case .failure(let error) = result, error.code != .cancelled {
            consecutiveFailures += 1
            failedUntil = slot.failure?.until
            let pause = (failedUntil ?? .zero) - now
            expect(pause >= .zero && pause <= .seconds(300), "a pause is within bounds")
            if best == nil, error.code == .unavailable, consecutiveFailures > 1 {
                expect(pause >= .milliseconds(900), "failures are not repeated at once")
            }
        }
        // Landing the same flight again changes nothing.
        expect(slot.handle(.landed(flight, result), now: now, chance: 0).isEmpty, "a flight lands once")
        expect(waiters.count <= waiting, "landing brings no waiters")
        _ = replacing
    }

    /// Returns whether a token is of a newer line than the best one, or of the same line and a later flight.
    func displacesBest(_ token: Token, _ flight: UInt64) -> Bool {
        guard let former = best.flatMap({ issued[$0] }), former.end > now else { return true }
        let (old, new) = (former.lineage.state, token.lineage.state)
        return new < old || (new == old && former.flight < flight)
    }

    mutating func perform(_ actions: [TokenSlot.Action]) {
        for action in actions {
            switch action {
            case .answer(let waiter, let result):
                let demand = waiters.removeValue(forKey: waiter)
                expect(demand != nil, "nobody is answered twice, and nobody who left")
                if let demand, case .success(let token) = result {
                    expect(token.id != demand.replacing, "a refused token does not come again")
                    expect(token.remaining > .zero, "no dead token is handed out")
                }
            case .fetch(let flight, let replacing):
                expect(!flights.values.contains(replacing), "one fetch at a time")
                expect(flights[flight] == nil, "flights have numbers of their own")
                flights[flight] = replacing
            }
        }
    }
}

struct TokenSlotSimulation {
    /// Runs a million steps. To replay a failure, list only its seed here.
    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func `random histories keep the slot's promises`(part: UInt64) async {
        let complaints = await SimulatedScheduler.runInTurn { _ in
            ((part * 1000)..<(part * 1000 + 50)).compactMap { seed in
                var simulation = Simulation(seed: seed)
                simulation.run(2_000)
                return simulation.complaint
            }
        }
        #expect(complaints.isEmpty)
    }
}

import TestSupport
import Testing

@testable import TokenBroker

/// Tests of one slot in histories that are too rare for the cache's own tests.
struct TokenSlotTests {
    private func token(_ lineage: Lineage = Lineage(), life: Duration = .seconds(100)) -> Token {
        Token(secret: Secret("t"), remaining: life, lineage: lineage)
    }

    private func fetches(_ actions: [TokenSlot.Action]) -> [TokenSlot.FlightID] {
        actions.compactMap { if case .fetch(let flight, _) = $0 { flight } else { nil } }
    }

    private func answers(_ actions: [TokenSlot.Action]) -> [TokenSlot.WaiterID: Result<Token, TokenError>] {
        var answers: [TokenSlot.WaiterID: Result<Token, TokenError>] = [:]
        for case .answer(let waiter, let result) in actions { answers[waiter] = result }
        return answers
    }

    @Test func `a token that is revoked on its way is not handed out, and another is fetched once`() throws {
        var slot = TokenSlot()
        _ = slot.handle(.asked(1, TokenDemand()), now: .zero, chance: 0)
        _ = slot.handle(.asked(2, TokenDemand()), now: .zero, chance: 0)
        let revoked = Lineage()
        revoked.revoke()
        let again = slot.handle(.landed(1, .success(token(revoked))), now: .zero, chance: 0)
        #expect(answers(again).isEmpty)
        #expect(fetches(again) == [2])
        #expect(slot.kept == nil)
        let end = slot.handle(.landed(2, .success(token(revoked))), now: .zero, chance: 0)
        #expect(fetches(end).isEmpty)
        #expect(answers(end).count == 2)
        for case .success in answers(end).values { Issue.record("a revoked token was handed out") }
        // A flight without waiting callers is not repeated.
        _ = slot.handle(.asked(3, TokenDemand()), now: .seconds(5), chance: 0)
        _ = slot.handle(.left(3), now: .seconds(5), chance: 0)
        #expect(slot.handle(.landed(3, .success(token(revoked))), now: .seconds(5), chance: 0).isEmpty)
    }

    @Test func `a caller that saw a token as due before its renewal starts no second renewal`() throws {
        var slot = TokenSlot()
        _ = slot.handle(.asked(1, TokenDemand()), now: .zero, chance: 0)
        let old = Lineage()
        _ = slot.handle(.landed(1, .success(token(old))), now: .zero, chance: 0)
        old.supersede()
        // Two callers see that the token is due before either reports it.
        #expect(slot.served(TokenDemand(), now: .seconds(1))?.isDue == true)
        #expect(fetches(slot.handle(.due(TokenDemand()), now: .seconds(1), chance: 0)) == [2])
        _ = slot.handle(.landed(2, .success(token())), now: .seconds(1), chance: 0)
        #expect(slot.handle(.due(TokenDemand()), now: .seconds(1), chance: 0).isEmpty)
    }

    @Test func `once a token of a new lineage is there, none of the old one is served`() throws {
        var slot = TokenSlot()
        let (old, new) = (Lineage(), Lineage())
        _ = slot.handle(.asked(1, TokenDemand()), now: .zero, chance: 0)
        _ = slot.handle(.asked(2, TokenDemand(replacing: Token.ID(rawValue: "x"))), now: .zero, chance: 0)
        old.supersede()
        // The first flight began before the rotation but used the new credentials. The second one is late.
        let first = token(new)
        _ = slot.handle(.landed(1, .success(first)), now: .zero, chance: 0)
        let late = slot.handle(.landed(2, .success(token(old))), now: .seconds(1), chance: 0)
        #expect(answers(late).isEmpty)
        #expect(fetches(late) == [3])
        #expect(slot.served(TokenDemand(), now: .seconds(1))?.token.id == first.id)
        let second = token(new)
        let answered = answers(slot.handle(.landed(3, .success(second)), now: .seconds(1), chance: 0))
        #expect(try answered[2]?.get().id == second.id)
    }

    @Test func `a token of a new lineage replaces one of the old, whichever fetch ends later`() throws {
        var slot = TokenSlot()
        let old = Lineage()
        _ = slot.handle(.asked(1, TokenDemand()), now: .zero, chance: 0)
        _ = slot.handle(.asked(2, TokenDemand(replacing: Token.ID(rawValue: "x"))), now: .zero, chance: 0)
        _ = slot.handle(.landed(2, .success(token(old))), now: .zero, chance: 0)
        old.supersede()
        let new = token()
        _ = slot.handle(.landed(1, .success(new)), now: .zero, chance: 0)
        #expect(slot.served(TokenDemand(), now: .zero)?.token.id == new.id)
    }

    @Test func `made-up token ids to replace do not cost a fetch each`() {
        var slot = TokenSlot()
        var count = 0
        for waiter in 1...1000 as ClosedRange<UInt64> {
            let demand = TokenDemand(replacing: Token.ID(rawValue: "made up \(waiter)"))
            count += fetches(slot.handle(.asked(waiter, demand), now: .zero, chance: 0)).count
        }
        #expect(count == 4)
        var answered = 0
        for flight in 1...4 as ClosedRange<UInt64> {
            answered += answers(slot.handle(.landed(flight, .success(token())), now: .zero, chance: 0)).count
        }
        #expect(answered == 1000)
    }

    @Test(arguments: [nil, 0, 7, 299, 300, 301, 86_400] as [Double?])
    func `waiting callers and later ones are told the same time to retry`(asked: Double?) {
        for code in [TokenError.Code.unavailable, .throttled] {
            for isForeign in [false, true] {
                var slot = TokenSlot()
                _ = slot.handle(.asked(1, TokenDemand()), now: .zero, chance: 0)
                var error = TokenError(code, message: "", retryAfter: asked.map { .seconds($0) })
                error.isForeign = isForeign
                let first = answers(slot.handle(.landed(1, .failure(error)), now: .zero, chance: 0))[1]
                let later = answers(slot.handle(.asked(2, TokenDemand()), now: .zero, chance: 0))[2]
                let expected = Duration.seconds(min(max(asked ?? 1, 1), 300))
                for result in [first, later] {
                    #expect(throws: TokenError.self) { try result?.get() }
                    if case .failure(let error)? = result {
                        // A cache above adds no pause of its own.
                        #expect(error.retryAfter == expected && !error.isForeign)
                    }
                }
                #expect(fetches(slot.handle(.asked(3, TokenDemand()), now: expected, chance: 0)) == [2])
            }
        }
    }

    @Test func `a refused request is retried with backoff, and refused credentials every second`() {
        for (code, pauses) in [
            (TokenError.Code.requestRejected, [1, 2, 4, 8, 16, 30, 30]),
            (.credentialsRejected, [1, 1, 1, 1, 1, 1, 1]), (.misconfigured, [1, 1, 1, 1, 1, 1, 1]),
        ] {
            var slot = TokenSlot()
            var now = Duration.zero
            for (index, pause) in pauses.enumerated() {
                let flight = UInt64(index + 1)
                #expect(fetches(slot.handle(.asked(flight, TokenDemand()), now: now, chance: 0)) == [flight])
                _ = slot.handle(.landed(flight, .failure(TokenError(code, message: ""))), now: now, chance: 0)
                now += .seconds(pause)
                #expect(slot.failure?.until == now)
            }
        }
    }
}

struct SlotTableTests {
    private func request(_ number: Int) -> TokenRequest { TokenRequest(customer: "c", invoice: "\(number)") }

    private func fill(_ table: inout SlotTable, _ number: Int, life: Duration = .seconds(100), now: Duration = .zero) {
        let (place, _) = table.place(for: request(number), now: now)
        let flight = table[place].lastFlight + 1
        _ = table[place].handle(.asked(1, TokenDemand()), now: now, chance: 0)
        let token = Token(id: Token.ID(rawValue: "\(number)"), secret: Secret("t"), remaining: life)
        _ = table[place].handle(.landed(flight, .success(token)), now: now, chance: 0)
    }

    private func has(_ table: inout SlotTable, _ number: Int, now: Duration = .zero) -> Bool {
        table.served(request(number), TokenDemand(), now: now)?.token.id.rawValue == "\(number)"
    }

    @Test func `the slots in use stay, and the unused are evicted first`() {
        var table = SlotTable(maximumCount: 100)
        for number in 0..<100 { fill(&table, number) }
        for number in 100..<1000 {
            for hot in 0..<10 { #expect(has(&table, hot)) }
            fill(&table, number)
            #expect(table.count == 100)
        }
        #expect((900..<1000).count { has(&table, $0) } >= 85)
        #expect((10..<100).count { has(&table, $0) } == 0)
    }

    @Test func `eviction stays cheap when every slot is in use`() {
        var table = SlotTable(maximumCount: 10_000)
        for number in 0..<10_000 { fill(&table, number) }
        for number in 0..<10_000 { #expect(has(&table, number)) }
        fill(&table, 10_000)
        #expect(table.count == 10_000)
        #expect(has(&table, 10_000))
        // The eviction hand stopped after its maximum number of slots.
        #expect((0..<10_000).count { has(&table, $0) } == 9_999)
    }

    @Test func `expired slots are evicted first`() {
        var table = SlotTable(maximumCount: 10_000)
        for number in 0..<1000 { fill(&table, number, life: .seconds(1)) }
        for number in 1000..<2000 { fill(&table, number, now: .seconds(2)) }
        #expect(table.count == 1000)
        for number in 1000..<2000 { #expect(has(&table, number, now: .seconds(2))) }
    }

    @Test func `a slot with a fetch in progress stays even beyond the limit`() {
        var table = SlotTable(maximumCount: 10)
        for number in 0..<100 {
            let place = table.place(for: request(number), now: .zero).place
            _ = table[place].handle(.asked(1, TokenDemand()), now: .zero, chance: 0)
        }
        #expect(table.count == 100)
        #expect(table.requestsWithFlights.count == 100)
        for number in 0..<100 {
            let place = table.place(for: request(number), now: .zero).place
            let token = Token(id: Token.ID(rawValue: "\(number)"), secret: Secret("t"), remaining: .seconds(60))
            _ = table[place].handle(.landed(table[place].lastFlight, .success(token)), now: .zero, chance: 0)
        }
        for number in 100..<200 { fill(&table, number) }
        #expect(table.count <= 11)
        #expect(has(&table, 199))
    }

    /// Compares the table with a dictionary while slots are added, used and left to expire.
    @Test(arguments: 1...20 as ClosedRange<UInt64>) func `a request always finds its own slot`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var table = SlotTable(maximumCount: Int.random(in: 1...60, using: &random))
        var now = Duration.zero
        for _ in 0..<3000 {
            now += .milliseconds(Int.random(in: 0...100, using: &random))
            let number = Int.random(in: 0..<100, using: &random)
            if Bool.random(using: &random) {
                fill(&table, number, life: .seconds(Int.random(in: 1...20, using: &random)), now: now)
                #expect(has(&table, number, now: now), "seed \(seed)")
            } else if let served = table.served(request(number), TokenDemand(), now: now) {
                #expect(served.token.id.rawValue == "\(number)", "seed \(seed)")
            }
        }
    }
}

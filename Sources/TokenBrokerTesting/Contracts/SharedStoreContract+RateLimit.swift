import Testing
import TokenBroker

/// Cases for the shared rate limit, and for the loss of the store's content.
extension SharedStoreContract {
    /// A turn, and the earliest and the latest time at which the call may start by the store's clock.
    private struct Turn {
        var number: Int
        var earliest: ContinuousClock.Instant
        var latest: ContinuousClock.Instant
    }

    /// Returns a limit whose quarantine is 700 ms, unless given otherwise.
    private static func limit(
        calls: Int, window: Duration = .milliseconds(100), delay: Duration = .milliseconds(20)
    ) -> SharedLimit {
        SharedLimit(name: newName(), calls: calls, window: window, delay: delay)
    }

    /// How much the store's arithmetic may be off.
    private static let tolerance = Duration.milliseconds(2)

    /// Asks for a turn, however far ahead it is.
    private static func turn(_ store: any SharedStore, _ limit: SharedLimit) async throws -> Turn {
        let clock = ContinuousClock()
        let asked = clock.now
        switch try await store.turn(limit, patience: .seconds(60)) {
        case .start(let number, let after):
            return Turn(number: number, earliest: asked + after, latest: clock.now + after)
        case .later(let pause):
            throw Gate.Unmet(what: "a turn within 60 s (found one after \(pause))", time: .seconds(60))
        }
    }

    /// Asks for a turn without patience, and returns when the next one comes; `nil` if there is one now.
    private static func pause(_ store: any SharedStore, _ limit: SharedLimit) async throws -> Duration? {
        switch try await store.turn(limit, patience: .zero) {
        case .start: nil
        case .later(let pause): pause
        }
    }

    /// Asks for a turn without patience. If there is none, waits until the next one.
    private static func getsTurn(_ store: any SharedStore, _ limit: SharedLimit) async -> Bool {
        switch try? await store.turn(limit, patience: .zero) {
        case .start?: return true
        case .later(let pause)?:
            try? await Task.sleep(for: pause)
            return false
        case nil: return false
        }
    }

    static let rateLimits: [Case] = [
        Case("a new limit gives no turn for its quarantine") { subject in
            let limit = limit(calls: 3)
            let begin = ContinuousClock().now
            let pause = try await pause(subject.first, limit) ?? .zero
            expectTime(
                pause, .milliseconds(690), .milliseconds(701), "the time until the first turn of a new limit")
            let first = try await turn(subject.second, limit)
            expectTime(
                first.latest - begin, .milliseconds(690), .seconds(30), "the time of the first turn of a new limit")
        },
        Case("in any window there are no more turns than calls") { subject in
            let limit = limit(calls: 3)
            let stores = [subject.first, subject.second]
            var turns: [Turn] = []
            for index in 0..<12 { turns.append(try await turn(stores[index % 2], limit)) }
            expect(Set(turns.map(\.number)).count, 12, "the number of different turns")
            for (early, late) in zip(turns, turns.dropFirst(limit.calls)) {
                // The call is not settled, so it counts as late as its delay.
                let least = limit.window + limit.delay - tolerance
                expectTime(
                    late.latest - early.earliest, least, .seconds(60), "the time that 4 turns of 3 in a window span")
            }
        },
        Case("many questions at once give different turns") { subject in
            let limit = limit(calls: 5)
            let begin = ContinuousClock().now
            let stores = [subject.first, subject.second]
            let numbers = try await ended("forty questions to be answered", within: .seconds(30)) {
                try await withThrowingTaskGroup(of: Int.self) { group in
                    for index in 0..<40 {
                        group.addTask { try await turn(stores[index % 2], limit).number }
                    }
                    return try await group.reduce(into: [Int]()) { $0.append($1) }
                }
            }
            expect(Set(numbers).count, 40, "the number of different turns")
            let last = try await turn(subject.first, limit)
            let next = try await pause(subject.second, limit) ?? .zero
            // Eight times five calls come before, each five in a window.
            let least = limit.quarantine + (limit.window + limit.delay) * 8 - tolerance
            expectTime(ContinuousClock().now + next - begin, least, .seconds(60), "the time of the 42nd turn")
            expect(numbers.contains(last.number), false, "whether a number comes again")
        },
        Case("a call that is settled lets the next one start sooner") { subject in
            let limit = limit(calls: 1, window: .milliseconds(400), delay: .milliseconds(300))
            let first = try await turn(subject.first, limit)
            // A number that was never given changes nothing.
            try await subject.second.settle(limit, number: first.number + 1000, earlier: .milliseconds(300))
            let second = try await turn(subject.second, limit)
            expectTime(
                second.latest - first.earliest, limit.window + limit.delay - tolerance, .seconds(60),
                "the time between two calls without an answer")
            try await subject.first.settle(limit, number: second.number, earlier: .milliseconds(300))
            // The first call is no longer among the last ones.
            try await subject.first.settle(limit, number: first.number, earlier: .milliseconds(300))
            let third = try await turn(subject.second, limit)
            let what = "the time between two calls, of which the first was answered at once"
            expectTime(third.latest - second.earliest, limit.window - tolerance, .seconds(60), what)
            expectTime(third.earliest - second.latest, .seconds(-60), limit.window + tolerance, what)
        },
        Case("a cool-down stops all turns, and is told to the other processes") { subject in
            let limit = limit(calls: 3)
            let events = StoreEvents(of: subject.first)
            _ = try await pause(subject.first, limit)
            try await subject.second.coolDown(limit, for: .seconds(20))
            await events.expect(
                .coolDown(limit: limit.name, time: .seconds(20)), "the event `coolDown` in another process")
            let long = try await pause(subject.first, limit) ?? .zero
            expectTime(long, .seconds(5), .seconds(20), "the time until the next turn in a cool-down of 20 s")
            try await subject.second.coolDown(limit, for: .milliseconds(100))
            let still = try await pause(subject.first, limit) ?? .zero
            expectTime(still, .seconds(5), .seconds(20), "the time until the next turn after a shorter cool-down")
        },
        Case("who has no patience takes no turn, and gets one later") { subject in
            let (limit, clock) = (limit(calls: 1), ContinuousClock())
            let begin = clock.now
            var last: Duration?
            for _ in 0..<20 { last = try await pause(subject.first, limit) }
            expectTime(last ?? .zero, .zero, .milliseconds(701), "the time until the first turn")
            let hasTurn = await eventually(within: .seconds(10)) { await getsTurn(subject.second, limit) }
            expect(hasTurn, true, "whether there is a turn without patience within 10 s")
            expectTime(clock.now - begin, .milliseconds(690), .seconds(20), "the time until then")
        },
        Case("limits do not affect each other") { subject in
            let (first, second) = (limit(calls: 1), limit(calls: 1))
            _ = try await turn(subject.first, second)
            try await subject.first.coolDown(first, for: .seconds(30))
            let pause = try await pause(subject.second, second) ?? .zero
            expectTime(pause, .zero, .seconds(2), "the time until the next turn of a limit without a cool-down")
        },
    ]

    static let losses: [Case] = [
        Case("after a loss, processes lead again, and get no turn for the quarantine", needs: .loses) { subject in
            let lose = try #require(
                subject.lose, "expected a closure that makes the store lose its content, found none")
            let names = [newName(), newName(), newName()]
            let limit = limit(calls: 1)
            try await land(landing("one"), names[0], subject.first)
            try await land(failure(), names[1], subject.first)
            try await expectClaim(subject.first, names[2], claim(), "the lead", "the first claim")
            let hasTurn = await eventually(within: .seconds(10)) { await getsTurn(subject.first, limit) }
            expect(hasTurn, true, "whether a new limit gives a turn within 10 s")
            try await lose()
            for name in names {
                var answer: ClaimAnswer?
                // The connection may be lost as well.
                _ = await eventually(within: .seconds(15)) {
                    answer = try? await subject.second.claim(name, claim())
                    return answer != nil
                }
                expect(answer.map(kind), "the lead", "a claim after the loss")
            }
            let left = try await pause(subject.second, limit) ?? .zero
            expectTime(
                left, .milliseconds(600), .milliseconds(701), "the time until the first turn after the loss")
        }
    ]
}

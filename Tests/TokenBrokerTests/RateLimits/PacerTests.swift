import TestSupport
import Testing

@testable import TokenBroker

/// Tests of the rate limit in virtual time.
struct PacerTests {
    /// Runs many calls with the same deadline. Returns when calls started, and the times at which the others were told
    /// to retry.
    private func run(
        _ pacer: inout Pacer, calls: Int, timeout: Duration, from begin: Duration = .zero
    ) -> (starts: [Duration], told: [Duration]) {
        let outcome = run(&pacer, calls: calls, timeout: timeout, from: begin) { (.zero, .zero) }
        return (outcome.arrivals, outcome.told)
    }

    /// Runs many calls, and returns when they arrived at the server instead of when they started.
    /// - Parameter travel: Returns how long the next call takes to the server, and its response back.
    private func run(
        _ pacer: inout Pacer, calls: Int, timeout: Duration, from begin: Duration = .zero,
        travel: () -> (there: Duration, back: Duration)
    ) -> (arrivals: [Duration], told: [Duration]) {
        var (arrivals, told): ([Duration], [Duration]) = ([], [])
        var answers: [(time: Duration, start: Pacer.Start)] = []
        func started(_ start: Pacer.Start, at now: Duration) {
            let (there, back) = travel()
            arrivals.append(now + there)
            answers.append((now + there + back, start))
        }
        for id in 0..<calls {
            switch pacer.ask(UInt64(id), .normal, deadline: begin + timeout, now: begin) {
            case .now(let start): started(start, at: begin)
            case .wait: break
            case .no(let retryAfter): told.append(begin + retryAfter)
            }
        }
        var now = begin
        while true {
            for answer in answers where answer.time <= now { pacer.answered(answer.start, now: answer.time) }
            answers.removeAll { $0.time <= now }
            let (start, turnedAway, next) = pacer.advance(now: now)
            for (_, start) in start { started(start, at: now) }
            told += turnedAway.map { now + $0.retryAfter }
            guard let next else { return (arrivals, told) }
            #expect(next > now)
            now = min(next, answers.map(\.time).min() ?? next)
        }
    }

    private func most(_ starts: [Duration], within window: Duration) -> Int {
        let starts = starts.sorted()
        var (most, first) = (0, 0)
        for (index, start) in starts.enumerated() {
            while starts[first] + window <= start { first += 1 }
            most = max(most, index - first + 1)
        }
        return most
    }

    @Test(arguments: [(1, 1), (5, 5), (5, 1), (5, 3), (100, 10), (1000, 1000)])
    func `the rate limit holds in any second and is fully used`(rate: Int, burst: Int) throws {
        var pacer = Pacer(callsPerSecond: rate, burst: burst, queueLimit: 100_000)
        let (starts, told) = run(&pacer, calls: rate * 20, timeout: .seconds(60))
        #expect(told.isEmpty)
        #expect(starts.count == rate * 20)
        #expect(most(starts, within: .milliseconds(1005)) <= rate)
        #expect(starts.count { $0 < .milliseconds(1) } <= burst)
        let last = try #require(starts.max())
        #expect(Double(rate * 20 - burst) / (last / .seconds(1)) >= 0.95 * Double(rate))
    }

    /// Two thirds of the calls and of the responses are delayed, by up to the delay that the pacer allows for.
    @Test(arguments: 1...100 as ClosedRange<UInt64>)
    func `the server never counts more calls than the limit`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let rate = Int.random(in: 1...20, using: &random)
        var pacer = Pacer(callsPerSecond: rate, burst: Int.random(in: 1...rate, using: &random))
        let distance = Duration.milliseconds(Int.random(in: 0...300, using: &random))
        func delay() -> Duration {
            Int.random(in: 0..<3, using: &random) == 0 ? .zero : .milliseconds(Int.random(in: 0...240, using: &random))
        }
        let outcome = run(&pacer, calls: rate * 100, timeout: .seconds(600)) {
            (distance + delay(), distance + delay())
        }
        #expect(outcome.arrivals.count == rate * 100)
        #expect(most(outcome.arrivals, within: .seconds(1)) <= rate, "seed \(seed)")
    }

    @Test func `a long but constant delay to the server costs no throughput`() throws {
        var pacer = Pacer(callsPerSecond: 5, burst: 5)
        let outcome = run(&pacer, calls: 500, timeout: .seconds(600)) { (.milliseconds(100), .milliseconds(100)) }
        let last = try #require(outcome.arrivals.max())
        #expect(Double(495) / (last / .seconds(1)) >= 4.75)
    }

    @Test func `a call without an answer occupies its place a quarter of a second longer`() {
        var pacer = Pacer(callsPerSecond: 1, burst: 1)
        #expect(pacer.ask(0, .normal, deadline: .seconds(60), now: .zero) == .now(0))
        #expect(pacer.ask(1, .normal, deadline: .seconds(60), now: .zero) == .wait)
        #expect(pacer.advance(now: .milliseconds(1100)).next == Pacer.window + Pacer.longestDelay)
        pacer.answered(0, now: .milliseconds(1150))
        let (start, _, next) = pacer.advance(now: Pacer.window + Pacer.longestDelay)
        #expect(start.map(\.id) == [1])
        #expect(next == nil)
        // Starts that are long gone, or that never happened, are ignored.
        for start in [-1, 0, 2, .max] { pacer.answered(start, now: .seconds(9)) }
    }

    @Test func `a caller that cannot have a turn in time is told at once when to retry`() {
        var pacer = Pacer(callsPerSecond: 5, burst: 5)
        let (starts, told) = run(&pacer, calls: 1000, timeout: .seconds(6))
        #expect(starts.count >= 25)
        #expect(starts.count + told.count == 1000)
        #expect(starts.allSatisfy { $0 < .seconds(6) })
        // Callers that retry at the given times do not exceed the rate either.
        #expect(most(told, within: .seconds(1)) <= 6)
        // All of them get a slot then.
        for (index, time) in told.enumerated() {
            switch pacer.ask(UInt64(10_000 + index), .normal, deadline: time + .seconds(6), now: time) {
            case .now(let start): pacer.answered(start, now: time)
            case .wait: break
            case .no: Issue.record("turned away again at \(time)")
            }
            for (_, start) in pacer.advance(now: time).start { pacer.answered(start, now: time) }
        }
    }

    @Test func `calls of high priority go first, and each priority keeps its order`() {
        var pacer = Pacer(callsPerSecond: 1, burst: 1)
        #expect(pacer.ask(0, .normal, deadline: .seconds(60), now: .zero) == .now(0))
        for id in 1...3 as ClosedRange<UInt64> {
            #expect(pacer.ask(id, .normal, deadline: .seconds(60), now: .zero) == .wait)
            #expect(pacer.ask(10 + id, .high, deadline: .seconds(60), now: .zero) == .wait)
        }
        var order: [UInt64] = []
        var now = Duration.zero
        while let next = pacer.advance(now: now).next {
            now = next
            order += pacer.advance(now: now).start.map(\.id)
        }
        #expect(order == [11, 12, 13, 1, 2, 3])
    }

    @Test func `the turn of a caller that left goes to the next one`() {
        var pacer = Pacer(callsPerSecond: 1, burst: 1)
        #expect(pacer.ask(0, .normal, deadline: .seconds(60), now: .zero) == .now(0))
        for id in 1...5 as ClosedRange<UInt64> { _ = pacer.ask(id, .normal, deadline: .seconds(60), now: .zero) }
        for id in 1...4 as ClosedRange<UInt64> { pacer.left(id) }
        pacer.answered(0, now: .zero)
        #expect(pacer.advance(now: Pacer.window).start.map(\.id) == [5])
    }

    @Test func `the pacer's queue is bounded`() {
        var pacer = Pacer(callsPerSecond: 5, burst: 5, queueLimit: 10)
        let answers = (0..<100).map { pacer.ask($0, .normal, deadline: .seconds(3600), now: .zero) }
        #expect(answers.count { $0 == .wait } == 10)
        #expect(answers.prefix(5) == [.now(0), .now(1), .now(2), .now(3), .now(4)])
        #expect(pacer.queued == 10)
        // Nothing is kept of calls that left.
        for id in 0..<100 as Range<UInt64> { pacer.left(id) }
        #expect(pacer.queued == 0)
    }

    @Test func `a throttled call pauses every caller and slows the rate until it recovers`() {
        var pacer = Pacer(callsPerSecond: 10, burst: 10)
        pacer.throttled(retryAfter: .seconds(4), now: .zero)
        #expect(pacer.slowness == 2)
        #expect(pacer.coolDownLeft(now: .seconds(1)) == .seconds(3))
        let (starts, _) = run(&pacer, calls: 20, timeout: .seconds(60), from: .seconds(1))
        #expect(starts.allSatisfy { $0 >= .seconds(4) })
        #expect(most(starts, within: .seconds(1)) <= 5)
        pacer.accepted(now: .seconds(10))
        #expect(pacer.slowness == 2)
        pacer.accepted(now: .seconds(14))
        #expect(pacer.slowness == 1)
    }

    @Test func `a lower rate turns away the callers that would wait in vain`() {
        var pacer = Pacer(callsPerSecond: 5, burst: 5)
        for id in 0..<30 as Range<UInt64> { _ = pacer.ask(id, .normal, deadline: .seconds(6), now: .zero) }
        let waiting = pacer.queued
        pacer.throttled(retryAfter: .seconds(3), now: .milliseconds(100))
        let (_, turnedAway, _) = pacer.advance(now: .milliseconds(100))
        #expect(!turnedAway.isEmpty)
        #expect(pacer.queued + turnedAway.count == waiting)
        #expect(turnedAway.allSatisfy { $0.retryAfter >= .seconds(3) })
    }

    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func `random crowds of callers never exceed the rate limit`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let rate = Int.random(in: 1...50, using: &random)
        var pacer = Pacer(callsPerSecond: rate, burst: Int.random(in: 1...rate, using: &random))
        var (now, starts, waiting): (Duration, [Duration], Set<UInt64>) = (.zero, [], [])
        for id in 0..<3000 as Range<UInt64> {
            if Int.random(in: 0..<3, using: &random) == 0 {
                now += .milliseconds(Int.random(in: 0...200, using: &random))
            }
            switch Int.random(in: 0..<20, using: &random) {
            case 0:
                if let left = waiting.randomElement(using: &random) {
                    waiting.remove(left)
                    pacer.left(left)
                }
            case 1 where rate > 5: pacer.throttled(retryAfter: nil, now: now)
            default:
                let priority: TransportOptions.Priority = Bool.random(using: &random) ? .high : .normal
                let deadline = now + .milliseconds(Int.random(in: 0...5_000, using: &random))
                switch pacer.ask(id, priority, deadline: deadline, now: now) {
                case .now: starts.append(now)
                case .wait: waiting.insert(id)
                case .no(let retryAfter): #expect(retryAfter > .zero)
                }
            }
            let (started, turnedAway, next) = pacer.advance(now: now)
            starts += started.map { _ in now }
            for id in started.map(\.id) + turnedAway.map(\.id) { #expect(waiting.remove(id) != nil, "seed \(seed)") }
            #expect(pacer.queued == waiting.count, "seed \(seed)")
            #expect((next == nil) == waiting.isEmpty, "seed \(seed)")
            pacer.accepted(now: now)
        }
        #expect(most(starts, within: .seconds(1)) <= rate, "seed \(seed)")
    }
}

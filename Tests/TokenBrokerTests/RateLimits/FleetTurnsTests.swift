import TestSupport
import Testing

@testable import TokenBroker

/// Tests of a fleet's rate limit in one process, in virtual time.
struct FleetTurnsTests {
    /// A process whose store has been there from the beginning.
    private func turns(processes: Int = 2, calls: Int = 4) -> FleetTurns {
        var turns = FleetTurns(
            processes: processes, detection: .milliseconds(600), calls: calls, window: .seconds(1))
        turns.returned(now: .zero)
        return turns
    }

    /// A pacer whose store has been there from the beginning.
    private func pacer(processes: Int = 2, calls: Int = 4) -> Pacer {
        let turns = FleetTurns(
            processes: processes, detection: .milliseconds(600), calls: calls, window: Pacer.window)
        var pacer = Pacer(callsPerSecond: calls, burst: calls, fleet: turns)
        pacer.note { $0.returned(now: .zero) }
        return pacer
    }

    // MARK: Turns

    @Test func `no call starts without a turn`() {
        var turns = turns()
        #expect(turns.isShared)
        #expect(turns.start(now: .seconds(1)).mayStart == false)
        #expect(turns.wantsTurn(now: .seconds(1)))
        turns.asked()
        #expect(!turns.wantsTurn(now: .seconds(1)))
        turns.answered(
            .start(number: 7, after: .milliseconds(100)), asked: .seconds(1), lateness: .milliseconds(125),
            now: .milliseconds(1010))
        #expect(!turns.wantsTurn(now: .milliseconds(1010)))
        // The answer took 10 ms, and the store's pause began at some time between.
        #expect(turns.start(now: .milliseconds(1109)).mayStart == false)
        let (mayStart, turn) = turns.start(now: .milliseconds(1110))
        #expect(mayStart)
        #expect(turn?.number == 7)
        #expect(turn?.planned == .milliseconds(1100))
        #expect(turns.start(now: .milliseconds(1111)).mayStart == false)
        #expect(turns.wantsTurn(now: .milliseconds(1111)))
    }

    @Test(arguments: [(125, true), (126, false)])
    func `a turn is not used more than 125 ms late`(late: Int, isUsed: Bool) {
        var turns = turns()
        turns.asked()
        turns.answered(
            .start(number: 1, after: .milliseconds(10)), asked: .zero, lateness: .milliseconds(125), now: .zero)
        #expect(turns.start(now: .milliseconds(10 + late)).mayStart == isUsed)
        // The next call needs another turn.
        #expect(turns.wantsTurn(now: .seconds(1)))
    }

    @Test func `the store is asked again when its turn is near`() {
        var turns = turns()
        turns.asked()
        turns.answered(.later(.seconds(3)), asked: .zero, lateness: .milliseconds(125), now: .zero)
        #expect(!turns.wantsTurn(now: .milliseconds(1999)))
        #expect(turns.nextQuestion == .seconds(2))
        #expect(turns.wantsTurn(now: .seconds(2)))
        turns.asked()
        #expect(turns.nextQuestion == nil)
        // Not at once, even if the turn is nearer than a window.
        turns.answered(.later(.milliseconds(1)), asked: .seconds(2), lateness: .milliseconds(125), now: .seconds(2))
        #expect(!turns.wantsTurn(now: .milliseconds(2019)))
        #expect(turns.wantsTurn(now: .milliseconds(2020)))
    }

    @Test func `a slow way to the store costs turns, but does not stop the calls`() {
        var turns = turns()
        var now = Duration.zero
        var used = 0
        for number in 0..<20 {
            turns.asked()
            let asked = now
            let lateness = turns.lateness
            now += .milliseconds(400)
            turns.answered(.start(number: number, after: .zero), asked: asked, lateness: lateness, now: now)
            if turns.start(now: now).mayStart { used += 1 }
        }
        #expect(used >= 15)
        #expect(turns.lateness <= .seconds(2))
    }

    @Test func `a failure from before the store came back does not leave a process alone`() {
        var turns = turns()
        turns.asked()
        turns.lost(now: .milliseconds(10), chance: 0)
        turns.returned(now: .milliseconds(20))
        turns.failed(asked: .zero, now: .milliseconds(30), chance: 0)
        #expect(turns.isShared)
    }

    // MARK: Without the store

    @Test func `when the store is lost, unused turns are void, and later each process has its share`() {
        var turns = turns()
        turns.asked()
        turns.answered(.start(number: 1, after: .zero), asked: .zero, lateness: .milliseconds(125), now: .zero)
        #expect(turns.share.calls == 4)
        #expect(turns.share.window == .seconds(1))
        turns.lost(now: .milliseconds(50), chance: 0.9)
        #expect(!turns.isShared)
        #expect(turns.share.calls == 2)
        #expect(turns.share.window == .seconds(1))
        #expect(!turns.wantsTurn(now: .seconds(9)))
        // A window, and the time that the other processes may take to notice.
        for now in [50, 60, 1000, 1899] {
            #expect(turns.start(now: .milliseconds(now)).mayStart == false)
        }
        #expect(turns.turn(of: 0, now: .milliseconds(60)) >= .milliseconds(1900))
        let (mayStart, turn) = turns.start(now: .seconds(3))
        #expect(mayStart)
        #expect(turn?.number == nil)
    }

    @Test(arguments: [(5, 4, 2), (8, 4, 2), (9, 4, 3), (1000, 5, 200)])
    func `with more processes than calls, each has one call in several windows`(
        processes: Int, calls: Int, windows: Int
    ) {
        for chance in [0, 0.5, 0.999] {
            var turns = turns(processes: processes, calls: calls)
            turns.lost(now: .zero, chance: chance)
            #expect(turns.share.calls == 1)
            #expect(turns.share.window == .seconds(windows))
            let phase = Duration.seconds(windows) * chance
            #expect(turns.start(now: .milliseconds(1849) + phase).mayStart == false)
            #expect(turns.start(now: .seconds(3) + phase).mayStart == true)
        }
    }

    @Test func `when the store is back, nothing starts for two windows and half a second`() {
        var turns = turns()
        turns.lost(now: .seconds(2), chance: 0)
        turns.returned(now: .seconds(10))
        #expect(turns.isShared)
        #expect(!turns.wantsTurn(now: .milliseconds(12_499)))
        #expect(turns.start(now: .milliseconds(12_499)).mayStart == false)
        #expect(turns.nextQuestion == .milliseconds(12_500))
        #expect(turns.wantsTurn(now: .milliseconds(12_500)))
    }

    @Test func `a store that comes and goes never shortens a pause`() {
        var turns = turns()
        turns.lost(now: .seconds(2), chance: 0)
        turns.returned(now: .milliseconds(2100))
        turns.lost(now: .milliseconds(2200), chance: 0)
        #expect(turns.start(now: .milliseconds(4599)).mayStart == false)
        #expect(turns.start(now: .seconds(5)).mayStart == true)
    }

    @Test func `an answer to a question from before a loss is not used`() {
        var turns = turns()
        turns.asked()
        turns.lost(now: .milliseconds(10), chance: 0)
        turns.returned(now: .milliseconds(20))
        turns.answered(.start(number: 1, after: .zero), asked: .zero, lateness: .milliseconds(125), now: .seconds(9))
        #expect(turns.start(now: .seconds(9)).mayStart == false)
        #expect(turns.wantsTurn(now: .seconds(9)))
    }

    @Test func `a new process waits for the store, and has its share if it does not come`() {
        var turns = FleetTurns(processes: 2, detection: .milliseconds(600), calls: 4, window: .seconds(1))
        #expect(turns.start(now: .milliseconds(599)).mayStart == false)
        #expect(turns.start(now: .milliseconds(600)).mayStart == true)
        // It has made a call, so the other processes must not be surprised by more.
        turns.returned(now: .seconds(1))
        #expect(!turns.wantsTurn(now: .milliseconds(3499)))
    }

    // MARK: The pacer

    @Test func `the first call in the queue starts with the turn that the store gives`() throws {
        var pacer = pacer()
        #expect(pacer.ask(0, .normal, deadline: .seconds(60), now: .zero) == .wait)
        #expect(pacer.wantsTurn(now: .zero))
        pacer.note { $0.asked() }
        #expect(pacer.advance(now: .zero).start.map(\.id) == [])
        pacer.note {
            $0.answered(
                .start(number: 3, after: .milliseconds(500)), asked: .zero, lateness: .milliseconds(125),
                now: .milliseconds(2))
        }
        let (none, _, next) = pacer.advance(now: .milliseconds(2))
        #expect(none.isEmpty)
        #expect(next == .milliseconds(502))
        let (begun, _, _) = pacer.advance(now: .milliseconds(502))
        let started = try #require(begun.first)
        #expect(started.id == 0)
        #expect(!pacer.wantsTurn(now: .milliseconds(502)))
        // The call began 2 ms later than the store may think, and its answer took 30 ms.
        let answered = pacer.answered(started.start, now: .milliseconds(532))
        let used = try #require(answered)
        #expect(used.turn.number == 3)
        #expect(used.counted == .milliseconds(32))
    }

    @Test func `a call that is answered without a fleet's turn settles nothing`() {
        var pacer = pacer()
        pacer.note { $0.lost(now: .zero, chance: 0) }
        guard case .now(let start) = pacer.ask(0, .normal, deadline: .seconds(60), now: .seconds(5)) else {
            Issue.record("expected a call to start alone, found that it waits")
            return
        }
        if let used = pacer.answered(start, now: .seconds(6)) {
            Issue.record("expected no turn of the fleet, found number \(used.turn.number)")
        }
    }

    @Test func `a cool-down that another process met voids the turn, and the next call needs a new one`() {
        var pacer = pacer()
        #expect(pacer.ask(0, .normal, deadline: .seconds(60), now: .zero) == .wait)
        pacer.note { $0.asked() }
        pacer.note {
            $0.answered(
                .start(number: 1, after: .milliseconds(100)), asked: .zero, lateness: .milliseconds(125), now: .zero)
        }
        pacer.coolDown(for: .seconds(3), now: .milliseconds(50))
        #expect(pacer.coolDownLeft(now: .milliseconds(50)) == .seconds(3))
        #expect(pacer.slowness == 1)
        #expect(pacer.advance(now: .milliseconds(100)).start.map(\.id) == [])
        #expect(!pacer.wantsTurn(now: .milliseconds(100)))
        #expect(pacer.advance(now: .milliseconds(3050)).start.map(\.id) == [])
        #expect(pacer.wantsTurn(now: .milliseconds(3050)))
    }

    @Test func `callers that are too late come back a certain pace apart`() {
        for (processes, calls) in [(1, 5), (2, 4), (100, 5)] {
            var pacer = pacer(processes: processes, calls: calls)
            #expect(pacer.ask(0, .normal, deadline: .seconds(6000), now: .zero) == .wait)
            let pace = Pacer.window * Double(processes) / Double(calls)
            var last = Duration.zero
            for id in 1...100 as ClosedRange<UInt64> {
                guard case .no(let retryAfter) = pacer.ask(id, .normal, deadline: .milliseconds(1), now: .zero) else {
                    Issue.record("expected caller \(id) to be turned away, found that it was not")
                    return
                }
                #expect(retryAfter - last >= pace * 1.09)
                last = retryAfter
            }
        }
    }

    @Test func `a caller whose time runs out while the fleet keeps it waiting is told so`() {
        var pacer = pacer()
        #expect(pacer.ask(0, .normal, deadline: .seconds(2), now: .zero) == .wait)
        #expect(pacer.advance(now: .zero).next == .seconds(2))
        let (start, turnedAway, _) = pacer.advance(now: .seconds(2))
        #expect(start.isEmpty)
        #expect(turnedAway.map(\.id) == [0])
        #expect(pacer.queued == 0)
    }

    /// The store is lost at a random time, and each process notices on its own.
    @Test(arguments: 1...50 as ClosedRange<UInt64>)
    func `without the store, all processes together stay within the limit`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let calls = Int.random(in: 2...20, using: &random)
        let processes = Int.random(in: 1...calls, using: &random)
        var starts: [Duration] = []
        for _ in 0..<processes {
            var pacer = pacer(processes: processes, calls: calls)
            let lost = Duration.milliseconds(Int.random(in: 0...600, using: &random))
            pacer.note { $0.lost(now: lost, chance: 0) }
            for id in 0..<100 as Range<UInt64> { _ = pacer.ask(id, .normal, deadline: .seconds(600), now: lost) }
            var now: Duration? = lost
            while let time = now {
                let (started, _, next) = pacer.advance(now: time)
                starts += started.map { _ in time }
                for (_, start) in started { pacer.answered(start, now: time) }
                now = next
            }
        }
        #expect(starts.count == processes * 100)
        starts.sort()
        for (early, late) in zip(starts, starts.dropFirst(calls)) { #expect(late - early >= .seconds(1)) }
    }
}

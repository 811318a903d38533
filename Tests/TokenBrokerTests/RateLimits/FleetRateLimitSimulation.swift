import TestSupport
import Testing

@testable import TokenBroker

/// Several processes' pacers with one store, in virtual time. The store fails, hangs, forgets and comes back; answers
/// and calls take their time. A seed replays its history.
private struct FleetHistory {
    private enum Event {
        /// A process looks whether calls may start.
        case look(Int, at: Duration)
        case caller(Int)
        /// A question reaches the store.
        case question(Int, asked: Duration, lateness: Duration, epoch: Int)
        case answer(Int, SharedTurn, asked: Duration, lateness: Duration)
        case failure(Int, asked: Duration)
        case response(Int, Pacer.Start)
        case settling(number: Int, earlier: Duration)
        case store(isUp: Bool, forgets: Bool)
        /// A process notices that the store is lost or back.
        case notice(Int, isUp: Bool, epoch: Int)
        case forgetting
    }

    /// The store's state for the limit.
    private struct Ring {
        var count: Int
        var counted: [Int: Duration] = [:]
        var open: Duration
    }

    let calls: Int
    let processes: Int
    private var random: SeededGenerator
    private var pacers: [Pacer]
    private var queue: [(time: Duration, order: Int, event: Event)] = []
    private var order = 0
    private var now = Duration.zero
    private var ring: Ring?
    private var isUp = true
    /// Counts the losses and returns of the store, so that a notice that is out of date is recognized.
    private var epoch = 0
    private var nextCaller: UInt64 = 0
    private var alarms: [Int: Duration] = [:]
    private let limit: SharedLimit
    private let detection = Duration.milliseconds(600)

    private(set) var arrivals: [Duration] = []
    private(set) var isMissing: [String] = []
    private var deadlines: [UInt64: Duration] = [:]

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
        let calls = Int.random(in: 1...10, using: &random)
        self.calls = calls
        let processes = Int.random(in: 1...max(1, calls), using: &random)
        self.processes = processes
        limit = SharedLimit(name: "", calls: calls, window: Pacer.window, delay: Pacer.longestDelay)
        let turns = FleetTurns(processes: processes, detection: detection, calls: calls, window: Pacer.window)
        pacers = (0..<processes).map { _ in Pacer(callsPerSecond: calls, burst: calls, fleet: turns) }
        for process in 0..<processes { pacers[process].note { $0.returned(now: .zero) } }
    }

    private mutating func milliseconds(_ range: ClosedRange<Int>) -> Duration {
        .milliseconds(Int.random(in: range, using: &random))
    }

    private mutating func after(_ time: Duration, _ event: Event) {
        order += 1
        queue.append((now + time, order, event))
    }

    /// Runs for a time, with callers that come all along. The store is disturbed in the middle third.
    mutating func run(for time: Duration) {
        for process in 0..<processes { after(.zero, .caller(process)) }
        var at = time / 3
        while at < time * 2 / 3 {
            switch Int.random(in: 0...2, using: &random) {
            case 0: after(at, .forgetting)
            default:
                after(at, .store(isUp: false, forgets: false))
                at += milliseconds(10...9_000)
                after(at, .store(isUp: true, forgets: Bool.random(using: &random)))
            }
            at += milliseconds(10...12_000)
        }
        while let index = queue.indices.min(by: {
            (queue[$0].time, queue[$0].order) < (queue[$1].time, queue[$1].order)
        }) {
            let next = queue.remove(at: index)
            if next.time > time { break }
            now = next.time
            handle(next.event)
        }
    }

    private mutating func handle(_ event: Event) {
        switch event {
        case .look(let process, let time):
            guard alarms[process] == time else { return }
            alarms[process] = nil
            look(process)
        case .caller(let process):
            after(milliseconds(20...1_500 * processes / calls + 30), .caller(process))
            nextCaller += 1
            let deadline = now + milliseconds(100...10_000)
            deadlines[nextCaller] = deadline
            switch pacers[process].ask(nextCaller, .normal, deadline: deadline, now: now) {
            case .now(let start): begin(process, nextCaller, start)
            case .wait: break
            case .no(let retryAfter):
                deadlines[nextCaller] = nil
                if retryAfter <= .zero { isMissing.append("a time to come back") }
            }
            look(process)
        case .question(let process, let asked, let lateness, let epoch):
            guard isUp, epoch == self.epoch else {
                after(milliseconds(0...100), .failure(process, asked: asked))
                return
            }
            after(milliseconds(0...40), .answer(process, turn(lateness), asked: asked, lateness: lateness))
        case .answer(let process, let turn, let asked, let lateness):
            let now = now
            pacers[process].note { $0.answered(turn, asked: asked, lateness: lateness, now: now) }
            look(process)
        case .failure(let process, let asked):
            let now = now
            pacers[process].note { $0.failed(asked: asked, now: now, chance: 0.5) }
            look(process)
        case .response(let process, let start):
            if let used = pacers[process].answered(start, now: now) {
                let earlier = limit.delay + used.turn.lateness - used.counted
                if earlier > .zero, isUp {
                    after(milliseconds(0...40), .settling(number: used.turn.number, earlier: earlier))
                }
            }
            pacers[process].accepted(now: now)
            look(process)
        case .settling(let number, let earlier):
            guard isUp, let ring, number < ring.count, ring.count - number <= calls else { return }
            self.ring?.counted[number % calls]? -= earlier
        case .store(let isUp, let forgets):
            guard self.isUp != isUp else { return }
            self.isUp = isUp
            epoch += 1
            if forgets { ring = nil }
            for process in 0..<processes {
                after(milliseconds(0...600), .notice(process, isUp: isUp, epoch: epoch))
            }
        case .notice(let process, let isUp, let epoch):
            guard epoch == self.epoch else { return }
            let now = now
            pacers[process].note { isUp ? $0.returned(now: now) : $0.lost(now: now, chance: 0.5) }
            look(process)
        case .forgetting: ring = nil
        }
    }

    private mutating func look(_ process: Int) {
        let (started, turnedAway, next) = pacers[process].advance(now: now)
        for (id, start) in started { begin(process, id, start) }
        for (id, _) in turnedAway { deadlines[id] = nil }
        if pacers[process].wantsTurn(now: now) {
            pacers[process].note { $0.asked() }
            let lateness = pacers[process].fleet?.lateness ?? .zero
            after(milliseconds(0...40), .question(process, asked: now, lateness: lateness, epoch: epoch))
        }
        guard let next, alarms[process].map({ next < $0 }) ?? true else { return }
        alarms[process] = next
        after(next - now, .look(process, at: next))
    }

    private mutating func begin(_ process: Int, _ id: UInt64, _ start: Pacer.Start) {
        if let deadline = deadlines.removeValue(forKey: id), now > deadline { isMissing.append("a start in time") }
        let travel = milliseconds(5...200)
        arrivals.append(now + travel)
        after(travel + milliseconds(0...5), .response(process, start))
    }

    private mutating func turn(_ lateness: Duration) -> SharedTurn {
        var ring = ring ?? Ring(count: Int(now / .microseconds(1)), open: now + limit.quarantine)
        defer { self.ring = ring }
        let back = ring.counted[ring.count % calls].map { $0 + limit.window }
        let start = max(now, ring.open, back ?? .zero)
        guard start - now <= Pacer.window else { return .later(start - now) }
        ring.counted[ring.count % calls] = start + limit.delay + lateness
        ring.count += 1
        return .start(number: ring.count - 1, after: start - now)
    }

    /// The most calls that the vendor counts within any second.
    var most: Int {
        let sorted = arrivals.sorted()
        var (most, first) = (0, 0)
        for (index, arrival) in sorted.enumerated() {
            while sorted[first] + .seconds(1) <= arrival { first += 1 }
            most = max(most, index - first + 1)
        }
        return most
    }

    /// The callers that wait beyond their deadline.
    var forgotten: Int { deadlines.values.count { $0 < now - .seconds(1) } }
}

@Suite struct `A fleet's rate limit in virtual time` {
    @Test(arguments: 0..<60 as Range<UInt64>)
    func `the vendor's limit holds through losses, returns and forgetting`(seed: UInt64) {
        var history = FleetHistory(seed: seed)
        history.run(for: .seconds(90))
        #expect(history.most <= history.calls, "\(history.processes) processes")
        #expect(history.isMissing.isEmpty)
        #expect(history.forgotten == 0)
        // Even with what losses cost, calls are made.
        #expect(history.arrivals.count >= history.calls * 10)
    }
}

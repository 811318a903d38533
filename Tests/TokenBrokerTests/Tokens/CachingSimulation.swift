import Synchronization
import TestSupport
import Testing
import TokenBrokerTesting

@testable import TokenBroker

/// A provider whose fetches stay open until the simulation ends them.
private final class OpenIssuer: TokenProvider {
    struct Fetch {
        var number: Int
        var request: TokenRequest
        var replacing: Token.ID?
        var begun: Duration
        var continuation: CheckedContinuation<Result<Token, TokenError>, Never>
    }
    struct State {
        var last = 0
        var open: [Fetch] = []
        /// The fetches that began since the simulation's last look.
        var begun: [(number: Int, request: TokenRequest, replacing: Token.ID?, at: Duration)] = []
    }
    let clock: ManualClock
    let state = Mutex(State())

    init(_ clock: ManualClock) { self.clock = clock }

    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        // This ignores cancellation, which is the worst that an issuer can do.
        try await withCheckedContinuation { continuation in
            state.withLock { state in
                state.last += 1
                let now = clock.now.offset
                state.begun.append((state.last, request, demand.replacing, now))
                state.open.append(
                    Fetch(
                        number: state.last, request: request, replacing: demand.replacing, begun: now,
                        continuation: continuation))
            }
        }.get()
    }
}

/// The results of the callers, recorded by their tasks.
private final class Answers: Sendable {
    let done = Mutex<[(caller: Int, result: Result<Token, TokenError>, at: Duration)]>([])
}

/// A random history of a running ``CachingTokenProvider``.
///
/// Callers arrive by the dozen, wait, time out and are cancelled. The issuer responds in any order or never, fails,
/// throttles, and issues short-lived and expired tokens. Lines are rotated and revoked, the clock jumps, and tasks run
/// in any order. The model knows only which tokens were issued, when and for which request, and what the callers
/// demanded.
private struct CachingHistory {
    let seed: UInt64
    let scheduler: SimulatedScheduler
    var random: SeededGenerator
    let clock = ManualClock()
    let issuer: OpenIssuer
    let cache: CachingTokenProvider<OpenIssuer>
    let answers = Answers()
    var steps = 0
    var complaint: String?

    static let fetchTimeout = Duration.seconds(30)

    struct Caller {
        var request: TokenRequest
        var demand: TokenDemand
        var asked: Duration
        var task: Task<Void, Never>
    }
    struct Issued {
        var request: TokenRequest
        var end: Duration
        var lifetime: Duration
        var lineage: Lineage
        var fetch: Int
    }
    struct Memory {
        /// The newest token whose line was not revoked when it arrived, and that no caller refused.
        var best: Token.ID?
        var failedUntil: Duration = .zero
        /// The last failure since the last success.
        var lastFailure: Duration?
    }

    var callers: [Int: Caller] = [:]
    var lastCaller = 0
    var issued: [Token.ID: Issued] = [:]
    var memory: [TokenRequest: Memory] = [:]
    var running: [Int: (request: TokenRequest, replacing: Token.ID?, begun: Duration)] = [:]
    var credential = Lineage()
    /// Tokens whose lines were revoked by the simulation, not by a refusal.
    var revoked: Set<Token.ID> = []
    var requests: [TokenRequest]

    var now: Duration { clock.now.offset }

    init(seed: UInt64, scheduler: SimulatedScheduler) {
        self.seed = seed
        self.scheduler = scheduler
        random = SeededGenerator(seed: seed)
        issuer = OpenIssuer(clock)
        let chances = Chance(SeededGenerator(seed: seed ^ 0xabcd))
        cache = CachingTokenProvider(issuer, clock: clock, fetchTimeout: Self.fetchTimeout) { chances.next() }
        requests = (0..<Int.random(in: 1...4, using: &random)).map { TokenRequest(customer: "c", invoice: "\($0)") }
    }

    mutating func expect(_ condition: Bool, _ promise: @autoclosure () -> String) {
        if !condition, complaint == nil { complaint = "seed \(seed), step \(steps): \(promise())" }
    }

    mutating func run(_ count: Int) -> String? {
        while steps < count, complaint == nil {
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<10: for _ in 0..<Int.random(in: 1...40, using: &random) { ask() }
            case 10..<30: probe()
            case 30..<42: cancel()
            case 42..<72: answer()
            case 72..<88: advance(.milliseconds(Int.random(in: 0...2_000, using: &random)))
            case 88..<94: advance(.seconds(Int.random(in: 1...100, using: &random)))
            case 94: advance(.seconds(Int.random(in: 100...8_000, using: &random)))
            case 95..<97: rotate()
            case 97:
                if let id = memory.values.compactMap(\.best).min(by: { $0.rawValue < $1.rawValue }) {
                    settle()
                    issued[id]?.lineage.revoke()
                    revoked.insert(id)
                }
            case 98:
                settle()
                credential.revoke()
                credential = Lineage()
            default: break
            }
            // Sometimes all tasks settle; sometimes the next event happens while they still run.
            if Bool.random(using: &random) {
                settle()
            } else {
                for _ in 0..<Int.random(in: 0...8, using: &random) where scheduler.hasWork {
                    scheduler.step(using: &random)
                }
                look()
            }
            steps += 1
        }
        end()
        return complaint
    }

    /// Ends the history: every caller has an answer in the end, and nothing runs after a shutdown.
    mutating func end() {
        settle()
        let cache = cache
        let isDown = Flag()
        let shutdown = Task {
            await cache.shutdown()
            isDown.set()
        }
        settle()
        // The shutdown waits for the fetches, which ignore cancellation.
        while let fetch = issuer.state.withLock({ $0.open.popLast() }) {
            fetch.continuation.resume(returning: .failure(TokenError(.cancelled, message: "")))
        }
        settle()
        let left = callers.count
        expect(left == 0, "everybody gets an answer: \(left) did not")
        expect(isDown.isSet, "shutdown ends")
        _ = shutdown
        clock.advance(by: .seconds(100))
        scheduler.settle(using: &random)
    }

    mutating func settle() {
        scheduler.settle(using: &random)
        look()
        // A token that a caller refused is discarded.
        for (request, known) in memory {
            guard let best = known.best, let lineage = issued[best]?.lineage, lineage.state == .revoked,
                lineage.parent?.state != .revoked, !revoked.contains(best)
            else { continue }
            memory[request]?.best = nil
        }
    }

    mutating func demand(_ request: TokenRequest, isPatient: Bool) -> TokenDemand {
        var demand = TokenDemand()
        if Bool.random(using: &random) {
            demand.minimumRemaining = .seconds(Int.random(in: 0...400, using: &random))
        }
        switch Int.random(in: 0..<12, using: &random) {
        case 0: demand.replacing = memory[request]?.best
        case 1: demand.replacing = Token.ID(rawValue: "old")
        case 2...4 where !isPatient: demand.timeout = .milliseconds(Int.random(in: 0...5_000, using: &random))
        default: break
        }
        return demand
    }

    mutating func ask(isPatient: Bool = false) {
        steps += 1
        let request = requests[Int.random(in: 0..<requests.count, using: &random)]
        let demand = demand(request, isPatient: isPatient)
        // The issuer sees no order between two fetches that begin at the same time.
        if demand.replacing != nil { settle() }
        defer { if demand.replacing != nil, !isPatient { settle() } }
        lastCaller += 1
        let (cache, clock, answers, number) = (cache, clock, answers, lastCaller)
        let task = Task {
            let result: Result<Token, TokenError>
            do throws(TokenError) {
                result = .success(try await cache.token(for: request, demand: demand))
            } catch {
                result = .failure(error)
            }
            answers.done.withLock { $0.append((number, result, clock.now.offset)) }
        }
        callers[number] = Caller(request: request, demand: demand, asked: now, task: task)
    }

    /// Adds one caller while nothing else runs, so that its outcome is known.
    mutating func probe() {
        settle()
        ask(isPatient: true)
        let number = lastCaller
        guard let caller = callers[number] else { return }
        let best = memory[caller.request]?.best
        let servable = best.map { isServable($0, caller.demand) } ?? false
        let isSuperseded = best.flatMap { issued[$0]?.lineage.state } == .superseded
        let isFetching = running.values.contains { $0.request == caller.request }
        let isResting = now < memory[caller.request]?.failedUntil ?? .zero
        let mayRest = memory[caller.request]?.lastFailure.map { now - $0 < .seconds(300) } ?? false
        let before = running.count
        scheduler.settle(using: &random)
        let answer = answers.done.withLock { done in done.first { $0.caller == number } }
        if servable {
            guard case .success(let token)? = answer?.result else {
                return expect(false, "nobody waits while there is a valid token")
            }
            expect(token.id == best, "the newest token is served")
            look()
            if isSuperseded, !isFetching, !mayRest {
                expect(running.count == before + 1, "a token of a superseded line is renewed behind")
            }
        } else if isResting {
            guard let answer else {
                // The caller may have joined a fetch that was in flight.
                return expect(isFetching, "failures are told at once, until it is worth trying again")
            }
            if case .success = answer.result { expect(false, "there is no token to be had") }
        } else {
            if let answer {
                guard case .failure = answer.result else { return expect(false, "there is no token to be had") }
                return expect(mayRest, "who has no token waits for one")
            }
            look()
            expect(
                running.values.contains {
                    // A caller that accepts any token can wait for a renewal.
                    $0.request == caller.request
                        && (caller.demand.replacing == nil || $0.replacing == caller.demand.replacing)
                },
                "there is a fetch for who waits")
        }
        look()
    }

    func isServable(_ id: Token.ID, _ demand: TokenDemand) -> Bool {
        guard let token = issued[id], token.lineage.state != .revoked, id != demand.replacing else { return false }
        let remaining = token.end - now
        return remaining > .zero && remaining >= min(demand.minimumRemaining, token.lifetime / 2)
    }

    mutating func cancel() {
        guard let number = callers.keys.sorted().randomElement(using: &random) else { return }
        callers[number]?.task.cancel()
        guard Bool.random(using: &random) else { return }
        settle()
        expect(callers[number] == nil, "who is cancelled leaves at once")
    }

    mutating func rotate() {
        settle()
        credential.supersede()
        credential = Lineage()
    }

    mutating func advance(_ duration: Duration) {
        settle()
        clock.advance(by: duration)
        settle()
        for (number, caller) in callers {
            if let timeout = caller.demand.timeout {
                expect(now < caller.asked + timeout, "caller \(number) waits no longer than its timeout")
            }
            // There are two fetches if the credentials were revoked during the first.
            expect(now < caller.asked + Self.fetchTimeout * 2, "nobody waits longer than a fetch may take")
        }
        // An abandoned fetch counts only as a failure.
        for (number, fetch) in running where fetch.begun + Self.fetchTimeout <= now {
            running[number] = nil
            memory[fetch.request, default: Memory()].lastFailure = now
        }
    }

    /// Ends a random fetch with a random result.
    mutating func answer() {
        settle()
        let count = issuer.state.withLock { $0.open.count }
        guard count > 0 else { return }
        let index = Int.random(in: 0..<count, using: &random)
        let fetch = issuer.state.withLock { $0.open.remove(at: index) }
        let isAwaited = running[fetch.number] != nil
        var result: Result<Token, TokenError>
        switch Int.random(in: 0..<12, using: &random) {
        case 0: result = .failure(TokenError(.unavailable, message: ""))
        case 1:
            let pause = Duration.seconds(Int.random(in: -1...90, using: &random))
            result = .failure(TokenError(.throttled, message: "", retryAfter: pause))
        case 2: result = .failure(TokenError(.credentialsRejected, message: ""))
        case 3: result = .failure(TokenError(.cancelled, message: ""))
        default:
            let lives: [Duration] = [.seconds(3600), .seconds(900), .seconds(3), .milliseconds(1), .zero]
            let life = lives[Int.random(in: 0..<lives.count, using: &random)]
            result = .success(
                Token(
                    id: Token.ID(rawValue: "token \(issued.count)"), secret: Secret("t"), remaining: life,
                    lineage: Lineage(descendingFrom: credential)))
        }
        running[fetch.number] = nil
        if case .success(let token) = result, token.remaining > .zero, isAwaited {
            issued[token.id] = Issued(
                request: fetch.request, end: now + token.remaining, lifetime: token.remaining, lineage: token.lineage,
                fetch: fetch.number)
            var known = memory[fetch.request] ?? Memory()
            known.failedUntil = .zero
            known.lastFailure = nil
            let (former, state) = (
                known.best.flatMap { issued[$0] }.flatMap { $0.end > now ? $0 : nil }, token.lineage.state
            )
            // A token of a newer line is better. Among tokens of the same line, that of the later fetch is.
            let isBetter =
                former.map { state < $0.lineage.state || (state == $0.lineage.state && $0.fetch < fetch.number) }
                ?? true
            if state != .revoked, isBetter { known.best = token.id }
            memory[fetch.request] = known
        } else if isAwaited {
            var pause = Duration.zero
            let best = memory[fetch.request]?.best
            let isValid = best.flatMap { issued[$0] }.map { $0.end > now && $0.lineage.state != .revoked } ?? false
            switch result {
            case .failure(let error) where error.code == .cancelled: pause = .zero
            case .failure(let error) where error.code == .throttled: pause = max(error.retryAfter ?? .zero, .seconds(1))
            case .failure(let error) where error.code == .credentialsRejected: pause = .seconds(1)
            default: pause = isValid ? .zero : .milliseconds(900)
            }
            let until = max(memory[fetch.request]?.failedUntil ?? .zero, now + pause)
            memory[fetch.request, default: Memory()].failedUntil = until
            memory[fetch.request, default: Memory()].lastFailure = now
        }
        fetch.continuation.resume(returning: result)
        settle()
    }

    /// Compares what happened with what the cache promises.
    mutating func look() {
        let begun = issuer.state.withLock { state in
            defer { state.begun = [] }
            return state.begun
        }
        for fetch in begun {
            let twin = running.values.contains { $0.request == fetch.request && $0.replacing == fetch.replacing }
            expect(!twin, "one fetch at a time for each request")
            expect(
                fetch.at >= memory[fetch.request]?.failedUntil ?? .zero, "nothing is asked for before it is worth it")
            running[fetch.number] = (fetch.request, fetch.replacing, fetch.at)
        }
        let done = answers.done.withLock { done in
            defer { done = [] }
            return done
        }
        for (number, result, at) in done {
            guard let caller = callers.removeValue(forKey: number) else {
                expect(false, "nobody is answered twice")
                continue
            }
            switch result {
            case .success(let token):
                guard let known = issued[token.id] else {
                    expect(false, "a token that was not issued, or came too late, is not handed out")
                    continue
                }
                expect(known.request == caller.request, "a token is for the request that was made")
                expect(token.id != caller.demand.replacing, "a token that was refused does not come again")
                expect(token.remaining > .zero, "no dead token is handed out")
                expect(
                    token.remaining >= min(caller.demand.minimumRemaining, known.lifetime / 2),
                    "a token has the life that was promised")
                let served = known.end - token.remaining
                expect(caller.asked <= served && served <= at, "the life that is left is told truly")
            case .failure(let error):
                let known = memory[caller.request]?.lastFailure != nil
                expect(
                    known || [.cancelled, .timedOut].contains(error.code), "a failure is one that happened: \(error)")
            }
        }
    }
}

/// A random number generator that closures share.
private final class Chance: Sendable {
    private let generator: Mutex<SeededGenerator>
    init(_ generator: SeededGenerator) { self.generator = Mutex(generator) }
    func next() -> Double { generator.withLock { Double.random(in: 0..<1, using: &$0) } }
}

private final class Flag: Sendable {
    private let value = Atomic(false)
    func set() { value.store(true, ordering: .releasing) }
    var isSet: Bool { value.load(ordering: .acquiring) }
}

struct CachingSimulation {
    /// To replay a failure, list only its seed here.
    @Test(arguments: [1, 2] as [UInt64]) func `random histories keep the cache's promises`(part: UInt64) async {
        let complaints = await SimulatedScheduler.runInTurn { scheduler in
            ((part * 1000)..<(part * 1000 + 50)).compactMap { seed in
                var history = CachingHistory(seed: seed, scheduler: scheduler)
                return history.run(2_000)
            }
        }
        #expect(complaints.isEmpty)
    }

    @Test func `a simulation's seed replays the same history`() async {
        let first = await SimulatedScheduler.run { scheduler in
            var history = CachingHistory(seed: 7, scheduler: scheduler)
            _ = history.run(300)
            return [history.now / .milliseconds(1), Double(history.issued.count), Double(history.lastCaller)]
        }
        let second = await SimulatedScheduler.run { scheduler in
            var history = CachingHistory(seed: 7, scheduler: scheduler)
            _ = history.run(300)
            return [history.now / .milliseconds(1), Double(history.issued.count), Double(history.lastCaller)]
        }
        #expect(first == second)
    }
}

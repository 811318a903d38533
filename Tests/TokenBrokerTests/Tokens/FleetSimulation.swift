import Synchronization
import TestSupport
import Testing
import TokenBrokerTesting

@testable import TokenBroker

/// The results of the callers, recorded by their tasks.
private final class FleetAnswers: Sendable {
    let done = Mutex<[(caller: Int, result: Result<Token, TokenError>, at: Duration)]>([])
}

/// A random history of a fleet: several processes, each with both steps, their caches and the rate limit, one store and
/// one vendor.
///
/// Callers come and leave. Calm stretches alternate with disturbed ones, in which the store fails, loses its content,
/// fails over or answers late, processes are cut off from it and restarted, and secrets are rotated. The vendor
/// throttles, fails and revokes at any time. The model knows what the vendor issued, and what the callers demanded.
private struct FleetTokenHistory {
    struct Process {
        var number: Int
        let credentials: ChangingCredentials
        let connection: InMemorySharedStore.Connection
        let refresh: @Sendable () async -> Void
        let access: any TokenProvider & ShutsDown
        let checkout: any TokenProvider & ShutsDown
        let limited: RateLimitedTransport
    }

    struct Caller {
        var process: Int
        var request: TokenRequest
        var demand: TokenDemand
        var asked: Duration
        /// Whether the fleet was calm when the caller came.
        var wasCalm: Bool
        /// Whether the token that the caller replaces is the newest of the fleet.
        var replacesNewest: Bool
        var task: Task<Void, Never>
    }

    let seed: UInt64
    let scheduler: SimulatedScheduler
    let clock = ManualClock()
    let vendor: FleetVendor
    let store: InMemorySharedStore
    let answers = FleetAnswers()
    let size: Int
    let calls: Int
    /// Whether single processes are cut off from the store, which may exceed the limit by their share.
    let isPartitioned: Bool
    /// What every caller demands, like the requests of an endpoint.
    let minimumRemaining: Duration
    var random: SeededGenerator
    var processes: [Process] = []
    var lastProcess = 0
    var callers: [Int: Caller] = [:]
    var lastCaller = 0
    var generation = 0
    /// The tokens that callers have replaced by newer ones, and since when.
    var replaced: [Token.ID: (process: Int, since: Duration, wasCalm: Bool)] = [:]
    /// The token that a process served last for an invoice.
    var lastServed: [String: (id: Token.ID, text: String)] = [:]
    /// The newest generation that a process has served for a request.
    var served: [String: Int] = [:]
    /// Since when the vendor has been healthy.
    var healthySince: Duration? = .zero
    /// When revocations of access tokens have no consequences any more.
    var trustedSince = Duration.zero
    var counts = (answers: 0, tokens: 0, calm: 0)
    var complaint: String?

    static let fetchTimeout = Duration.seconds(30)

    var now: Duration { clock.now.offset }

    init(seed: UInt64, scheduler: SimulatedScheduler) throws {
        self.seed = seed
        self.scheduler = scheduler
        random = SeededGenerator(seed: seed)
        vendor = FleetVendor(clock: clock, seed: seed)
        store = InMemorySharedStore(clock: clock)
        calls = Int.random(in: 3...8, using: &random)
        size = Int.random(in: 2...min(4, calls), using: &random)
        minimumRemaining = .seconds(Int.random(in: 0...60, using: &random))
        isPartitioned = Bool.random(using: &random)
        for _ in 0..<size { try startProcess(at: processes.count) }
    }

    mutating func startProcess(at index: Int) throws {
        lastProcess += 1
        let chances = FleetChance(SeededGenerator(seed: seed ^ UInt64(lastProcess) << 32))
        let (clock, chance) = (clock, { @Sendable in chances.next() })
        let (link, wallClock) = (FleetLink(vendor: vendor, process: lastProcess), { @Sendable in clock.date })
        let credentials = ChangingCredentials()
        credentials.set(.success([FleetVendor.credential(generation)]))
        let connection = store.connection()
        let fleet = Fleet(store: connection, sealing: PlainSealing(), processes: size)
        let vendor = try testVendor()
        let limited = RateLimitedTransport(
            link, account: vendor.account, requestsPerSecond: calls, fleet: fleet, name: "limit", clock: clock,
            wallClock: wallClock)
        let provider = ClientCredentialsProvider(
            vendor: vendor, credentials: credentials, transport: limited, clock: clock, wallClock: wallClock)
        func cached<Upstream: TokenProvider>(
            _ upstream: Upstream, _ step: String
        ) -> CachingTokenProvider<SharingTokenProvider<RetryingTokenProvider<Upstream>>> {
            let retrying = RetryingTokenProvider(upstream, clock: clock, chance: chance)
            let sharing = SharingTokenProvider(
                retrying, step: step, fleet: fleet, lines: provider, vendor: vendor, clock: clock,
                wallClock: wallClock, chance: chance)
            return CachingTokenProvider(sharing, clock: clock, fetchTimeout: Self.fetchTimeout, chance: chance)
        }
        let access = cached(provider, "access_token")
        let checkout = cached(
            CheckoutTokenProvider(
                vendor: vendor, accessTokens: access, transport: limited, clock: clock, wallClock: wallClock),
            "checkout_token")
        let process = Process(
            number: lastProcess, credentials: credentials, connection: connection,
            refresh: {
                await provider.refresh()
                access.renewSuperseded()
            }, access: access,
            checkout: checkout, limited: limited)
        if index < processes.count { processes[index] = process } else { processes.append(process) }
    }

    mutating func expect(_ condition: Bool, _ promise: @autoclosure () -> String) {
        if !condition, complaint == nil { complaint = "seed \(seed), at \(now): \(promise())" }
    }

    // MARK: The course

    mutating func run(stretches: Int) throws -> String? {
        for stretch in 0..<stretches where complaint == nil {
            let isCalm = stretch.isMultiple(of: 2)
            if isCalm { calmDown() }
            for _ in 0..<(isCalm ? 150 : 40) where complaint == nil {
                step()
                if !isCalm, Int.random(in: 0..<3, using: &random) == 0 { try disturb() }
            }
        }
        end()
        return complaint ?? vendor.state.withLock { $0.complaint }.map { "seed \(seed): \($0)" }
    }

    private mutating func calmDown() {
        store.isDown = false
        for process in processes {
            process.connection.isCut = false
            process.connection.delay = .milliseconds(Int.random(in: 0...40, using: &random))
        }
        vendor.state.withLock { $0.calmSince = now }
    }

    private mutating func step() {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<35: for _ in 0..<Int.random(in: 1...8, using: &random) { ask() }
        case 35..<40:
            if let number = callers.keys.sorted().randomElement(using: &random) { callers[number]?.task.cancel() }
        case 40..<78: pass(.milliseconds(Int.random(in: 0...1_500, using: &random)))
        case 78..<88: pass(.seconds(Int.random(in: 1...20, using: &random)))
        case 88..<92: pass(.seconds(Int.random(in: 20...300, using: &random)))
        case 92: pass(.seconds(Int.random(in: 300...2_000, using: &random)))
        case 93..<95: change(.throttling(retryAfter: Int.random(in: 1...5, using: &random)))
        case 95: change([.failing, .dropping].randomElement(using: &random) ?? .failing)
        case 96..<98: change(.healthy)
        default:
            let newest = vendor.state.withLock { $0.newest["access token \(generation)"] }
            if let newest {
                vendor.refuse(newest)
                // Revocations in a row open the breaker, for ten minutes at the most at a time.
                trustedSince = now + .seconds(1500)
            }
        }
        // Trouble with the vendor is short.
        if healthySince == nil, Bool.random(using: &random) { change(.healthy) }
        look()
    }

    private mutating func change(_ mood: FleetVendor.Mood) {
        vendor.state.withLock { $0.mood = mood }
        if case .healthy = mood { healthySince = healthySince ?? now } else { healthySince = nil }
    }

    private mutating func disturb() throws {
        vendor.state.withLock { $0.calmSince = nil }
        let index = Int.random(in: 0..<size, using: &random)
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<2: store.isDown = true
        case 2..<4: store.isDown = false
        case 4: store.lose()
        case 5:
            // A new primary that lacks the old one's content.
            store.isDown = true
            store.lose()
        case 6: processes[index].connection.delay = .milliseconds(Int.random(in: 0...100, using: &random))
        case 7:
            if isPartitioned { processes[index].connection.isCut.toggle() }
        case 8: rotate()
        default: try restart(index)
        }
    }

    private mutating func rotate() {
        generation += 1
        vendor.state.withLock { $0.generation = generation }
        for process in processes {
            process.credentials.set(.success([FleetVendor.credential(generation)]))
            _ = Task { await process.refresh() }
            pass(.milliseconds(Int.random(in: 0...500, using: &random)))
        }
    }

    private mutating func restart(_ index: Int) throws {
        let process = processes[index]
        _ = Task {
            await process.checkout.shutdown()
            await process.access.shutdown()
            await process.limited.shutdown()
        }
        pass(.milliseconds(Int.random(in: 1_000...4_000, using: &random)))
        process.connection.isCut = true
        try startProcess(at: index)
        // A process that starts just when the store comes back may exceed the limit.
        pass(.seconds(1))
    }

    private mutating func end() {
        calmDown()
        change(.healthy)
        pass(.seconds(200))
        let left = callers.count
        expect(left == 0, "everybody gets an answer: \(left) did not")
        let flights = vendor.state.withLock { $0.flights.values.reduce(0, +) }
        expect(flights == 0, "every call ends: \(flights) did not")
        for process in processes {
            _ = Task {
                await process.checkout.shutdown()
                await process.access.shutdown()
                await process.limited.shutdown()
            }
        }
        pass(.seconds(100))
    }

    /// Lets time pass, with everything that happens meanwhile in its order.
    mutating func pass(_ duration: Duration) {
        if duration >= .seconds(1) {
            for process in processes { _ = Task { await process.refresh() } }
        }
        scheduler.settle(using: &random)
        let end = clock.now.offset + duration
        while let next = clock.nextDeadline?.offset, next <= end {
            clock.advance(by: next - clock.now.offset)
            scheduler.settle(using: &random)
        }
        clock.advance(by: end - clock.now.offset)
        scheduler.settle(using: &random)
        look()
    }

    // MARK: Callers

    private mutating func ask() {
        let index = Int.random(in: 0..<size, using: &random)
        let request = TokenRequest(customer: "c", invoice: "inv_\(Int.random(in: 0...3, using: &random))")
        var demand = TokenDemand(minimumRemaining: minimumRemaining)
        var replacesNewest = false
        switch Int.random(in: 0..<12, using: &random) {
        case 0: (demand.replacing, replacesNewest) = refuse(request, by: processes[index].number)
        case 1..<4: demand.timeout = .milliseconds(Int.random(in: 0...8_000, using: &random))
        default: break
        }
        lastCaller += 1
        let (provider, clock, answers, number) = (processes[index].checkout, clock, answers, lastCaller)
        let task = Task {
            let result: Result<Token, TokenError>
            do throws(TokenError) {
                result = .success(try await provider.token(for: request, demand: demand))
            } catch {
                result = .failure(error)
            }
            answers.done.withLock { $0.append((number, result, clock.now.offset)) }
        }
        callers[number] = Caller(
            process: processes[index].number, request: request, demand: demand, asked: now, wasCalm: vendor.isCalm,
            replacesNewest: replacesNewest, task: task)
    }

    /// Returns the token that a process served last, which the vendor refuses from now on.
    private mutating func refuse(_ request: TokenRequest, by process: Int) -> (id: Token.ID?, isNewest: Bool) {
        let invoice = request.inputs[.invoice]?.unicode ?? ""
        guard let (id, text) = lastServed["\(process) \(invoice)"] else { return (nil, false) }
        vendor.refuse(text)
        let isNewest = vendor.state.withLock { state in
            state.issued[text].map { state.newest[$0.key] == text } ?? false
        }
        return (id, isNewest)
    }

    /// Compares what happened with what a fleet promises.
    private mutating func look() {
        let complaint = vendor.state.withLock { $0.complaint }
        if let complaint { expect(false, complaint) }
        // Each process that is cut off has its share, while the others have the limit.
        let most = vendor.state.withLock { $0.mostArrivals }
        let allowed = calls + (isPartitioned ? size * (calls / size) : 0)
        expect(most <= allowed, "at most \(allowed) calls in a second, found \(most)")
        let done = answers.done.withLock { done in
            defer { done = [] }
            return done
        }
        for (number, result, at) in done {
            guard let caller = callers.removeValue(forKey: number) else {
                expect(false, "nobody is answered twice")
                continue
            }
            counts.answers += 1
            switch result {
            case .success(let token): judge(token, of: caller, at: at)
            case .failure(let error): judge(error, of: caller, at: at)
            }
        }
        for caller in callers.values {
            let timeout = caller.demand.timeout ?? Self.fetchTimeout * 2
            expect(now <= caller.asked + timeout, "nobody waits longer than \(timeout)")
        }
    }

    private mutating func judge(_ token: Token, of caller: Caller, at: Duration) {
        counts.tokens += 1
        let text = token.secret.reveal()
        guard let issued = vendor.state.withLock({ $0.issued[text] }) else {
            return expect(false, "a token that the vendor issued")
        }
        let invoice = caller.request.inputs[.invoice]?.unicode ?? ""
        expect(issued.key == "\(invoice) \(issued.generation)", "a token for the request that was made")
        expect(token.remaining > .zero, "no dead token is handed out")
        expect(at + token.remaining <= issued.end + .seconds(1), "the life that is left is told truly")
        let needed = min(caller.demand.minimumRemaining, issued.life / 2)
        expect(token.remaining >= needed - .seconds(2), "a token has the life that was promised")
        expect(token.id != caller.demand.replacing, "a token that was refused does not come again")
        if let refusal = replaced[token.id], caller.asked > refusal.since {
            expect(refusal.process != caller.process, "a process does not serve again what it refused")
            let isKnown = refusal.wasCalm && caller.wasCalm && caller.asked - refusal.since > .seconds(1)
            expect(!isKnown, "no process serves a token that another one has refused")
        }
        // A process that has an older token, or is told to wait, asks nothing of the fleet. If the fleet already has a
        // newer token than the refused one, others may still serve that until they learn of the newer one.
        if let id = caller.demand.replacing, let delivered = issued.delivered, delivered > caller.asked {
            replaced[id] =
                replaced[id] ?? (caller.process, at, caller.wasCalm && caller.replacesNewest && vendor.isCalm)
        }
        let key = "\(caller.process) \(invoice)"
        lastServed[key] = (token.id, text)
        let isOlder = issued.generation < served[key] ?? 0
        expect(!isOlder || !caller.wasCalm, "no token of an old secret after one of the new")
        served[key] = max(issued.generation, served[key] ?? 0)
    }

    private mutating func judge(_ error: TokenError, of caller: Caller, at: Duration) {
        guard caller.wasCalm, let healthySince,
            caller.asked - max(healthySince, trustedSince) > FleetVendor.aftermath
        else { return }
        counts.calm += 1
        let isOwn = caller.demand.timeout != nil && error.code == .timedOut
        expect(
            isOwn || [.cancelled, .throttled].contains(error.code), "a calm fleet with a healthy vendor: \(error)")
    }
}

/// A random number generator that closures share.
private final class FleetChance: Sendable {
    private let generator: Mutex<SeededGenerator>
    init(_ generator: SeededGenerator) { self.generator = Mutex(generator) }
    func next() -> Double { generator.withLock { Double.random(in: 0..<1, using: &$0) } }
}

@Suite struct `A fleet in virtual time` {
    /// To replay a failure, list only its seed here.
    @Test(arguments: [1, 2] as [UInt64]) func `random histories keep the fleet's promises`(part: UInt64) async {
        let complaints = await SimulatedScheduler.runInTurn { scheduler in
            ((part * 1000)..<(part * 1000 + 20)).compactMap { seed in
                do {
                    var history = try FleetTokenHistory(seed: seed, scheduler: scheduler)
                    return try history.run(stretches: 8)
                } catch {
                    return "seed \(seed): \(error)"
                }
            }
        }
        #expect(complaints.isEmpty, "\(complaints.first ?? "")")
    }

    @Test func `a fleet's seed replays the same history`() async {
        @Sendable func numbers(_ scheduler: SimulatedScheduler) -> [Int] {
            guard var history = try? FleetTokenHistory(seed: 7, scheduler: scheduler) else { return [] }
            _ = try? history.run(stretches: 2)
            let calls = history.vendor.state.withLock { [$0.calls, $0.issued.count, $0.mostArrivals] }
            return calls + [history.lastCaller, history.counts.answers, history.counts.tokens]
        }
        let first = await SimulatedScheduler.run(numbers)
        let second = await SimulatedScheduler.run(numbers)
        #expect(first == second)
        // The history says something: there were many calls and tokens.
        #expect(first.allSatisfy { $0 > 0 })
    }
}

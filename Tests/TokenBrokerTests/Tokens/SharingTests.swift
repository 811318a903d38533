import HTTPTypes
import TestSupport
import Testing
import TokenBrokerTesting

@testable import TokenBroker

/// A fleet in one test: each process has the whole chain for access tokens, and all of them share a store and an
/// issuer.
///
/// Time is virtual, and tasks run in random order.
private final class FleetWorld {
    typealias Tokens = CachingTokenProvider<SharingTokenProvider<ClientCredentialsProvider>>

    struct Process {
        let credentials: ChangingCredentials
        let connection: InMemorySharedStore.Connection
        let provider: ClientCredentialsProvider
        let tokens: Tokens
    }

    let clock = ManualClock()
    let issuer: MisbehavingIssuer
    let store: InMemorySharedStore
    private(set) var processes: [Process] = []
    private(set) var complaints: [String] = []
    private let scheduler: SimulatedScheduler
    private var random: SeededGenerator

    private init(_ scheduler: SimulatedScheduler, seed: UInt64) {
        self.scheduler = scheduler
        random = SeededGenerator(seed: seed)
        let clock = clock
        issuer = MisbehavingIssuer(clock: clock, wallClock: { clock.date })
        store = InMemorySharedStore(clock: clock)
    }

    /// Runs `body` in a few worlds, each with a different order of tasks.
    /// - Returns: The expectations that failed.
    static func run(processes: Int = 2, _ body: @escaping @Sendable (FleetWorld) throws -> Void) async -> [String] {
        await SimulatedScheduler.run { scheduler in
            (1...5 as ClosedRange<UInt64>).flatMap { seed -> [String] in
                do {
                    let world = FleetWorld(scheduler, seed: seed)
                    for _ in 0..<processes { try world.startProcess() }
                    try body(world)
                    world.end()
                    return world.complaints
                } catch {
                    return ["\(error)"]
                }
            }
        }
    }

    /// Starts a process with these credentials.
    func startProcess(_ credentials: ChangingCredentials = ChangingCredentials("client", "secret")) throws {
        let (clock, connection) = (clock, store.connection())
        let vendor = try testVendor()
        let provider = ClientCredentialsProvider(
            vendor: vendor, credentials: credentials, transport: issuer, clock: clock, wallClock: { clock.date })
        let fleet = Fleet(store: connection, sealing: PlainSealing(), processes: 3)
        let sharing = SharingTokenProvider(
            provider, step: "access_token", fleet: fleet, lines: provider, vendor: vendor, clock: clock,
            wallClock: { clock.date }
        ) { 0.5 }
        let tokens = CachingTokenProvider(sharing, clock: clock) { 0 }
        processes.append(
            Process(credentials: credentials, connection: connection, provider: provider, tokens: tokens))
    }

    /// Returns the name under which the tokens for a request are shared.
    func name(of request: TokenRequest = TokenRequest()) throws -> String {
        SharedNames(sealing: PlainSealing(), step: "access_token", baseURL: try testVendor().url(""))
            .name(of: request, with: MisbehavingIssuer.credential)
    }

    func expect(_ condition: Bool, _ words: @autoclosure () -> String, line: Int = #line) {
        if !condition { complaints.append("line \(line): \(words())") }
    }

    /// Starts a caller in a process.
    func ask(_ process: Int, _ request: TokenRequest = TokenRequest(), _ demand: TokenDemand = TokenDemand())
        -> World.Caller
    {
        let tokens = processes[process].tokens
        return World.Caller { () async throws(TokenError) in try await tokens.token(for: request, demand: demand) }
    }

    /// Starts a caller in a process, and returns it after a while.
    func later(
        _ process: Int, _ request: TokenRequest = TokenRequest(), _ demand: TokenDemand = TokenDemand(),
        after time: Duration = .milliseconds(500)
    ) -> World.Caller {
        let caller = ask(process, request, demand)
        pass(time)
        return caller
    }

    /// Expects how often the vendor was called for an access token.
    func expectCalls(_ count: Int, line: Int = #line) {
        let found = issuer.accessTokenCalls
        expect(found == count, "expected \(count) calls, found \(found)", line: line)
    }

    /// Expects which token a caller has.
    func expect(_ caller: World.Caller, has text: String, line: Int = #line) {
        expect(
            caller.text == text, "expected \(text), found \(caller.text ?? caller.error.map { "\($0)" } ?? "nothing")",
            line: line)
    }

    /// Starts a task, and runs all tasks until they are suspended.
    func perform(_ work: @escaping @Sendable () async -> Void) {
        _ = Task { await work() }
        pass(.zero)
    }

    /// Lets time pass, with everything that happens meanwhile in its order.
    func pass(_ duration: Duration) {
        scheduler.settle(using: &random)
        let end = clock.now.offset + duration
        while let next = clock.nextDeadline?.offset, next <= end {
            clock.advance(by: next - clock.now.offset)
            scheduler.settle(using: &random)
        }
        clock.advance(by: end - clock.now.offset)
        scheduler.settle(using: &random)
    }

    private func end() {
        let caches = processes.map(\.tokens)
        _ = Task { for cache in caches { await cache.shutdown() } }
        pass(.seconds(100_000))
    }
}

struct SharingTests {
    @Test func `many callers in several processes cost one call`() async {
        let complaints = await FleetWorld.run(processes: 3) { world in
            world.issuer.otherwise(.slow(.seconds(5)))
            let callers = (0..<60).map { world.ask($0 % 3) }
            world.pass(.seconds(4))
            world.expectCalls(1)
            world.pass(.seconds(2))
            for caller in callers { world.expect(caller, has: "access-1") }
            world.expectCalls(1)
        }
        #expect(complaints == [])
    }

    @Test func `a token from the store keeps its id and what remains of its life`() async {
        let complaints = await FleetWorld.run { world in
            let first = world.later(0)
            world.pass(.seconds(100))
            let second = world.later(1)
            world.expectCalls(1)
            guard let own = first.token, let adopted = second.token else {
                return world.expect(false, "expected two tokens, found \(first.result.debugDescription)")
            }
            world.expect(own.id == adopted.id, "expected the id \(own.id), found \(adopted.id)")
            world.expect(own.secret == adopted.secret, "expected the same token, found another")
            world.expect(
                adopted.remaining <= .milliseconds(3_499_501) && adopted.remaining > .milliseconds(3_498_400),
                "expected a life of 3499.5 s, found \(adopted.remaining)")
            world.expect(adopted.lineage.state == .current, "expected a current token, found another")
            world.expect(own.lineage !== adopted.lineage, "expected a line of the process's own, found the other's")
        }
        #expect(complaints == [])
    }

    @Test func `a process with another secret shares nothing`() async {
        let complaints = await FleetWorld.run { world in
            let other = Credential(clientID: Secret("client"), clientSecret: Secret("other"))
            world.issuer.accept([MisbehavingIssuer.credential, other])
            try world.startProcess(ChangingCredentials("client", "other"))
            world.expect(world.later(0), has: "access-1")
            world.expect(world.later(2), has: "access-2")
            world.expect(world.later(1), has: "access-1")
            world.expectCalls(2)
        }
        #expect(complaints == [])
    }

    @Test func `requests that differ share nothing`() async {
        let complaints = await FleetWorld.run { world in
            world.expect(world.later(0, TokenRequest(scopes: ["a"])), has: "access-1")
            world.expect(world.later(1, TokenRequest(scopes: ["b"])), has: "access-2")
            world.expect(world.later(1, TokenRequest(audience: "a")), has: "access-3")
            world.expect(world.later(1, TokenRequest(tenant: "a")), has: "access-4")
            world.expect(world.later(1, TokenRequest(scopes: ["a"])), has: "access-1")
        }
        #expect(complaints == [])
    }

    @Test func `a process that dies while it fetches is replaced after three seconds`() async {
        let complaints = await FleetWorld.run { world in
            world.issuer.then(.hangs)
            let dead = world.later(0, after: .zero)
            world.processes[0].connection.isCut = true
            let waiting = world.later(1, after: .milliseconds(2900))
            world.expect(waiting.result == nil, "expected a caller that waits, found one with a result")
            world.expectCalls(1)
            world.pass(.milliseconds(400))
            world.expect(waiting, has: "access-1")
            world.expectCalls(2)
            // The dead one wakes, and does no harm.
            world.processes[0].connection.isCut = false
            world.pass(.seconds(20))
            world.expect(dead.error != nil, "expected an error, found none")
            try world.startProcess()
            world.expect(world.later(2), has: "access-1")
            world.expectCalls(2)
        }
        #expect(complaints == [])
    }

    @Test func `a process that shuts down while it fetches is replaced at once`() async {
        let complaints = await FleetWorld.run { world in
            world.issuer.then(.hangs)
            _ = world.later(0, after: .milliseconds(100))
            let waiting = world.later(1, after: .milliseconds(100))
            let tokens = world.processes[0].tokens
            world.perform { await tokens.shutdown() }
            world.pass(.milliseconds(10))
            world.expect(waiting, has: "access-1")
            world.expectCalls(2)
        }
        #expect(complaints == [])
    }

    @Test func `a time that the vendor asks for holds for all processes`() async {
        let complaints = await FleetWorld.run { world in
            world.issuer.then(.throttles(retryAfter: "7"))
            for process in [0, 1] {
                let caller = world.later(process)
                world.expect(
                    caller.error?.code == .throttled, "expected an error, found \(caller.text ?? "another")")
                let pause = caller.error?.retryAfter ?? .zero
                world.expect(pause > .seconds(6) && pause <= .seconds(7), "expected 7 s, found \(pause)")
            }
            world.expectCalls(1)
            world.pass(.seconds(8))
            world.expect(world.later(1), has: "access-1")
            world.expect(world.later(0), has: "access-1")
            world.expectCalls(2)
        }
        #expect(complaints == [])
    }

    @Test func `credentials that the vendor refused to one process are not sent by another`() async {
        let complaints = await FleetWorld.run(processes: 3) { world in
            world.issuer.accept([])
            for process in 0..<3 {
                let caller = world.later(process)
                world.expect(
                    caller.error?.code == .credentialsRejected, "expected a refusal, found \(caller.text ?? "another")")
            }
            world.expectCalls(1)
        }
        #expect(complaints == [])
    }

    @Test(arguments: [MisbehavingIssuer.Behaviour.dropsConnection, .hangs, .answersHTML(status: .forbidden)])
    func `a failure that may have its cause in one process is not shared`(
        behaviour: MisbehavingIssuer.Behaviour
    ) async {
        let complaints = await FleetWorld.run { world in
            world.issuer.then(behaviour)
            let failing = world.later(0, after: .seconds(12))
            world.expect(failing.error != nil, "expected an error, found none")
            world.expect(world.later(1), has: "access-1")
            world.expectCalls(2)
        }
        #expect(complaints == [])
    }

    @Test func `a token that is replaced in one process is revoked in the others`() async {
        let complaints = await FleetWorld.run { world in
            let (first, second) = (world.later(0), world.later(1))
            world.expect(second, has: "access-1")
            let replacing = TokenDemand(replacing: first.token?.id)
            world.expect(world.later(0, TokenRequest(), replacing), has: "access-2")
            world.expect(second.token?.lineage.state == .revoked, "expected a revoked token, found another")
            world.expect(world.later(1), has: "access-2")
            // A late refusal of the old token does not affect the new one.
            world.expect(world.later(1, TokenRequest(), replacing), has: "access-2")
            world.expectCalls(2)
        }
        #expect(complaints == [])
    }

    @Test func `a process that missed a revocation finds the newer token`() async {
        let complaints = await FleetWorld.run { world in
            let (first, second) = (world.later(0), world.later(1))
            world.processes[1].connection.isCut = true
            let replacing = TokenDemand(replacing: first.token?.id)
            world.expect(world.later(0, TokenRequest(), replacing), has: "access-2")
            world.processes[1].connection.isCut = false
            world.expect(second.token?.lineage.state == .current, "expected a current token, found another")
            world.expect(world.later(1), has: "access-1")
            world.expect(world.later(1, TokenRequest(), replacing), has: "access-2")
            world.expectCalls(2)
        }
        #expect(complaints == [])
    }

    @Test func `without the store each process fetches for itself`() async {
        let complaints = await FleetWorld.run { world in
            world.store.isDown = true
            let callers = (0..<10).map { world.ask($0 % 2) }
            world.pass(.seconds(1))
            for caller in callers { world.expect(caller.token != nil, "expected a token, found none") }
            world.expectCalls(2)
            world.expect(world.store.calls == [], "expected no call of the store, found \(world.store.calls)")
            world.store.isDown = false
            try world.startProcess()
            try world.startProcess()
            world.expect(world.later(2), has: "access-3")
            world.expect(world.later(3), has: "access-3")
        }
        #expect(complaints == [])
    }

    @Test func `a store that is lost during a fetch holds nobody up`() async {
        let complaints = await FleetWorld.run { world in
            world.issuer.then(.slow(.seconds(5)))
            let leading = world.later(0, after: .milliseconds(100))
            let following = world.later(1, after: .milliseconds(100))
            world.store.isDown = true
            world.pass(.milliseconds(1))
            world.expect(following.token != nil, "expected a token at once, found none")
            world.pass(.seconds(6))
            world.expect(leading.token != nil, "expected a token, found none")
            world.expectCalls(2)
        }
        #expect(complaints == [])
    }

    @Test func `an entry that somebody else wrote is not served`() async {
        let complaints = await FleetWorld.run(processes: 3) { world in
            world.expect(world.later(0), has: "access-1")
            try world.store.overwrite(world.name(), with: [1, 2, 3], remaining: .seconds(3600))
            world.expect(world.later(1), has: "access-2")
            world.expect(world.later(2), has: "access-2")
            world.expectCalls(2)
        }
        #expect(complaints == [])
    }

    @Test func `an entry that was moved to another name is not served`() async {
        let complaints = await FleetWorld.run { world in
            let (request, other) = (TokenRequest(scopes: ["a"]), TokenRequest(scopes: ["b"]))
            world.expect(world.later(0, request), has: "access-1")
            world.expect(world.later(0, other), has: "access-2")
            let entry = try world.store.entries[world.name(of: request)] ?? []
            world.expect(!entry.isEmpty, "expected an entry, found none")
            try world.store.overwrite(world.name(of: other), with: entry, remaining: .seconds(3600))
            world.expect(world.later(1, other), has: "access-3")
        }
        #expect(complaints == [])
    }

    @Test func `no token is served beyond its life, whatever the store says`() async {
        let complaints = await FleetWorld.run(processes: 3) { world in
            world.issuer.otherwise(.issues(lifetime: .seconds(100)))
            world.expect(world.later(0), has: "access-1")
            let name = try world.name()
            let entry = world.store.entries[name] ?? []
            world.store.overwrite(name, with: entry, remaining: .seconds(86_400))
            let adopted = world.later(1)
            world.expect(adopted, has: "access-1")
            let remaining = adopted.token?.remaining ?? .zero
            world.expect(remaining <= .milliseconds(99_501), "expected at most 99.5 s, found \(remaining)")
            // An older entry is put back, after its end.
            world.pass(.seconds(120))
            world.store.overwrite(name, with: entry, remaining: .seconds(86_400))
            world.expect(world.later(1), has: "access-2")
            world.expect(world.later(2), has: "access-2")
            world.expectCalls(2)
        }
        #expect(complaints == [])
    }

    @Test func `in the last third one process renews, and the others keep the old token`() async {
        let complaints = await FleetWorld.run(processes: 3) { world in
            for process in 0..<3 { world.expect(world.later(process), has: "access-1") }
            world.pass(.seconds(2750))
            world.issuer.otherwise(.slow(.seconds(5)))
            for _ in 0..<2 {
                for process in 0..<3 { world.expect(world.later(process), has: "access-1") }
            }
            world.expectCalls(2)
            world.pass(.seconds(10))
            // Each process learns of the new token in the background.
            for process in 0..<3 { _ = world.later(process, after: .seconds(3)) }
            for process in 0..<3 { world.expect(world.later(process), has: "access-2") }
            world.expectCalls(2)
        }
        #expect(complaints == [])
    }

    @Test func `a rotation in all processes needs no message`() async {
        let complaints = await FleetWorld.run { world in
            for process in 0..<2 { world.expect(world.later(process), has: "access-1") }
            let new = Credential(clientID: Secret("client"), clientSecret: Secret("new"))
            world.issuer.accept([new])
            for process in world.processes {
                process.credentials.set(.success([new]))
                let provider = process.provider
                world.perform { await provider.refresh() }
            }
            // The old token is served until the new one is there.
            for process in 0..<2 { world.expect(world.later(process), has: "access-1") }
            for process in 0..<2 { world.expect(world.later(process), has: "access-2") }
            world.expectCalls(2)
        }
        #expect(complaints == [])
    }

    @Test func `a token of the second credential is shared with the processes that have it`() async {
        let complaints = await FleetWorld.run(processes: 0) { world in
            let both = ChangingCredentials()
            let old = Credential(clientID: Secret("client"), clientSecret: Secret("old"))
            both.set(.success([old, MisbehavingIssuer.credential]))
            try world.startProcess(both)
            try world.startProcess()
            world.expect(world.later(0), has: "access-1")
            world.expectCalls(2)
            world.expect(world.later(1), has: "access-1")
            world.expectCalls(2)
        }
        #expect(complaints == [])
    }

    @Test func `the store's names tell nothing of ids, secrets and tokens`() async {
        let complaints = await FleetWorld.run { world in
            let request = TokenRequest(tenant: "tenant", scopes: ["scope"])
            let first = world.later(0, request)
            _ = world.later(1, request, TokenDemand(replacing: first.token?.id))
            let text = "\(world.store.calls) \(world.store.entries.keys)"
            world.expect(world.store.calls.count >= 4, "expected calls of the store, found \(text)")
            for word in ["client", "secret", "access-", "tenant", "scope"] where text.contains(word) {
                world.expect(false, "expected names without “\(word)”, found \(text)")
            }
        }
        #expect(complaints == [])
    }

    @Test func `an answer that is not cached waits for two round trips to the store`() async throws {
        /// Returns how long an answer takes if each round trip to the store takes this long.
        @Sendable func time(_ roundTrip: Duration, _ scheduler: SimulatedScheduler) throws -> Duration {
            var random = SeededGenerator(seed: 1)
            let clock = ManualClock()
            let (store, vendor) = (InMemorySharedStore(clock: clock), try testVendor())
            let issuer = MisbehavingIssuer(clock: clock, wallClock: { clock.date })
            let connection = store.connection()
            connection.delay = roundTrip
            let fleet = Fleet(store: connection, sealing: PlainSealing(), processes: 2)
            let limited = RateLimitedTransport(
                issuer, account: vendor.account, requestsPerSecond: 5, fleet: fleet, name: "limit", clock: clock)
            let provider = ClientCredentialsProvider(
                vendor: vendor, credentials: ChangingCredentials("client", "secret"), transport: limited, clock: clock,
                wallClock: { clock.date })
            let sharing = SharingTokenProvider(
                provider, step: "access_token", fleet: fleet, lines: provider, vendor: vendor, clock: clock,
                wallClock: { clock.date }
            ) { 0.5 }
            let tokens = CachingTokenProvider(sharing, clock: clock) { 0 }
            var elapsed = Duration.zero
            // The first one finds a store that gives no turn yet.
            for scope in ["a", "b"] {
                let start = clock.now.offset
                let caller = World.Caller { () async throws(TokenError) in
                    try await tokens.token(for: TokenRequest(scopes: [ExactString(scope)]))
                }
                scheduler.run(on: clock, using: &random) { caller.result != nil }
                guard caller.token != nil else { throw ToolError(description: "expected a token, found none") }
                elapsed = clock.now.offset - start
                clock.advance(by: .seconds(10))
                scheduler.settle(using: &random)
            }
            _ = Task { await tokens.shutdown() }
            scheduler.run(on: clock, using: &random)
            return elapsed
        }
        let times = try await SimulatedScheduler.run { scheduler in
            Result { try [.zero, .milliseconds(40)].map { try time($0, scheduler) } }
        }.get()
        #expect(times == [.zero, .milliseconds(80)])
    }
}

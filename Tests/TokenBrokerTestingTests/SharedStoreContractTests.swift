import Synchronization
import Testing
import TokenBroker
import TokenBrokerTesting

private enum StoreMutation: String, CaseIterable {
    case none
    case leadsTwice, ignoresOwner, ignoresWindow, ignoresSettling, publishesNothing, forgetsNothing

    var caught: (by: String, saying: String) {
        switch self {
        case .none: ("", "")
        case .leadsTwice:
            ("many claims at once give exactly one lead", "the number of leads: expected 1, found 200")
        case .ignoresOwner:
            (
                "an extension or a landing by another owner has no effect",
                "whether another owner held the lease: expected false, found true"
            )
        case .ignoresWindow:
            ("in any window there are no more turns than calls", "the time that 4 turns of 3 in a window span")
        case .ignoresSettling:
            (
                "a call that is settled lets the next one start sooner",
                "the time between two calls, of which the first was answered at once"
            )
        case .publishesNothing: ("the end of a fetch is told to the other processes", "expected the event `landed`")
        case .forgetsNothing:
            (
                "after a loss, processes lead again, and get no turn for the quarantine",
                "a claim after the loss: expected the lead, found the token one"
            )
        }
    }
}

/// What the connections of a mutant have in common.
private final class MutantMemory: Sendable {
    private let owners = Mutex<[String: String]>([:])

    func note(_ owner: String, of name: String) { owners.withLock { $0[name] = owner } }
    func owner(of name: String) -> String? { owners.withLock { $0[name] } }
}

private struct MutantStore: SharedStore {
    let base: InMemorySharedStore.Connection
    let memory: MutantMemory
    let mutation: StoreMutation

    var part: String { base.part }
    var account: String { base.account }
    func health() async -> Health { await base.health() }

    func observe(_ observer: @escaping @Sendable (SharedStoreEvent) -> Void) {
        base.observe { [mutation] event in
            if mutation != .publishesNothing || event == .connected { observer(event) }
        }
    }

    func claim(_ name: String, _ claim: TokenClaim) async throws(SharedStoreError) -> ClaimAnswer {
        let answer = try await base.claim(name, claim)
        if answer == .lead { memory.note(claim.owner, of: name) }
        if case .follow = answer, mutation == .leadsTwice { return .lead }
        return answer
    }

    func extend(_ name: String, owner: String, lease: Duration) async throws(SharedStoreError) -> Bool {
        try await base.extend(name, owner: owner, lease: lease)
    }

    func land(_ name: String, owner: String, _ landing: TokenLanding?) async throws(SharedStoreError) -> Bool {
        let holder = mutation == .ignoresOwner ? memory.owner(of: name) : nil
        return try await base.land(name, owner: holder ?? owner, landing)
    }

    func turn(_ limit: SharedLimit, patience: Duration) async throws(SharedStoreError) -> SharedTurn {
        let answer = try await base.turn(limit, patience: patience)
        guard case .start(let number, _) = answer, mutation == .ignoresWindow else { return answer }
        return .start(number: number, after: .zero)
    }

    func settle(_ limit: SharedLimit, number: Int, earlier: Duration) async throws(SharedStoreError) {
        if mutation != .ignoresSettling { try await base.settle(limit, number: number, earlier: earlier) }
    }

    func coolDown(_ limit: SharedLimit, for time: Duration) async throws(SharedStoreError) {
        try await base.coolDown(limit, for: time)
    }
}

private struct StoreFixture: SharedStoreFixture {
    static let capabilities: SharedStoreContract.Capabilities = .loses
    let mutation: StoreMutation

    func withStore(_ body: (SharedStoreContract.Subject) async throws -> Void) async throws {
        let (store, memory) = (InMemorySharedStore(), MutantMemory())
        let stores = (0..<2).map { _ in MutantStore(base: store.connection(), memory: memory, mutation: mutation) }
        try await body(
            .init(stores[0], stores[1]) { [mutation] in
                if mutation != .forgetsNothing { store.lose() }
            })
    }
}

/// The store itself, without a wrapper.
private struct InMemoryFixture: SharedStoreFixture {
    static let capabilities: SharedStoreContract.Capabilities = .loses

    func withStore(_ body: (SharedStoreContract.Subject) async throws -> Void) async throws {
        let store = InMemorySharedStore()
        try await body(.init(store.connection(), store.connection()) { store.lose() })
    }
}

struct SharedStoreContractTests {
    @Test(arguments: SharedStoreContract.cases(for: InMemoryFixture.self))
    func `the store in memory keeps its contract`(_ test: SharedStoreContract.Case) async throws {
        try await test.run(on: InMemoryFixture())
    }

    @Test(arguments: SharedStoreContract.cases(for: StoreFixture.self))
    func `a store without a mutation passes its contract`(_ test: SharedStoreContract.Case) async throws {
        try await test.run(on: StoreFixture(mutation: .none))
    }

    @Test(arguments: StoreMutation.allCases.filter { $0 != .none })
    private func `a store that breaks a promise is caught by its contract`(_ mutation: StoreMutation) async throws {
        let (name, words) = mutation.caught
        let test = try only(name, of: SharedStoreContract.cases(for: StoreFixture.self))
        try await expectCaught(words) { try await test.run(on: StoreFixture(mutation: mutation)) }
    }

    @Test func `a connection that is cut fails until it is back, and the others do not notice`() async throws {
        let store = InMemorySharedStore()
        let (first, second) = (store.connection(), store.connection())
        let log = EventLog()
        first.observe { log.append($0) }
        first.isCut = true
        await #expect(throws: SharedStoreError(.disconnected, message: "the store is out of reach")) {
            try await first.claim("name", TokenClaim(owner: "first", lease: .seconds(1)))
        }
        #expect(try await second.claim("name", TokenClaim(owner: "second", lease: .seconds(60))) == .lead)
        #expect(await first.health().state == .failing)
        first.isCut = false
        store.isDown = true
        store.isDown = true
        await #expect(throws: SharedStoreError.self) {
            try await second.claim("name", TokenClaim(owner: "second", lease: .seconds(1)))
        }
        store.isDown = false
        #expect(log.events == [.connected, .disconnected, .connected, .disconnected, .connected])
        #expect(store.calls == [.claim("name")])
    }

    @Test func `an answer that is delayed comes after its time on the store's clock`() async throws {
        let clock = ManualClock()
        let store = InMemorySharedStore(clock: clock)
        let connection = store.connection()
        connection.delay = .milliseconds(80)
        let asking = Task { try await connection.claim("name", TokenClaim(owner: "one", lease: .seconds(1))) }
        await clock.sleepers(1)
        #expect(store.calls == [.claim("name")])
        clock.advance(by: .milliseconds(80))
        #expect(try await asking.value == .lead)
    }

    @Test func `a plain sealing opens its own entries only`() throws {
        let sealing = PlainSealing()
        let sealed = try #require(sealing.seal([1, 2, 3], as: "name"))
        #expect(sealing.open(sealed, as: "name") == [1, 2, 3])
        #expect(sealing.open(sealed, as: "eman") == nil)
        #expect(sealing.open(sealed, as: "name2") == nil)
        #expect(sealing.open([], as: "name") == nil)
        #expect(sealing.open(Array(sealed.dropLast()), as: "name") == nil)
        for index in sealed.indices {
            var damaged = sealed
            damaged[index] ^= 1
            #expect(sealing.open(damaged, as: "name") == nil)
        }
        #expect(sealing.open(try #require(sealing.seal([], as: "name")), as: "name") == [])
        #expect(sealing.name(for: [1]) != sealing.name(for: [2]))
        #expect(sealing.name(for: [1]) != sealing.digest(of: [1]))
        #expect(sealing.name(for: [1]).utf8.count == 32)
    }
}

private final class EventLog: Sendable {
    private let log = Mutex<[SharedStoreEvent]>([])
    var events: [SharedStoreEvent] { log.withLock { $0 } }
    func append(_ event: SharedStoreEvent) { log.withLock { $0.append(event) } }
}

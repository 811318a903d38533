import Synchronization
public import TokenBroker

/// A store that the processes of a fleet share, in memory.
///
/// Each process has a ``Connection``. A test can take the store or a connection away, delay answers, and lose
/// everything that is stored:
///
/// ```swift
/// let store = InMemorySharedStore(clock: clock)
/// let first = store.connection()
/// let second = store.connection()
/// store.isDown = true
/// ```
public final class InMemorySharedStore: Sendable {
    /// A call that the store answered, with the name of the token or of the limit.
    public enum Call: Sendable, Hashable {
        case claim(String), extend(String), land(String), turn(String), settle(String), coolDown(String)
    }

    private struct Entry {
        var token: SharedToken
        var end: Duration
        var life: Duration
    }

    private struct Ring {
        var count = 0
        var counted: [Int: Duration] = [:]
        var open: Duration
    }

    private struct State {
        var entries: [String: Entry] = [:]
        var leases: [String: (owner: String, end: Duration)] = [:]
        var failures: [String: (entry: [UInt8], end: Duration)] = [:]
        var rings: [String: Ring] = [:]
        var coolDowns: [String: Duration] = [:]
        var connections: [Connection] = []
        var calls: [Call] = []
        var isDown = false
    }

    private let state = Mutex(State())
    private let stopwatch: Stopwatch
    fileprivate let sleep: @Sendable (Duration) async -> Void

    /// Creates an empty store.
    /// - Parameter clock: The clock of the store.
    public init(clock: some Clock<Duration> = ContinuousClock()) {
        stopwatch = Stopwatch(clock)
        sleep = { try? await clock.sleep(for: $0) }
    }

    /// Returns a new connection to the store, for one process.
    public func connection() -> Connection {
        let connection = Connection(self)
        state.withLock { $0.connections.append(connection) }
        return connection
    }

    /// The calls that the store answered, in order.
    public var calls: [Call] { state.withLock { $0.calls } }

    /// The names of the tokens that the store holds, and their sealed content.
    public var entries: [String: [UInt8]] { state.withLock { $0.entries.mapValues(\.token.entry) } }

    /// Replaces the sealed content of a token, as somebody who writes to the store could.
    public func overwrite(_ name: String, with entry: [UInt8], remaining: Duration) {
        let now = stopwatch.now
        state.withLock { state in
            guard var old = state.entries[name] else { return }
            old.token.entry = entry
            (old.end, old.life) = (now + remaining, remaining)
            state.entries[name] = old
        }
    }

    /// A Boolean value that indicates whether the store is out of reach for all connections.
    public var isDown: Bool {
        get { state.withLock { $0.isDown } }
        set {
            let connections = state.withLock { state in
                state.isDown = newValue
                return state.connections
            }
            for connection in connections { connection.noteChange() }
        }
    }

    /// Forgets everything that is stored.
    public func lose() {
        state.withLock { state in
            (state.entries, state.leases, state.failures) = ([:], [:], [:])
            (state.rings, state.coolDowns) = ([:], [:])
        }
    }

    fileprivate func tell(_ event: SharedStoreEvent) {
        for connection in state.withLock({ $0.connections }) { connection.tell(event) }
    }

    // MARK: Tokens

    fileprivate func claim(_ name: String, _ claim: TokenClaim) -> ClaimAnswer {
        let now = stopwatch.now
        let answer = state.withLock { state -> ClaimAnswer in
            state.calls.append(.claim(name))
            if let entry = state.entries[name], entry.token.tag == claim.replacing { state.entries[name] = nil }
            var token: SharedToken?
            var isDue = false
            if let entry = state.entries[name], entry.token.tag != claim.ignoring {
                let remaining = entry.end - now
                let needed = min(claim.minimumRemaining, entry.life / 2)
                if remaining > .zero, remaining >= needed {
                    token = entry.token
                    token?.remaining = remaining
                    isDue =
                        remaining * 100 < entry.life * TokenLanding.dueShare || remaining < needed + entry.life / 10
                }
            }
            if let token, !isDue { return .token(token) }
            if !claim.ignoresFailure, let failure = state.failures[name], failure.end > now {
                if let token { return .token(token) }
                return .failure(SharedFailure(entry: failure.entry, remaining: failure.end - now))
            }
            if let lease = state.leases[name], lease.end > now {
                return token.map(ClaimAnswer.token) ?? .follow(leaseLeft: lease.end - now)
            }
            state.leases[name] = (claim.owner, now + claim.lease)
            return .lead
        }
        if let refused = claim.replacing { tell(.revoked(tag: refused)) }
        return answer
    }

    fileprivate func extend(_ name: String, owner: String, lease: Duration) -> Bool {
        let now = stopwatch.now
        return state.withLock { state in
            state.calls.append(.extend(name))
            guard let held = state.leases[name], held.end > now, held.owner == owner else { return false }
            state.leases[name]?.end = now + lease
            return true
        }
    }

    fileprivate func land(_ name: String, owner: String, _ landing: TokenLanding?) -> Bool {
        let now = stopwatch.now
        let isHeld = state.withLock { state in
            state.calls.append(.land(name))
            guard let held = state.leases[name], held.end > now, held.owner == owner else { return false }
            state.leases[name] = nil
            switch landing {
            case .token(let token, let life):
                state.entries[name] = Entry(token: token, end: now + token.remaining, life: life)
                state.failures[name] = nil
            case .failure(let failure): state.failures[name] = (failure.entry, now + failure.remaining)
            case nil: break
            }
            return true
        }
        if isHeld { tell(.landed(name: name)) }
        return isHeld
    }

    // MARK: The rate limit

    fileprivate func turn(_ limit: SharedLimit, patience: Duration) -> SharedTurn {
        let now = stopwatch.now
        return state.withLock { state in
            state.calls.append(.turn(limit.name))
            // Numbers begin with the time, so that none is used again after a loss.
            var ring =
                state.rings[limit.name] ?? Ring(count: Int(now / .microseconds(1)), open: now + limit.quarantine)
            defer { state.rings[limit.name] = ring }
            let back = ring.counted[ring.count % limit.calls].map { $0 + limit.window }
            let start = max(now, ring.open, state.coolDowns[limit.name] ?? .zero, back ?? .zero)
            guard start - now <= patience else { return .later(start - now) }
            ring.counted[ring.count % limit.calls] = start + limit.delay
            ring.count += 1
            return .start(number: ring.count - 1, after: start - now)
        }
    }

    fileprivate func settle(_ limit: SharedLimit, number: Int, earlier: Duration) {
        state.withLock { state in
            state.calls.append(.settle(limit.name))
            guard var ring = state.rings[limit.name], number < ring.count, ring.count - number <= limit.calls else {
                return
            }
            ring.counted[number % limit.calls]? -= earlier
            state.rings[limit.name] = ring
        }
    }

    fileprivate func coolDown(_ limit: SharedLimit, for time: Duration) {
        let now = stopwatch.now
        state.withLock { state in
            state.calls.append(.coolDown(limit.name))
            state.coolDowns[limit.name] = max(state.coolDowns[limit.name] ?? .zero, now + time)
        }
        tell(.coolDown(limit: limit.name, time: time))
    }

    // MARK: One process

    /// A process's connection to the store.
    public final class Connection: SharedStore {
        private struct State {
            var observers: [@Sendable (SharedStoreEvent) -> Void] = []
            var isCut = false
            var wasConnected = true
            var delay = Duration.zero
        }

        /// The name of the part, `fleet`.
        public let part = "fleet"
        /// The account of the part, `memory`.
        public let account = "memory"
        private let store: InMemorySharedStore
        private let state: Mutex<State>

        fileprivate init(_ store: InMemorySharedStore) {
            self.store = store
            state = Mutex(State(wasConnected: !store.isDown))
        }

        /// A Boolean value that indicates whether only this connection is cut.
        public var isCut: Bool {
            get { state.withLock { $0.isCut } }
            set {
                state.withLock { $0.isCut = newValue }
                noteChange()
            }
        }

        /// How long every answer takes, on the store's clock.
        public var delay: Duration {
            get { state.withLock { $0.delay } }
            set { state.withLock { $0.delay = newValue } }
        }

        private var isConnected: Bool { !store.isDown && !isCut }

        fileprivate func noteChange() {
            let isConnected = isConnected
            let observers = state.withLock { state in
                defer { state.wasConnected = isConnected }
                return state.wasConnected == isConnected ? [] : state.observers
            }
            for observer in observers { observer(isConnected ? .connected : .disconnected) }
        }

        fileprivate func tell(_ event: SharedStoreEvent) {
            guard isConnected else { return }
            for observer in state.withLock({ $0.observers }) { observer(event) }
        }

        /// Registers a closure that is called with each event.
        public func observe(_ observer: @escaping @Sendable (SharedStoreEvent) -> Void) {
            state.withLock { $0.observers.append(observer) }
            if isConnected { observer(.connected) }
        }

        private func answer<Answer>(_ body: () -> Answer) async throws(SharedStoreError) -> Answer {
            try check()
            let answer = body()
            let delay = delay
            if delay > .zero { await store.sleep(delay) }
            // An answer on a connection that was cut meanwhile is lost.
            try check()
            return answer
        }

        private func check() throws(SharedStoreError) {
            if !isConnected { throw SharedStoreError(.disconnected, message: "the store is out of reach") }
        }

        /// Asks for the token under a name, or for the lease to fetch one.
        public func claim(_ name: String, _ claim: TokenClaim) async throws(SharedStoreError) -> ClaimAnswer {
            try await answer { store.claim(name, claim) }
        }

        /// Extends a lease.
        public func extend(_ name: String, owner: String, lease: Duration) async throws(SharedStoreError) -> Bool {
            try await answer { store.extend(name, owner: owner, lease: lease) }
        }

        /// Ends a lease with the result of the fetch.
        public func land(
            _ name: String, owner: String, _ landing: TokenLanding?
        ) async throws(SharedStoreError) -> Bool {
            try await answer { store.land(name, owner: owner, landing) }
        }

        /// Asks for a turn.
        public func turn(_ limit: SharedLimit, patience: Duration) async throws(SharedStoreError) -> SharedTurn {
            try await answer { store.turn(limit, patience: patience) }
        }

        /// Tells when a call was counted.
        public func settle(_ limit: SharedLimit, number: Int, earlier: Duration) async throws(SharedStoreError) {
            try await answer { store.settle(limit, number: number, earlier: earlier) }
        }

        /// Stops all calls for a time.
        public func coolDown(_ limit: SharedLimit, for time: Duration) async throws(SharedStoreError) {
            try await answer { store.coolDown(limit, for: time) }
        }

        /// Returns whether the store is connected.
        public func health() async -> Health {
            Health(part: part, account: account, state: isConnected ? .ok : .failing)
        }
    }
}

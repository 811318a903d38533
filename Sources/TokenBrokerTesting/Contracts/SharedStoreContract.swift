import Synchronization
public import Testing
public import TokenBroker

/// Test cases for the promises of every `SharedStore`, run on your fixture.
///
/// ```swift
/// struct MyFixture: SharedStoreFixture {
///     static let capabilities: SharedStoreContract.Capabilities = .loses
///
///     func withStore(_ body: (SharedStoreContract.Subject) async throws -> Void) async throws {
///         let server = try await MyServer()
///         let (first, second) = (try await MyStore(server), try await MyStore(server))
///         try await body(.init(first, second) { try await server.eraseAll() })
///     }
/// }
///
/// @Test(arguments: SharedStoreContract.cases(for: MyFixture.self))
/// func contract(_ test: SharedStoreContract.Case) async throws {
///     try await test.run(on: MyFixture())
/// }
/// ```
///
/// The cases use real time. They choose their names at random, so that they may share one store.
public enum SharedStoreContract {
    /// The capabilities of the store under test. Cases that need others are left out.
    public struct Capabilities: OptionSet, Sendable {
        /// The bits of the set.
        public let rawValue: Int
        /// Creates a set from its bits.
        public init(rawValue: Int) { self.rawValue = rawValue }

        /// The fixture can make the store lose its content.
        public static let loses = Self(rawValue: 1)
    }

    /// A store under test, as two processes see it.
    public struct Subject: Sendable {
        /// The first process's connection.
        public var first: any SharedStore
        /// The second process's connection to the same store.
        public var second: any SharedStore
        /// Makes the store lose its content.
        public var lose: (@Sendable () async throws -> Void)?

        /// Creates a subject.
        /// - Parameters:
        ///   - first: The first process's connection. It is connected.
        ///   - second: The second process's connection to the same store. It is connected.
        ///   - lose: Makes the store lose its content; needed for ``Capabilities/loses``.
        public init(
            _ first: any SharedStore, _ second: any SharedStore, lose: (@Sendable () async throws -> Void)? = nil
        ) {
            self.first = first
            self.second = second
            self.lose = lose
        }
    }

    /// A test case for one promise.
    public struct Case: Sendable, CustomTestStringConvertible {
        /// A description of the promise.
        public let testDescription: String
        let needs: Capabilities
        let body: @Sendable (Subject) async throws -> Void

        init(
            _ description: String, needs: Capabilities = [], body: @escaping @Sendable (Subject) async throws -> Void
        ) {
            testDescription = description
            self.needs = needs
            self.body = body
        }

        /// Runs the case. A case that takes longer than a minute fails, is cancelled and is not waited for.
        ///
        /// - Parameter fixture: The fixture for this run.
        /// - Throws: An error of the fixture or of the case, which fails the test.
        public func run(on fixture: some SharedStoreFixture) async throws {
            let runs = Counter()
            let body = body
            try await runCase(within: .seconds(60), runs, "withStore") {
                try await fixture.withStore { subject in
                    runs.next()
                    try await body(subject)
                }
            }
        }
    }

    /// Returns the cases whose capabilities a fixture has.
    public static func cases<Fixture: SharedStoreFixture>(for fixture: Fixture.Type) -> [Case] {
        (leases + entries + rateLimits + losses).filter { Fixture.capabilities.isSuperset(of: $0.needs) }
    }
}

/// A fixture that makes stores for ``SharedStoreContract``.
public protocol SharedStoreFixture: Sendable {
    /// The capabilities of the store.
    static var capabilities: SharedStoreContract.Capabilities { get }

    /// Runs `body` with a store, and cleans up.
    /// - Parameter body: A closure that takes the store under test.
    func withStore(_ body: (SharedStoreContract.Subject) async throws -> Void) async throws
}

/// The events that a store has reported so far.
final class StoreEvents: Sendable {
    private let events = Mutex<[SharedStoreEvent]>([])
    var all: [SharedStoreEvent] { events.withLock { $0 } }

    init(of store: any SharedStore) {
        store.observe { [weak self] event in self?.append(event) }
    }

    private func append(_ event: SharedStoreEvent) { events.withLock { $0.append(event) } }

    /// Expects that the store reports an event, `count` times in all.
    /// - Returns: Whether it did.
    @discardableResult
    func expect(
        _ event: SharedStoreEvent, _ what: String, count: Int = 1, sourceLocation: SourceLocation = #_sourceLocation
    ) async -> Bool {
        let isThere = await eventually(within: .seconds(5)) { all.count { $0 == event } >= count }
        if !isThere { Issue.record("expected \(what) within 5 s, found \(all)", sourceLocation: sourceLocation) }
        return isThere
    }
}

extension SharedStoreContract {
    /// Returns a name that no other case uses.
    static func newName() -> String { randomHex(words: 2) }

    /// Returns a claim by a new owner, with a lease that does not end within the case.
    static func claim(
        lease: Duration = .seconds(120), minimumRemaining: Duration = .zero, replacing: String? = nil,
        ignoring: String? = nil, ignoresFailure: Bool = false
    ) -> TokenClaim {
        TokenClaim(
            owner: newName(), lease: lease, minimumRemaining: minimumRemaining, replacing: replacing,
            ignoring: ignoring, ignoresFailure: ignoresFailure)
    }

    /// Returns a token with 50 of 100 seconds left, unless given otherwise.
    static func landing(
        _ tag: String, remaining: Duration = .seconds(50), life: Duration = .seconds(100), entry: [UInt8] = [1, 2, 3]
    ) -> TokenLanding {
        .token(SharedToken(entry: entry, tag: tag, remaining: remaining), life: life)
    }

    static func failure(_ remaining: Duration = .seconds(100), entry: [UInt8] = [4, 5]) -> TokenLanding {
        .failure(SharedFailure(entry: entry, remaining: remaining))
    }

    /// Returns the kind of an answer, with the tag of a token.
    static func kind(_ answer: ClaimAnswer) -> String {
        switch answer {
        case .token(let token): "the token \(token.tag)"
        case .failure: "the failure"
        case .lead: "the lead"
        case .follow: "to follow"
        }
    }

    /// Claims a name and expects the kind of the answer.
    static func expectClaim(
        _ store: any SharedStore, _ name: String, _ claim: TokenClaim, _ kind: String, _ what: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let answer = try await store.claim(name, claim)
        expect(Self.kind(answer), kind, what, sourceLocation: sourceLocation)
    }

    /// Leads under a name and lands a result.
    static func land(
        _ landing: TokenLanding?, _ name: String, _ store: any SharedStore,
        _ claim: TokenClaim = SharedStoreContract.claim(),
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        try await expectClaim(
            store, name, claim, "the lead", "the claim of a process that fetches", sourceLocation: sourceLocation)
        let hasLanded = try await store.land(name, owner: claim.owner, landing)
        expect(hasLanded, true, "whether the owner still held the lease", sourceLocation: sourceLocation)
    }

    static func expectTime(
        _ time: Duration, _ least: Duration, _ most: Duration, _ what: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        if least <= time, time <= most { return }
        Issue.record("\(what): expected \(least) to \(most), found \(time)", sourceLocation: sourceLocation)
    }

    private static let leases: [Case] = [
        Case("an observer of a connected store is told so at once") { subject in
            expect(StoreEvents(of: subject.first).all.first, .connected, "the first event")
        },
        Case("the first claim leads, and the others follow") { subject in
            let name = newName()
            try await expectClaim(subject.first, name, claim(), "the lead", "the first claim")
            for store in [subject.second, subject.first] {
                let answer = try await store.claim(name, claim())
                expect(kind(answer), "to follow", "a later claim")
                guard case .follow(let left) = answer else { continue }
                expectTime(left, .seconds(30), .seconds(120), "what is left of the lease")
            }
        },
        Case("many claims at once give exactly one lead") { subject in
            let name = newName()
            let stores = [subject.first, subject.second]
            let answers = try await ended("two hundred claims to be answered", within: .seconds(30)) {
                try await withThrowingTaskGroup(of: String.self) { group in
                    for number in 0..<200 {
                        group.addTask { kind(try await stores[number % 2].claim(name, claim())) }
                    }
                    return try await group.reduce(into: [String]()) { $0.append($1) }
                }
            }
            expect(answers.count { $0 == "the lead" }, 1, "the number of leads")
            expect(answers.count { $0 == "to follow" }, 199, "the number of those that follow")
        },
        Case("a lease ends by itself") { subject in
            let (name, clock) = (newName(), ContinuousClock())
            let begin = clock.now
            let short = claim(lease: .milliseconds(300))
            try await expectClaim(subject.first, name, short, "the lead", "the first claim")
            let leads = await eventually(within: .seconds(5)) {
                await (try? subject.second.claim(name, claim())) == .lead
            }
            expect(leads, true, "whether another process leads within 5 s of a lease of 300 ms")
            expectTime(clock.now - begin, .milliseconds(290), .seconds(10), "the time until then")
        },
        Case("a lease that is extended does not end") { subject in
            let name = newName()
            let first = claim(lease: .seconds(1))
            try await expectClaim(subject.first, name, first, "the lead", "the first claim")
            let isHeld = try await subject.first.extend(name, owner: first.owner, lease: .seconds(120))
            expect(isHeld, true, "whether the owner still held the lease")
            try await Task.sleep(for: .milliseconds(1300))
            try await expectClaim(subject.second, name, claim(), "to follow", "a claim after the first lease")
        },
        Case("an extension or a landing by another owner has no effect") { subject in
            let name = newName()
            let first = claim()
            try await expectClaim(subject.first, name, first, "the lead", "the first claim")
            let (second, stranger) = (subject.second, newName())
            let wasExtended = try await second.extend(name, owner: stranger, lease: .milliseconds(1))
            expect(wasExtended, false, "whether another owner held the lease")
            let results: [TokenLanding?] = [landing("stranger"), failure(), nil]
            for result in results {
                let hasLanded = try await second.land(name, owner: stranger, result)
                expect(hasLanded, false, "whether another owner held the lease")
            }
            try await Task.sleep(for: .milliseconds(10))
            try await expectClaim(second, name, claim(), "to follow", "a claim after another owner's landing")
            let hasLanded = try await subject.first.land(name, owner: first.owner, landing("own"))
            expect(hasLanded, true, "whether the owner still held the lease")
            let again = try await subject.first.land(name, owner: first.owner, landing("twice"))
            expect(again, false, "whether the owner held the lease after its landing")
            try await expectClaim(second, name, claim(), "the token own", "a claim after the landing")
        },
        Case("a lease that is given back goes to the next at once") { subject in
            let name = newName()
            try await land(nil, name, subject.first)
            try await expectClaim(subject.second, name, claim(), "the lead", "a claim after the landing of nothing")
        },
        Case("the end of a fetch is told to the other processes") { subject in
            let name = newName()
            let (first, second) = (StoreEvents(of: subject.first), StoreEvents(of: subject.second))
            let results: [TokenLanding?] = [nil, failure(), landing("one")]
            for (index, result) in results.enumerated() {
                try await land(result, name, subject.first, claim(ignoresFailure: true))
                let event = SharedStoreEvent.landed(name: name)
                guard await second.expect(event, "the event `landed` in another process", count: index + 1),
                    await first.expect(event, "the event `landed` in the same process", count: index + 1)
                else { return }
            }
        },
        Case("names do not affect each other") { subject in
            let names = [newName(), newName(), newName()]
            try await land(landing("one"), names[0], subject.first)
            try await land(failure(), names[1], subject.first)
            try await expectClaim(subject.second, names[2], claim(), "the lead", "the claim of another name")
            try await expectClaim(subject.second, names[0], claim(), "the token one", "the claim of the first name")
            try await expectClaim(subject.second, names[1], claim(), "the failure", "the claim of the second name")
        },
    ]
}

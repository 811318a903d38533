import HTTPTypes
public import Testing
public import TokenBroker

/// Test cases for the promises of every `TokenProvider`, run on your fixture, whose provider calls a
/// ``MisbehavingIssuer``.
///
/// ```swift
/// @Test(arguments: TokenProviderContract.cases(for: MyFixture.self))
/// func contract(_ test: TokenProviderContract.Case) async throws {
///     try await test.run(on: MyFixture())
/// }
/// ```
public enum TokenProviderContract {
    /// The capabilities of the provider under test. Cases that need others are left out.
    public struct Capabilities: OptionSet, Sendable {
        /// The bits of the set.
        public let rawValue: Int
        /// Creates a set from its bits.
        public init(rawValue: Int) { self.rawValue = rawValue }

        /// The provider reuses tokens and runs at most one fetch at a time for each request.
        public static let caches = Self(rawValue: 1)
        /// The provider is a decorator, and the fixture can also make it over another provider.
        public static let decorates = Self(rawValue: 2)
    }

    /// A test case for one promise.
    public struct Case: Sendable, CustomTestStringConvertible {
        /// A description of the promise.
        public let testDescription: String
        let needs: Capabilities
        let body: @Sendable (any TokenProviderFixture) async throws -> Void

        /// Runs the case. A case that takes longer than a minute fails, is cancelled and is not waited for.
        ///
        /// - Parameter fixture: The fixture for this run.
        /// - Throws: An error of the fixture or of the case, which fails the test.
        public func run(on fixture: some TokenProviderFixture) async throws {
            // This fixture takes no closure that it could forget to run, so a run is counted at once.
            let runs = Counter()
            runs.next()
            try await runCase(within: .seconds(60), runs, "provider") { try await body(fixture) }
        }
    }

    /// Returns the cases whose capabilities a fixture has.
    public static func cases<Fixture: TokenProviderFixture>(for fixture: Fixture.Type) -> [Case] {
        all.filter { Fixture.capabilities.isSuperset(of: $0.needs) }
    }
}

/// A fixture that makes providers for ``TokenProviderContract``.
public protocol TokenProviderFixture: Sendable {
    /// The capabilities of the provider.
    static var capabilities: TokenProviderContract.Capabilities { get }

    /// Creates a provider that gets its tokens from an issuer.
    /// - Parameters:
    ///   - issuer: The issuer, which is also the transport to it.
    ///   - clock: The clock for all of the provider's timing. Its wall clock is ``ManualClock/date``.
    func provider(from issuer: MisbehavingIssuer, clock: ManualClock) async throws -> any TokenProvider

    /// Creates the same provider as a decorator of another one.
    ///
    /// Needed for ``TokenProviderContract/Capabilities/decorates``. The default implementation returns `nil`.
    /// - Parameters:
    ///   - upstream: The provider to decorate.
    ///   - clock: The clock for all of the provider's timing.
    func provider(decorating upstream: any TokenProvider, clock: ManualClock) async throws -> (any TokenProvider)?

    /// Returns a request that the provider can answer. Requests with different numbers must not share a token.
    func request(_ number: Int) -> TokenRequest
}

extension TokenProviderFixture {
    /// Returns `nil`, for a provider that is not a decorator.
    public func provider(
        decorating upstream: any TokenProvider, clock: ManualClock
    ) async throws -> (any TokenProvider)? { nil }
}

extension TokenProviderContract {
    /// A provider under test with its issuer and its clock.
    private struct Subject: Sendable {
        let clock = ManualClock()
        let issuer: MisbehavingIssuer
        let provider: any TokenProvider
        let request: TokenRequest
        let other: TokenRequest

        init(_ fixture: any TokenProviderFixture) async throws {
            issuer = MisbehavingIssuer(clock: clock, wallClock: { [clock] in clock.date })
            provider = try await fixture.provider(from: issuer, clock: clock)
            request = fixture.request(0)
            other = fixture.request(1)
        }

        /// Requests a token, and advances the clock whenever the provider sleeps on it.
        func token(
            _ request: TokenRequest? = nil, _ demand: TokenDemand = TokenDemand()
        ) async -> Result<Token, TokenError> {
            let task = asking(request ?? self.request, demand)
            return await moving(clock) { await task.value }
        }

        func asking(
            _ request: TokenRequest, _ demand: TokenDemand = TokenDemand()
        ) -> Task<Result<Token, TokenError>, Never> {
            Task {
                do throws(TokenError) {
                    return .success(try await provider.token(for: request, demand: demand))
                } catch {
                    return .failure(error)
                }
            }
        }

        /// Waits until the issuer has received `count` calls.
        func called(_ count: Int) async throws {
            guard await eventually(within: .seconds(10), { issuer.calls.count >= count }) else {
                throw Gate.Unmet(what: "call \(count) of the issuer", time: .seconds(10))
            }
        }
    }

    /// Advances the clock until `body` returns, slowly enough in real time for the tasks that each step wakes.
    private static func moving<Value: Sendable>(
        _ clock: ManualClock, _ body: @Sendable () async -> Value
    ) async -> Value {
        let mover = Task {
            while !Task.isCancelled {
                try? await Task.sleep(for: .milliseconds(2))
                if clock.sleeperCount > 0 { clock.advance(by: .milliseconds(25)) }
            }
        }
        defer { mover.cancel() }
        return await withTaskCancellationHandler {
            await body()
        } onCancel: {
            mover.cancel()
        }
    }

    private static func expectFailure(_ result: Result<Token, TokenError>, _ code: TokenError.Code) {
        switch result {
        case .success(let token): Issue.record("expected the error \(code), found the token \(token.id)")
        case .failure(let error) where error.code != code:
            Issue.record("expected the error \(code), found \(error)")
        case .failure: break
        }
    }

    /// Expects that an error contains none of the issuer's words.
    private static func expectSafe(_ error: TokenError) {
        var text = "\(error) \(String(reflecting: error))"
        dump(error, to: &text)
        for words in ["the vendor's own words", "invalid_grant", "access-trunc", "access-dropped", "<html>"]
        where text.contains(words) {
            Issue.record("expected an error without the issuer's words, found: \(text)")
        }
    }

    private static func fails(
        _ description: String, _ behaviour: MisbehavingIssuer.Behaviour, with code: TokenError.Code
    ) -> Case {
        refuses(description, behaviour) { expectFailure($0, code) }
    }

    /// A case for a response without a usable token. `check` inspects the caller's result, and a later request must
    /// succeed.
    private static func refuses(
        _ description: String, _ behaviour: MisbehavingIssuer.Behaviour,
        check: @escaping @Sendable (Result<Token, TokenError>) -> Void
    ) -> Case {
        Case(testDescription: description, needs: []) { fixture in
            let subject = try await Subject(fixture)
            subject.issuer.otherwise(behaviour)
            let result = await subject.token()
            check(result)
            if case .failure(let error) = result { expectSafe(error) }
            // A failure is not cached permanently.
            subject.issuer.otherwise(.issues())
            subject.clock.advance(by: .seconds(600))
            _ = try await subject.token().get()
        }
    }

    /// A case for a refusal in the vendor's own words, which a retry does not change.
    private static func refuses(_ status: HTTPResponse.Status) -> Case {
        refuses("a refusal with \(status.code) is no outage", .refuses(status)) { result in
            switch result {
            case .success(let token): Issue.record("expected an error, found the token \(token.id)")
            case .failure(let error) where [.unavailable, .timedOut].contains(error.code):
                Issue.record("expected an error that says that the vendor refused, found \(error)")
            case .failure: break
            }
        }
    }

    private static let all: [Case] =
        [
            Case(
                testDescription: "a token has a secret, an id that tells nothing of it, and life that remains",
                needs: []
            ) {
                fixture in
                let token = try await Subject(fixture).token().get()
                #expect(!token.secret.isEmpty)
                #expect(token.remaining > .zero)
                #expect(!token.secret.reveal().contains(token.id.description))
                #expect(token.lineage.state == .current)
            },
            Case(testDescription: "requests that differ do not share a token", needs: []) { fixture in
                let subject = try await Subject(fixture)
                let first = try await subject.token().get()
                let second = try await subject.token(subject.other).get()
                #expect(first.id != second.id)
                #expect(first.secret != second.secret)
            },
            Case(testDescription: "a token that was refused does not come again", needs: []) { fixture in
                let subject = try await Subject(fixture)
                let first = try await subject.token().get()
                let second = try await subject.token(nil, TokenDemand(replacing: first.id)).get()
                #expect(second.id != first.id)
                #expect(second.secret != first.secret)
            },
            Case(testDescription: "a demand for more life than tokens have is met as far as half of it", needs: []) {
                fixture in
                let subject = try await Subject(fixture)
                subject.issuer.otherwise(.issues(lifetime: .seconds(100)))
                for _ in 0..<5 {
                    let token = try await subject.token(nil, TokenDemand(minimumRemaining: .seconds(3600))).get()
                    #expect(token.remaining >= .seconds(49))
                    subject.clock.advance(by: .seconds(30))
                }
            },
            fails("an issuer that is down", .answersHTML(status: .serviceUnavailable), with: .unavailable),
            fails("a page of HTML", .answersHTML(), with: .unavailable),
            fails("an answer without a body", .answersNothing, with: .unavailable),
            fails("an error in an answer with status 200", .answersError("invalid_grant"), with: .unavailable),
            fails("an answer that is cut off", .truncatesJSON, with: .unavailable),
            fails("an answer that does not end", .neverEnds, with: .unavailable),
            fails("an answer of ten megabytes", .floods(), with: .unavailable),
            fails("a connection that is dropped", .dropsConnection, with: .unavailable),
            fails("a connection that is dropped within the answer", .dropsMidBody, with: .unavailable),
            fails("a redirect", .redirects(), with: .unavailable),
            fails("a token that has expired already", .issues(lifetime: .seconds(-5)), with: .unavailable),
            fails("an issuer that hangs", .hangs, with: .timedOut),
            refuses(.unauthorized), refuses(.forbidden),
            Case(testDescription: "an issuer that is slow is waited for", needs: []) { fixture in
                let subject = try await Subject(fixture)
                subject.issuer.otherwise(.slow(.seconds(2)))
                #expect(try await subject.token().get().remaining <= .seconds(3599))
            },
            Case(testDescription: "the time that a server asks for is told", needs: []) { fixture in
                let subject = try await Subject(fixture)
                subject.issuer.then(.throttles(retryAfter: "7"))
                let result = await subject.token()
                expectFailure(result, .throttled)
                guard case .failure(let error) = result else { return }
                let retryAfter = try #require(error.retryAfter, "expected a time to come back, found none")
                #expect(retryAfter > .seconds(6) && retryAfter <= .seconds(7))
            },
            Case(testDescription: "a cancelled caller ends only its own wait", needs: []) { fixture in
                let subject = try await Subject(fixture)
                _ = try await subject.token(subject.other).get()
                subject.issuer.then(.hangs)
                let before = subject.issuer.calls.count
                let asking = subject.asking(subject.request)
                try await subject.called(before + 1)
                asking.cancel()
                let result = try await ended("a cancelled caller to return") { await asking.value }
                expectFailure(result, .cancelled)
                _ = try await subject.token(subject.other).get()
                // The hanging call may last a while longer.
                subject.clock.advance(by: .seconds(60))
                if case .failure = await subject.token() { subject.clock.advance(by: .seconds(60)) }
                _ = try await subject.token().get()
            },
            Case(testDescription: "a caller that waits gets its token although the one before it left", needs: .caches)
            { fixture in
                let subject = try await Subject(fixture)
                _ = try await subject.token(subject.other).get()
                subject.issuer.then(.slow(.seconds(2)))
                let before = subject.issuer.calls.count
                let leaving = subject.asking(subject.request)
                try await subject.called(before + 1)
                let staying = subject.asking(subject.request)
                // This is real time to join the fetch. A caller that comes later gets its token as well.
                try await ContinuousClock().sleep(for: .milliseconds(100))
                leaving.cancel()
                let left = try await ended("a cancelled caller to return") { await leaving.value }
                expectFailure(left, .cancelled)
                let stayed = try await ended("the other caller to return", within: .seconds(30)) {
                    await moving(subject.clock) { await staying.value }
                }
                _ = try stayed.get()
                expect(subject.issuer.calls.count, before + 1, "calls for two callers, one of which left")
            },
            Case(testDescription: "the whole request is the key", needs: .caches) { fixture in
                let subject = try await Subject(fixture)
                let first = try await subject.token().get()
                var variants: [(String, TokenRequest)] = []
                func vary(_ what: String, _ change: (inout TokenRequest) -> Void) {
                    var request = subject.request
                    change(&request)
                    variants.append((what, request))
                }
                vary("tenant") { $0.tenant = "another-tenant" }
                vary("audience") { $0.audience = "https://another-audience.example" }
                vary("scopes") { $0.scopes.insert("another-scope") }
                for (what, request) in variants {
                    let token = try await subject.token(request).get()
                    if token.id == first.id {
                        Issue.record("expected another token for a request with another \(what), found the same one")
                    }
                }
                let again = try await subject.token().get()
                expect(again.id, first.id, "the token for the first request again")
            },
            Case(testDescription: "replacing a token that is no longer current fetches nothing", needs: .caches) {
                fixture in
                let subject = try await Subject(fixture)
                let first = try await subject.token().get()
                let second = try await subject.token(nil, TokenDemand(replacing: first.id)).get()
                let before = subject.issuer.calls.count
                let third = try await subject.token(nil, TokenDemand(replacing: first.id)).get()
                expect(third.id, second.id, "the token in place of one that was replaced before")
                expect(subject.issuer.calls.count, before, "calls after that")
            },
            Case(testDescription: "a decorator passes on the whole request and the demand", needs: .decorates) {
                fixture in
                let clock = ManualClock()
                let upstream = ScriptedTokenProvider([.token("first"), .token("second")])
                let provider = try #require(
                    try await fixture.provider(decorating: upstream, clock: clock),
                    "expected the fixture to decorate another provider, found nil")
                var request = fixture.request(0)
                request.tenant = "tenant"
                request.scopes.insert("scope")
                request.audience = "https://audience.example"
                let first = try await provider.token(for: request)
                let demand = TokenDemand(
                    minimumRemaining: .seconds(77), replacing: first.id, timeout: .seconds(5))
                _ = try await provider.token(for: request, demand: demand)
                let asked = upstream.asked
                expect(asked.count, 2, "requests that reached the upstream provider")
                for asked in asked { expect(asked.request, request, "the upstream provider's request") }
                let last = try #require(asked.last).demand
                expect(last.replacing, demand.replacing, "the upstream provider's `replacing`")
                expect(last.minimumRemaining, demand.minimumRemaining, "the upstream provider's `minimumRemaining`")
                #expect(last.timeout != nil, "expected a timeout for the upstream provider, found none")
            },
            Case(testDescription: "a decorator passes on what the upstream provider refuses", needs: .decorates) {
                fixture in
                let clock = ManualClock()
                for error in [
                    TokenError(.credentialsRejected, message: "refused"),
                    TokenError(.throttled, message: "later", retryAfter: .seconds(7)),
                    TokenError(.requestRejected, message: "no such invoice"),
                ] {
                    let upstream = ScriptedTokenProvider([.fail(error)])
                    let provider = try #require(
                        try await fixture.provider(decorating: upstream, clock: clock),
                        "expected the fixture to decorate another provider, found nil")
                    do {
                        let token = try await provider.token(for: fixture.request(0))
                        Issue.record("expected the error \(error), found the token \(token.id)")
                    } catch let found as TokenError {
                        expect(found.code, error.code, "the error")
                        if error.retryAfter != nil {
                            expect(found.retryAfter, error.retryAfter, "the time to come back")
                        }
                    }
                    expect(upstream.asked.count, 1, "requests that reached the upstream provider")
                }
            },
            Case(testDescription: "a thousand callers at once share one call", needs: .caches) { fixture in
                let subject = try await Subject(fixture)
                _ = try await subject.token(subject.other).get()
                let before = subject.issuer.calls.count
                let asking = (0..<1000).map { _ in subject.asking(subject.request) }
                var ids: Set<Token.ID> = []
                for asking in asking { ids.insert(try await asking.value.get().id) }
                expect(ids.count, 1, "tokens for a thousand callers at once")
                expect(subject.issuer.calls.count, before + 1, "calls for a thousand callers at once")
            },
            Case(
                testDescription: "a kept token is served with the life that is left, and not past its end",
                needs: .caches
            ) {
                fixture in
                let subject = try await Subject(fixture)
                subject.issuer.otherwise(.issues(lifetime: .seconds(100)))
                let first = try await subject.token().get()
                subject.clock.advance(by: .seconds(40))
                let second = try await subject.token().get()
                #expect(second.id == first.id)
                // The clock may advance a little while the test waits for the token.
                let expected = first.remaining - .seconds(40)
                #expect(second.remaining <= expected && second.remaining > expected - .seconds(5))
                subject.clock.advance(by: second.remaining)
                let third = try await subject.token().get()
                #expect(third.id != first.id)
            },
            Case(testDescription: "a token whose line is revoked is not served", needs: .caches) { fixture in
                let subject = try await Subject(fixture)
                let first = try await subject.token().get()
                first.lineage.revoke()
                #expect(try await subject.token().get().id != first.id)
            },
            Case(testDescription: "a caller waits no longer than its timeout, and the others go on", needs: .caches) {
                fixture in
                let subject = try await Subject(fixture)
                subject.issuer.otherwise(.slow(.seconds(5)))
                let patient = subject.asking(subject.request)
                try await subject.called(1)
                let hasty = await subject.token(nil, TokenDemand(timeout: .milliseconds(100)))
                expectFailure(hasty, .timedOut)
                _ = try await moving(subject.clock) { await patient.value }.get()
            },
        ]
}

import HTTPTypes
public import Testing
public import TokenBroker

/// What every ``TokenProvider`` promises, as test cases over a fixture of yours that puts it in front of a ``MisbehavingIssuer``.
///
/// ```swift
/// @Test(arguments: TokenProviderContract.cases(for: MyFixture.self))
/// func contract(_ test: TokenProviderContract.Case) async throws {
///     try await test.run(on: MyFixture())
/// }
/// ```
public enum TokenProviderContract {
    /// What a provider does beyond handing out tokens. Cases that need more than it has are left out.
    public struct Capabilities: OptionSet, Sendable {
        /// The bits.
        public let rawValue: Int
        /// Takes the bits as they are.
        public init(rawValue: Int) { self.rawValue = rawValue }

        /// It hands tokens out again, and has one fetch at a time for each request.
        public static let caches = Self(rawValue: 1)
    }

    /// One promise.
    public struct Case: Sendable, CustomTestStringConvertible {
        /// The promise in words.
        public let testDescription: String
        let needs: Capabilities
        let body: @Sendable (any TokenProviderFixture) async throws -> Void

        /// Checks it.
        public func run(on fixture: some TokenProviderFixture) async throws { try await body(fixture) }
    }

    /// The cases that apply to a fixture.
    public static func cases<Fixture: TokenProviderFixture>(for fixture: Fixture.Type) -> [Case] {
        all.filter { Fixture.capabilities.isSuperset(of: $0.needs) }
    }
}

/// Makes providers for ``TokenProviderContract``.
public protocol TokenProviderFixture: Sendable {
    /// What the provider does beyond handing out tokens.
    static var capabilities: TokenProviderContract.Capabilities { get }

    /// A provider whose tokens come from `issuer`. All its time is `clock`; its wall clock is ``ManualClock/date``.
    func provider(from issuer: MisbehavingIssuer, clock: ManualClock) async throws -> any TokenProvider

    /// A request that it answers. Two numbers give requests that must not share a token.
    func request(_ number: Int) -> TokenRequest
}

extension TokenProviderContract {
    /// A provider with what is behind it.
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

        /// One token, with the clock moving on whenever the provider sleeps on it.
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
    }

    /// Moves the clock on as long as `body` takes, in small steps with room for the tasks that each one wakes.
    private static func moving<Value: Sendable>(
        _ clock: ManualClock, _ body: @Sendable () async -> Value
    ) async -> Value {
        let mover = Task {
            while !Task.isCancelled {
                for _ in 0..<300 where !Task.isCancelled { await Task.yield() }
                if clock.sleeperCount > 0 { clock.advance(by: .milliseconds(100)) }
            }
        }
        defer { mover.cancel() }
        return await body()
    }

    private static func code(_ result: Result<Token, TokenError>) -> TokenError.Code? {
        if case .failure(let error) = result { error.code } else { nil }
    }

    private static func fails(
        _ description: String, _ behaviour: MisbehavingIssuer.Behaviour, with code: TokenError.Code
    ) -> Case {
        Case(testDescription: description, needs: []) { fixture in
            let subject = try await Subject(fixture)
            subject.issuer.otherwise(behaviour)
            let result = await subject.token()
            #expect(Self.code(result) == code, "\(result)")
            if case .failure(let error) = result {
                var text = "\(error) \(String(reflecting: error))"
                dump(error, to: &text)
                #expect(!text.contains("the vendor's own words"), "a server's words are in the error: \(text)")
            }
            // Nothing is poisoned by that.
            subject.issuer.otherwise(.issues())
            subject.clock.advance(by: .seconds(600))
            _ = try await subject.token().get()
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
            Case(testDescription: "an issuer that is slow is waited for", needs: []) { fixture in
                let subject = try await Subject(fixture)
                subject.issuer.otherwise(.slow(.seconds(2)))
                #expect(try await subject.token().get().remaining <= .seconds(3599))
            },
            Case(testDescription: "the time that a server asks for is told", needs: []) { fixture in
                let subject = try await Subject(fixture)
                subject.issuer.then(.throttles(retryAfter: "7"))
                guard case .failure(let error) = await subject.token() else {
                    Issue.record("there is a token")
                    return
                }
                #expect(error.code == .throttled)
                let retryAfter = try #require(error.retryAfter)
                #expect(retryAfter > .seconds(6) && retryAfter <= .seconds(7))
            },
            Case(testDescription: "a caller that is cancelled leaves, and spoils it for nobody", needs: []) { fixture in
                let subject = try await Subject(fixture)
                _ = try await subject.token(subject.other).get()
                subject.issuer.then(.hangs)
                let before = subject.issuer.calls.count
                let asking = subject.asking(subject.request)
                await subject.issuer.called(before + 1)
                asking.cancel()
                await #expect(code(asking.value) == .cancelled)
                _ = try await subject.token(subject.other).get()
                // The call that hangs may go on for a while.
                subject.clock.advance(by: .seconds(60))
                if case .failure = await subject.token() { subject.clock.advance(by: .seconds(60)) }
                _ = try await subject.token().get()
            },
            Case(testDescription: "a thousand callers at once share one call", needs: .caches) { fixture in
                let subject = try await Subject(fixture)
                _ = try await subject.token(subject.other).get()
                let before = subject.issuer.calls.count
                let asking = (0..<1000).map { _ in subject.asking(subject.request) }
                var ids: Set<Token.ID> = []
                for asking in asking { ids.insert(try await asking.value.get().id) }
                #expect(ids.count == 1)
                #expect(subject.issuer.calls.count == before + 1)
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
                // The clock may be moved a little while an answer is awaited.
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
                await subject.issuer.called(1)
                let hasty = await subject.token(nil, TokenDemand(timeout: .milliseconds(100)))
                #expect(code(hasty) == .timedOut)
                _ = try await moving(subject.clock) { await patient.value }.get()
            },
        ]
}

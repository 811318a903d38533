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
    struct Subject: Sendable {
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
    static func moving<Value: Sendable>(
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

    static func expectFailure(_ result: Result<Token, TokenError>, _ code: TokenError.Code) {
        switch result {
        case .success(let token): Issue.record("expected the error \(code), found the token \(token.id)")
        case .failure(let error) where error.code != code:
            Issue.record("expected the error \(code), found \(error)")
        case .failure: break
        }
    }

    /// Expects that an error contains none of the issuer's words.
    static func expectSafe(_ error: TokenError) {
        var text = "\(error) \(String(reflecting: error))"
        dump(error, to: &text)
        for words in ["the vendor's own words", "invalid_grant", "access-trunc", "access-dropped", "<html>"]
        where text.contains(words) {
            Issue.record("expected an error without the issuer's words, found: \(text)")
        }
    }

    static func fails(
        _ description: String, _ behaviour: MisbehavingIssuer.Behaviour, with code: TokenError.Code
    ) -> Case {
        refuses(description, behaviour) { expectFailure($0, code) }
    }

    /// A case for a response without a usable token. `check` inspects the caller's result, and a later request must
    /// succeed.
    static func refuses(
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
    static func refuses(_ status: HTTPResponse.Status) -> Case {
        refuses("a refusal with \(status.code) is no outage", .refuses(status)) { result in
            switch result {
            case .success(let token): Issue.record("expected an error, found the token \(token.id)")
            case .failure(let error) where [.unavailable, .timedOut].contains(error.code):
                Issue.record("expected an error that says that the vendor refused, found \(error)")
            case .failure: break
            }
        }
    }

    private static let all: [Case] = basics + caches + decorators

    private static let basics: [Case] = [
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
    ]
}

import Synchronization
import Testing
import TokenBroker
import TokenBrokerTesting

/// A provider whose fetches are answered one by one by the test.
private final class FakeIssuer: TokenProvider {
    private struct State {
        var demands: [TokenDemand] = []
        var waiting: [CheckedContinuation<Result<Token, TokenError>, Never>] = []
        var watchers: [(Int, CheckedContinuation<Void, Never>)] = []
    }
    private let state = Mutex(State())

    var calls: Int { state.withLock { $0.demands.count } }
    var demands: [TokenDemand] { state.withLock { $0.demands } }

    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        let result = await withCheckedContinuation { continuation in
            let watchers = state.withLock { state in
                state.demands.append(demand)
                state.waiting.append(continuation)
                let count = state.demands.count
                let satisfied = state.watchers.filter { $0.0 <= count }
                state.watchers.removeAll { $0.0 <= count }
                return satisfied
            }
            for watcher in watchers { watcher.1.resume() }
        }
        return try result.get()
    }

    /// Waits until there were `count` calls in all.
    func called(_ count: Int) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.demands.count >= count { return true }
                state.watchers.append((count, continuation))
                return false
            }
            if isThere { continuation.resume() }
        }
    }

    /// Answers the call that waits longest, or the one at `index`.
    func answer(_ result: Result<Token, TokenError>, index: Int = 0) {
        let continuation = state.withLock { $0.waiting.remove(at: index) }
        continuation.resume(returning: result)
    }
}

private func token(_ text: String, life: Duration = .seconds(3600), lineage: Lineage = Lineage()) -> Token {
    Token(secret: Secret(text), remaining: life, lineage: lineage)
}

struct CachingTests {
    private let clock = ManualClock()
    private let issuer = FakeIssuer()
    private let request = TokenRequest(customer: "c", invoice: "i")

    private var cache: Caching<FakeIssuer, ManualClock> { Caching(issuer, clock: clock) }

    /// Fills the cache with one token.
    private func filled(_ cache: Caching<FakeIssuer, ManualClock>, with token: Token) async throws -> Token {
        let count = issuer.calls
        async let first = cache.token(for: request)
        await issuer.called(count + 1)
        issuer.answer(.success(token))
        return try await first
    }

    @Test func aTokenIsServedAgainWithTheLifeThatIsLeft() async throws {
        let cache = cache
        let first = try await filled(cache, with: token("t"))
        clock.advance(by: .seconds(600))
        let second = try await cache.token(for: request)
        #expect(second.id == first.id)
        #expect(second.remaining == .seconds(3000))
        #expect(issuer.calls == 1)
    }

    @Test func otherRequestsGetOtherTokens() async throws {
        let cache = cache
        _ = try await filled(cache, with: token("t"))
        let others = [
            TokenRequest(customer: "c", invoice: "other"), TokenRequest(customer: "other", invoice: "i"),
            TokenRequest(tenant: "x", customer: "c", invoice: "i"),
            TokenRequest(inputs: request.inputs, scopes: ["s"]), TokenRequest(inputs: request.inputs, audience: "a"),
        ]
        for (index, other) in others.enumerated() {
            async let answer = cache.token(for: other)
            await issuer.called(2 + index)
            issuer.answer(.success(token("other \(index)")))
            #expect(try await answer.secret == Secret("other \(index)"))
        }
    }

    @Test(arguments: [(3600, 60), (120, 60), (60, 30), (10, 5)])
    func aTokenIsServedUntilTheMargin(life: Int, margin: Int) async throws {
        let cache = cache
        let first = try await filled(cache, with: token("t", life: .seconds(life)))
        clock.advance(by: .seconds(life - margin))
        #expect(try await cache.token(for: request).id == first.id)
        clock.advance(by: .milliseconds(1))
        async let second = cache.token(for: request)
        await issuer.called(2)
        issuer.answer(.success(token("u")))
        #expect(try await second.id != first.id)
    }

    @Test func whatIsPromisedIsTheSmallerOfTheDemandAndHalfTheLife() async throws {
        let cache = cache
        let first = try await filled(cache, with: token("t", life: .seconds(100)))
        clock.advance(by: .seconds(50))
        let demand = TokenDemand(minimumRemaining: .seconds(3600))
        #expect(try await cache.token(for: request, demand: demand).id == first.id)
        clock.advance(by: .milliseconds(1))
        async let second = cache.token(for: request, demand: demand)
        await issuer.called(2)
        issuer.answer(.success(token("u")))
        #expect(try await second.id != first.id)
    }

    @Test func tenThousandCallersCostOneFetch() async throws {
        let cache = cache
        let request = request
        let tasks = (0..<10_000).map { _ in Task { try await cache.token(for: request).secret } }
        await issuer.called(1)
        issuer.answer(.success(token("t")))
        for task in tasks { #expect(try await task.value == Secret("t")) }
        #expect(issuer.calls == 1)
    }

    @Test func aFailureIsSharedAndNotKept() async throws {
        let cache = cache
        let request = request
        let waiting = Task { try await cache.token(for: request) }
        await issuer.called(1)
        issuer.answer(.failure(TokenError(.unavailable, message: "down")))
        await #expect { try await waiting.value } throws: { ($0 as? TokenError)?.code == .unavailable }
        _ = try await filled(cache, with: token("t"))
        #expect(issuer.calls == 2)
    }

    @Test func theCallerWhoStartedTheFetchCanLeaveAndTheOthersGetTheirToken() async throws {
        let cache = cache
        let request = request
        let first = Task { try await cache.token(for: request) }
        await issuer.called(1)
        let others = (0..<50).map { _ in Task { try await cache.token(for: request) } }
        first.cancel()
        await #expect { try await first.value } throws: { ($0 as? TokenError)?.code == .cancelled }
        issuer.answer(.success(token("t")))
        for other in others { #expect(try await other.value.secret == Secret("t")) }
        #expect(issuer.calls == 1)
    }

    @Test func whenEverybodyLeftTheFetchGoesOnAndItsTokenIsKept() async throws {
        let cache = cache
        let request = request
        let first = Task { try await cache.token(for: request) }
        await issuer.called(1)
        first.cancel()
        _ = await first.result
        let second = Task { try await cache.token(for: request) }
        issuer.answer(.success(token("t")))
        #expect(try await second.value.secret == Secret("t"))
        #expect(issuer.calls == 1)
    }

    @Test func eachCallerHasItsOwnPatience() async throws {
        let cache = cache
        let request = request
        let patient = Task { try await cache.token(for: request) }
        await issuer.called(1)
        let impatient = Task {
            try await cache.token(for: request, demand: TokenDemand(patience: .seconds(2)))
        }
        await clock.sleepers(1)
        clock.advance(by: .seconds(2))
        await #expect { try await impatient.value } throws: { ($0 as? TokenError)?.code == .timedOut }
        issuer.answer(.success(token("t")))
        #expect(try await patient.value.secret == Secret("t"))
    }

    @Test func oneSlowRequestDoesNotHoldUpAnother() async throws {
        let cache = cache
        let request = request
        let slow = Task { try await cache.token(for: request) }
        await issuer.called(1)
        async let quick = cache.token(for: TokenRequest(customer: "c", invoice: "j"))
        await issuer.called(2)
        issuer.answer(.success(token("quick")), index: 1)
        #expect(try await quick.secret == Secret("quick"))
        issuer.answer(.success(token("slow")))
        #expect(try await slow.value.secret == Secret("slow"))
    }

    @Test func insteadOfDropsThatVeryToken() async throws {
        let cache = cache
        let first = try await filled(cache, with: token("t"))
        async let second = cache.token(for: request, demand: TokenDemand(insteadOf: first.id))
        await issuer.called(2)
        #expect(issuer.demands.last?.insteadOf == first.id)
        issuer.answer(.success(token("u")))
        let renewed = try await second
        #expect(renewed.id != first.id)
        #expect(first.lineage.state == .revoked)
        // A late refusal of the old one does no harm to the new one.
        #expect(try await cache.token(for: request, demand: TokenDemand(insteadOf: first.id)).id == renewed.id)
        #expect(issuer.calls == 2)
    }

    @Test func aRenewalDoesNotJoinAPlainFetchAndIsNotOverwrittenByIt() async throws {
        let cache = cache
        let request = request
        let plain = Task { try await cache.token(for: request) }
        await issuer.called(1)
        let renewal = Task {
            try await cache.token(for: request, demand: TokenDemand(insteadOf: Token.ID(rawValue: "old")))
        }
        await issuer.called(2)
        issuer.answer(.success(token("new")), index: 1)
        #expect(try await renewal.value.secret == Secret("new"))
        issuer.answer(.success(token("slow and old")))
        #expect(try await plain.value.secret == Secret("slow and old"))
        #expect(try await cache.token(for: request).secret == Secret("new"))
    }

    @Test(arguments: [Lineage.State.superseded, .revoked])
    func aTokenWhoseLineIsOverIsNotServed(state: Lineage.State) async throws {
        let cache = cache
        let credential = Lineage()
        let first = try await filled(cache, with: token("t", lineage: Lineage(descendingFrom: credential)))
        if state == .revoked { credential.revoke() } else { credential.supersede() }
        async let second = cache.token(for: request)
        await issuer.called(2)
        issuer.answer(.success(token("u")))
        #expect(try await second.id != first.id)
    }

    @Test func theNumberOfTokensIsBounded() async throws {
        let cache = Caching(issuer, clock: clock, maximumEntries: 10)
        for index in 0..<100 {
            async let answer = cache.token(for: TokenRequest(customer: "c", invoice: "\(index)"))
            await issuer.called(index + 1)
            issuer.answer(.success(token("\(index)")))
            _ = try await answer
        }
        for index in 90..<100 { _ = try await cache.token(for: TokenRequest(customer: "c", invoice: "\(index)")) }
        #expect(issuer.calls == 100)
        async let dropped = cache.token(for: TokenRequest(customer: "c", invoice: "89"))
        await issuer.called(101)
        issuer.answer(.success(token("again")))
        _ = try await dropped
    }

    @Test func callersThatComeAndGoLeaveNobodyBehind() async throws {
        let cache = cache
        let request = request
        let tasks = (0..<2000).map { index in
            Task {
                try await cache.token(
                    for: request, demand: TokenDemand(patience: index.isMultiple(of: 2) ? .seconds(5) : nil))
            }
        }
        for (index, task) in tasks.enumerated() where index.isMultiple(of: 5) { task.cancel() }
        await issuer.called(1)
        issuer.answer(.success(token("t")))
        for task in tasks {
            do {
                #expect(try await task.value.secret == Secret("t"))
            } catch let error as TokenError {
                #expect(error.code == .cancelled)
            }
        }
    }
}

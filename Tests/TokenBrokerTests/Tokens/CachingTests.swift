import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

/// A provider whose fetches the test completes one by one.
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

    /// Waits until there were `count` calls in total.
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

    /// Completes the longest-waiting call, or the one at `index`.
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

    private var cache: CachingTokenProvider<FakeIssuer> { CachingTokenProvider(issuer, clock: clock) { 0 } }

    /// Fills the cache with a token.
    private func filled(_ cache: CachingTokenProvider<FakeIssuer>, with token: Token) async throws -> Token {
        let count = issuer.calls
        async let first = cache.token(for: request)
        await issuer.called(count + 1)
        issuer.answer(.success(token))
        return try await first
    }

    @Test func `a cached token is served again with its remaining lifetime`() async throws {
        let cache = cache
        let first = try await filled(cache, with: token("t"))
        clock.advance(by: .seconds(600))
        let second = try await cache.token(for: request)
        #expect(second.id == first.id)
        #expect(second.remaining == .seconds(3000))
        #expect(issuer.calls == 1)
    }

    @Test func `different requests get different tokens`() async throws {
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

    @Test func `a token is renewed in the background and served meanwhile`() async throws {
        let cache = cache
        let first = try await filled(cache, with: token("t", life: .seconds(100)))
        clock.advance(by: .milliseconds(74_999))
        #expect(try await cache.token(for: request).id == first.id)
        #expect(issuer.calls == 1)
        clock.advance(by: .milliseconds(1))
        for _ in 0..<100 { #expect(try await cache.token(for: request).id == first.id) }
        await issuer.called(2)
        clock.advance(by: .milliseconds(24_999))
        #expect(try await cache.token(for: request).remaining == .milliseconds(1))
        issuer.answer(.success(token("u")))
        try await waitUntil { try await cache.token(for: request).id != first.id }
        #expect(issuer.calls == 2)
    }

    @Test func `a token survives a failed renewal until it expires, and no longer`() async throws {
        let cache = cache
        let request = request
        let first = try await filled(cache, with: token("t", life: .seconds(100)))
        clock.advance(by: .seconds(90))
        #expect(try await cache.token(for: request).id == first.id)
        await issuer.called(2)
        issuer.answer(.failure(TokenError(.unavailable, message: "down")))
        // Chance is 0 here, so the next caller that is served starts the next attempt.
        try await waitUntil {
            let served = try await cache.token(for: request)
            #expect(served.id == first.id)
            return issuer.calls >= 3
        }
        clock.advance(by: .seconds(10))
        let late = Task { try await cache.token(for: request) }
        issuer.answer(.failure(TokenError(.unavailable, message: "down")))
        await #expect { try await late.value } throws: { ($0 as? TokenError)?.code == .unavailable }
    }

    @Test func `a fetch that hangs is given up on`() async throws {
        let cache = cache
        let request = request
        let waiting = Task { try await cache.token(for: request) }
        await issuer.called(1)
        await clock.sleepers(1)
        clock.advance(by: .seconds(30))
        await #expect { try await waiting.value } throws: { ($0 as? TokenError)?.code == .timedOut }
        clock.advance(by: .seconds(1))
        let next = Task { try await cache.token(for: request) }
        await issuer.called(2)
        issuer.answer(.success(token("late")))
        issuer.answer(.success(token("t")))
        #expect(try await next.value.secret == Secret("t"))
        #expect(try await cache.token(for: request).secret == Secret("t"))
    }

    @Test func `a shutdown ends every wait and fetch, while cached tokens are still served`() async throws {
        let cache = cache
        let (request, other) = (request, TokenRequest(customer: "c", invoice: "other"))
        let first = try await filled(cache, with: token("t"))
        let waiting = (0..<100).map { _ in Task { try await cache.token(for: other) } }
        await issuer.called(2)
        let shutdown = Task { await cache.shutdown() }
        for task in waiting {
            await #expect { try await task.value } throws: { ($0 as? TokenError)?.code == .cancelled }
        }
        issuer.answer(.failure(TokenError(.cancelled, message: "cancelled")))
        await shutdown.value
        #expect(try await cache.token(for: request).id == first.id)
        await #expect { try await cache.token(for: other) } throws: { ($0 as? TokenError)?.code == .cancelled }
    }

    @Test func `the guaranteed lifetime is the smaller of the demand and half the token's life`() async throws {
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

    @Test func `ten thousand callers cost one fetch`() async throws {
        let cache = cache
        let request = request
        let tasks = (0..<10_000).map { _ in Task { try await cache.token(for: request).secret } }
        await issuer.called(1)
        issuer.answer(.success(token("t")))
        for task in tasks { #expect(try await task.value == Secret("t")) }
        #expect(issuer.calls == 1)
    }

    @Test func `a failure is shared until a retry is worthwhile`() async throws {
        let cache = cache
        let request = request
        for (number, pause) in [1, 2, 4, 8, 16, 30, 30].enumerated() {
            let waiting = (0..<10).map { _ in Task { try await cache.token(for: request) } }
            await issuer.called(number + 1)
            issuer.answer(.failure(TokenError(.unavailable, message: "down")))
            for task in waiting {
                await #expect { try await task.value } throws: { ($0 as? TokenError)?.code == .unavailable }
            }
            await #expect { try await cache.token(for: request) } throws: { error in
                (error as? TokenError)?.retryAfter == .seconds(pause)
            }
            clock.advance(by: .seconds(pause) - .milliseconds(1))
            await #expect(throws: TokenError.self) { try await cache.token(for: request) }
            #expect(issuer.calls == number + 1)
            clock.advance(by: .milliseconds(1))
        }
        _ = try await filled(cache, with: token("t"))
    }

    @Test func `a Retry-After of the server is obeyed by all callers`() async throws {
        let cache = cache
        let request = request
        let waiting = Task { try await cache.token(for: request) }
        await issuer.called(1)
        issuer.answer(.failure(TokenError(.throttled, message: "429", retryAfter: .seconds(7))))
        _ = await waiting.result
        clock.advance(by: .seconds(3))
        await #expect { try await cache.token(for: request) } throws: { error in
            (error as? TokenError)?.code == .throttled && (error as? TokenError)?.retryAfter == .seconds(4)
        }
        #expect(issuer.calls == 1)
    }

    @Test func `a fetch that was cancelled is not cached as a failure`() async throws {
        let cache = cache
        let request = request
        let waiting = Task { try await cache.token(for: request) }
        await issuer.called(1)
        issuer.answer(.failure(TokenError(.cancelled, message: "the transport was shut down")))
        _ = await waiting.result
        _ = try await filled(cache, with: token("t"))
    }

    @Test func `a cancelled caller leaves its fetch to the others`() async throws {
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

    @Test func `a fetch continues after all its callers left, and its token is kept`() async throws {
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

    @Test func `each caller waits no longer than its own timeout`() async throws {
        let cache = cache
        let request = request
        let patient = Task { try await cache.token(for: request) }
        await issuer.called(1)
        let impatient = (1...100).map { seconds in
            Task { try await cache.token(for: request, demand: TokenDemand(timeout: .milliseconds(10 * seconds))) }
        }
        // Nothing signals when a caller starts to wait. A caller that arrives late waits from then on.
        let moving = Task {
            while !Task.isCancelled {
                clock.advance(by: .milliseconds(10))
                try await Task.sleep(for: .milliseconds(5))
                if clock.now.offset > .seconds(20) { break }
            }
        }
        for task in impatient {
            await #expect { try await task.value } throws: { ($0 as? TokenError)?.code == .timedOut }
        }
        moving.cancel()
        issuer.answer(.success(token("t")))
        #expect(try await patient.value.secret == Secret("t"))
    }

    @Test func `a slow request does not delay another`() async throws {
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

    @Test func `replacing a token drops exactly that token`() async throws {
        let cache = cache
        let first = try await filled(cache, with: token("t"))
        async let second = cache.token(for: request, demand: TokenDemand(replacing: first.id))
        await issuer.called(2)
        #expect(issuer.demands.last?.replacing == first.id)
        issuer.answer(.success(token("u")))
        let renewed = try await second
        #expect(renewed.id != first.id)
        #expect(first.lineage.state == .revoked)
        // A late refusal of the old token does not affect the new one.
        #expect(try await cache.token(for: request, demand: TokenDemand(replacing: first.id)).id == renewed.id)
        #expect(issuer.calls == 2)
    }

    @Test func `a renewal does not join a plain fetch and is not overwritten by it`() async throws {
        let cache = cache
        let request = request
        let plain = Task { try await cache.token(for: request) }
        await issuer.called(1)
        let renewal = Task {
            try await cache.token(for: request, demand: TokenDemand(replacing: Token.ID(rawValue: "old")))
        }
        await issuer.called(2)
        issuer.answer(.success(token("new")), index: 1)
        #expect(try await renewal.value.secret == Secret("new"))
        issuer.answer(.success(token("slow and old")))
        #expect(try await plain.value.secret == Secret("slow and old"))
        #expect(try await cache.token(for: request).secret == Secret("new"))
    }

    @Test func `a token whose lineage is revoked is not served`() async throws {
        let cache = cache
        let credential = Lineage()
        let first = try await filled(cache, with: token("t", lineage: Lineage(descendingFrom: credential)))
        credential.revoke()
        async let second = cache.token(for: request)
        await issuer.called(2)
        issuer.answer(.success(token("u")))
        #expect(try await second.id != first.id)
    }

    @Test func `a token whose lineage is superseded is served and renewed in the background`() async throws {
        let cache = cache
        let credential = Lineage()
        let first = try await filled(cache, with: token("t", lineage: Lineage(descendingFrom: credential)))
        credential.supersede()
        #expect(try await cache.token(for: request).id == first.id)
        await issuer.called(2)
        #expect(try await cache.token(for: request).id == first.id)
        issuer.answer(.success(token("u")))
        try await waitUntil { try await cache.token(for: request).id != first.id }
        #expect(issuer.calls == 2)
    }

    @Test func `the number of cached tokens is bounded`() async throws {
        let cache = CachingTokenProvider(issuer, clock: clock, maximumEntries: 10)
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

    @Test func `callers that come and go leave nothing behind`() async throws {
        let cache = cache
        let request = request
        let tasks = (0..<2000).map { index in
            Task {
                try await cache.token(
                    for: request, demand: TokenDemand(timeout: index.isMultiple(of: 2) ? .seconds(5) : nil))
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

import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

/// A provider that fails a number of times, then returns tokens.
private final class Failing: TokenProvider {
    private let failures: Mutex<[TokenError]>
    private let count = Mutex(0)
    var calls: Int { count.withLock { $0 } }

    init(_ failures: [TokenError]) { self.failures = Mutex(failures) }

    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        count.withLock { $0 += 1 }
        if let error = failures.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { throw error }
        return Token(secret: Secret("t"), remaining: .seconds(60))
    }
}

struct RetryingTests {
    private static func down(_ code: TransportError.Code? = nil) -> TokenError {
        TokenError(.unavailable, message: "down", cause: code.map { TransportError($0) })
    }

    private func retrying(_ upstream: Failing) -> RetryingTokenProvider<Failing> {
        // There is no pause, since chance is 0.
        RetryingTokenProvider(upstream, clock: ManualClock()) { 0 }
    }

    @Test(arguments: [down(), down(.connect), down(.closed), down(.resolve)])
    func `a transient failure is retried`(error: TokenError) async throws {
        let upstream = Failing([error, error])
        _ = try await retrying(upstream).token(for: TokenRequest())
        #expect(upstream.calls == 3)
    }

    @Test(arguments: [
        TokenError(.credentialsRejected, message: ""), TokenError(.requestRejected, message: ""),
        TokenError(.throttled, message: ""), TokenError(.cancelled, message: ""),
        TokenError(.misconfigured, message: ""),
        TokenError(.timedOut, message: ""), TokenError(.unavailable, message: "", retryAfter: .seconds(1)),
        TokenError(.unavailable, message: "", wasRetried: true), down(.trust), down(.tls), down(.tooLarge),
    ])
    func `a failure that is not transient is not retried`(error: TokenError) async throws {
        let upstream = Failing([error])
        await #expect(throws: TokenError.self) { try await retrying(upstream).token(for: TokenRequest()) }
        #expect(upstream.calls == 1)
    }

    @Test func `a failure is not retried at two levels`() async throws {
        let upstream = Failing(Array(repeating: Self.down(), count: 100))
        let outer = RetryingTokenProvider(retrying(upstream), clock: ManualClock()) { 0 }
        await #expect { try await outer.token(for: TokenRequest()) } throws: { ($0 as? TokenError)?.wasRetried == true }
        #expect(upstream.calls == 3)
    }

    @Test func `an outage is not multiplied by retries`() async throws {
        let upstream = Failing(Array(repeating: Self.down(), count: 10_000))
        let retrying = retrying(upstream)
        for _ in 0..<1000 { _ = try? await retrying.token(for: TokenRequest()) }
        #expect(upstream.calls == 1010)
    }

    @Test func `pauses between retries run on the clock and are bounded`() async throws {
        let (clock, upstream) = (ManualClock(), Failing([Self.down(), Self.down()]))
        let retrying = RetryingTokenProvider(upstream, clock: clock) { 0.999 }
        let token = Task { try await retrying.token(for: TokenRequest()) }
        await clock.sleepers(1)
        clock.advance(by: .milliseconds(200))
        try await waitUntil { upstream.calls >= 2 }
        await clock.sleepers(1)
        clock.advance(by: .milliseconds(400))
        _ = try await token.value
        #expect(upstream.calls == 3)
    }
}

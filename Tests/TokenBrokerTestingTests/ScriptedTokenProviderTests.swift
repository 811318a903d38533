import Testing
import TokenBroker
import TokenBrokerTesting

@Suite struct `A scripted token provider` {
    @Test func `a scripted token provider follows its script and records its requests`() async throws {
        let tokens = ScriptedTokenProvider([
            .token("first"), .fail(.throttled, retryAfter: .seconds(3)), .token("second", remaining: .seconds(5)),
        ])
        let request = TokenRequest(customer: "cus_1", invoice: "inv_1")
        #expect(try await tokens.token(for: request).secret == Secret("first"))
        let error = await #expect(throws: TokenError.self) {
            try await tokens.token(for: request, demand: TokenDemand(timeout: .seconds(1)))
        }
        #expect(error?.code == .throttled && error?.retryAfter == .seconds(3))
        #expect(try await tokens.token(for: TokenRequest()).remaining == .seconds(5))
        let end = await #expect(throws: TokenError.self) { try await tokens.token(for: request) }
        #expect(end?.code == .misconfigured)
        #expect(tokens.asked.map(\.request) == [request, request, TokenRequest(), request])
        #expect(tokens.asked[1].demand.timeout == .seconds(1))
    }

    @Test func `a scripted token provider can be cached`() async throws {
        let tokens = ScriptedTokenProvider([.token("only")])
        let cache = tokens.caching(clock: ManualClock())
        for _ in 0..<3 { #expect(try await cache.token(for: TokenRequest()).secret == Secret("only")) }
        #expect(tokens.asked.count == 1)
    }
}

import Testing
import TokenBroker

extension TokenProviderContract {
    /// The cases about a decorator.
    static let decorators: [Case] = [
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
    ]
}

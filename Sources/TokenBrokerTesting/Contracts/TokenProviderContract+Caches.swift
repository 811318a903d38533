import Testing
import TokenBroker

extension TokenProviderContract {
    /// The cases about a provider that reuses tokens.
    static let caches: [Case] = [
        Case(testDescription: "a caller that waits gets its token although the one before it left", needs: .caches) {
            fixture in
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

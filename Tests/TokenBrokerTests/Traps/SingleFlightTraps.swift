import Testing
import TokenBroker
import TokenBrokerTesting

@Suite struct SingleFlightTraps {
    @Test func `a cancelled caller that started a fetch does not fail the waiting ones`() async {
        let complaints = await World.run { world in
            world.issuer.then(.slow(.seconds(1)))
            let leader = world.now()
            let others = (0..<20).map { _ in world.ask() }
            world.settle()
            leader.cancel()
            world.pass(.seconds(1))
            world.expect(leader.error?.code == .cancelled, "\(leader.result as Any)")
            world.expect(others.allSatisfy { $0.text == "access-1" }, "\(others.map(\.result))")
            world.expect(world.issuer.calls.count == 1, "\(world.issuer.calls.count) calls")
        }
        #expect(complaints == [])
    }

    @Test func `a cancellation is not stored as the result`() async {
        let complaints = await World.run { world in
            world.issuer.then(.slow(.seconds(1)))
            let first = world.now()
            first.cancel()
            world.pass(.seconds(1))
            world.expect(first.error?.code == .cancelled, "\(first.result as Any)")
            world.expect(world.now().text == "access-1", "the next one did not get the token")
        }
        #expect(complaints == [])
    }

    @Test func `a failed fetch does not block the cache for good`() async {
        let complaints = await World.run { world in
            for behaviour in [
                MisbehavingIssuer.Behaviour.answersHTML(), .dropsConnection, .answersNothing, .hangs, .truncatesJSON,
            ] {
                world.issuer.then(behaviour)
                let request = TokenRequest(scopes: ["\(world.issuer.calls.count)"])
                let first = world.now(request)
                world.pass(.seconds(60))
                world.expect(first.error != nil, "there was a token")
                world.expect(world.now(request).token != nil, "the failure was kept")
            }
        }
        #expect(complaints == [])
    }

    @Test func `callers that leave do not make the next one start another fetch`() async {
        let complaints = await World.run { world in
            world.issuer.then(.slow(.seconds(1)))
            for _ in 0..<5 {
                let caller = world.now()
                caller.cancel()
                world.settle()
            }
            let last = world.now()
            world.pass(.seconds(1))
            world.expect(last.text == "access-1", "\(last.result as Any)")
            world.expect(world.issuer.calls.count == 1, "\(world.issuer.calls.count) calls")
        }
        #expect(complaints == [])
    }

    @Test func `a cancelled caller does not wait for the fetch`() async {
        let complaints = await World.run { world in
            world.issuer.then(.hangs)
            let (first, second) = (world.now(), world.now())
            second.cancel()
            world.settle()
            world.expect(second.error?.code == .cancelled, "\(second.result as Any)")
            world.expect(first.result == nil, "the other does not wait any more")
        }
        #expect(complaints == [])
    }

    @Test func `a thousand callers at once start one fetch`() async {
        let complaints = await World.run { world in
            let callers = (0..<1000).map { _ in world.ask() }
            world.settle()
            world.expect(callers.allSatisfy { $0.text == "access-1" }, "some got another token")
            world.expect(world.issuer.calls.count == 1, "\(world.issuer.calls.count) calls")
        }
        #expect(complaints == [])
    }

    @Test func `all waiting callers share a failed fetch instead of repeating it in turn`() async {
        let complaints = await World.run { world in
            world.issuer.otherwise(.slow(.seconds(1), then: .answersHTML()))
            let callers = (0..<100).map { _ in world.ask() }
            world.pass(.seconds(1))
            world.expect(callers.allSatisfy { $0.error?.code == .unavailable }, "some still wait")
            world.expect(world.issuer.calls.count == 1, "\(world.issuer.calls.count) calls")
        }
        #expect(complaints == [])
    }

    @Test func `a renewal of a refused token does not join a fetch that began before`() async {
        let complaints = await World.run { world in
            let first = world.now()
            world.pass(.seconds(3000))
            world.issuer.then(.slow(.seconds(5)))
            // The token is served and renewed in the background.
            world.expect(world.now().text == "access-1", "not served")
            let renewal = world.now(TokenRequest(), TokenDemand(replacing: first.token?.id))
            world.expect(renewal.text == "access-3", "\(renewal.result as Any)")
        }
        #expect(complaints == [])
    }

    @Test func `a slow, earlier fetch does not overwrite a newer token`() async {
        let complaints = await World.run { world in
            let first = world.now()
            world.pass(.seconds(3000))
            world.issuer.then(.slow(.seconds(5)))
            _ = world.now()
            _ = world.now(TokenRequest(), TokenDemand(replacing: first.token?.id))
            world.pass(.seconds(5))
            world.expect(world.now().text == "access-3", "the earlier fetch won")
        }
        #expect(complaints == [])
    }

    @Test func `concurrent callers of a token that is due start one renewal`() async {
        let complaints = await World.run { world in
            _ = world.now()
            world.pass(.seconds(3000))
            world.issuer.then(.slow(.seconds(1)))
            let callers = (0..<200).map { _ in world.ask() }
            world.settle()
            world.expect(callers.allSatisfy { $0.text == "access-1" }, "somebody waited")
            world.expect(world.issuer.calls.count == 2, "\(world.issuer.calls.count) calls")
        }
        #expect(complaints == [])
    }

    @Test func `a slow tenant does not block the others`() async {
        let complaints = await World.run { world in
            world.issuer.then(.hangs)
            let slow = world.now(TokenRequest(tenant: "slow"))
            world.expect(world.now(TokenRequest(tenant: "quick")).token != nil, "blocked")
            world.expect(slow.result == nil, "the slow one has an answer")
        }
        #expect(complaints == [])
    }

    @Test func `a failure for one scope does not keep another from being fetched`() async {
        let complaints = await World.run { world in
            world.issuer.then(.throttles(retryAfter: "60"))
            let first = world.now(TokenRequest(scopes: ["a"]))
            world.expect(first.error?.code == .throttled, "\(first.result as Any)")
            world.expect(world.now(TokenRequest(scopes: ["b"])).token != nil, "the other scope was kept from asking")
            world.expect(world.now(TokenRequest(scopes: ["a"])).error?.code == .throttled, "forgotten")
        }
        #expect(complaints == [])
    }

    @Test func `the time is read again after a wait`() async {
        let complaints = await World.run(callDeadline: .seconds(29)) { world in
            world.issuer.then(.slow(.seconds(20), then: .issues(lifetime: .seconds(25))))
            let first = world.now()
            world.pass(.seconds(20))
            world.expect(first.token?.remaining == .seconds(5), "\(first.result as Any)")
            world.expect(world.now().token?.remaining == .seconds(5), "taken for expired")
            world.pass(.milliseconds(5001))
            world.expect(world.now().text == "access-2", "served past its end")
        }
        #expect(complaints == [])
    }

    @Test func `a renewal is not cancelled with the request that started it`() async {
        let complaints = await World.run { world in
            _ = world.now()
            world.pass(.seconds(3000))
            world.issuer.then(.slow(.seconds(2)))
            let caller = world.ask()
            world.settle()
            caller.cancel()
            world.pass(.seconds(2))
            world.expect(world.now().text == "access-2", "not renewed")
            world.expect(world.issuer.calls.count == 2, "\(world.issuer.calls.count) calls")
        }
        #expect(complaints == [])
    }

    @Test func `a renewal that hangs does not prevent the next one`() async {
        let complaints = await World.run(callDeadline: .seconds(100_000)) { world in
            _ = world.now()
            world.pass(.seconds(2800))
            world.issuer.then(.hangs)
            _ = world.now()
            world.pass(.seconds(120))
            _ = world.now()
            world.expect(world.now().text == "access-2", "not renewed")
        }
        #expect(complaints == [])
    }
}

import Testing
import TokenBroker
import TokenBrokerTesting

@Suite("Traps: single flight and cancellation")
struct SingleFlightTraps {
    @Test("the caller that started a fetch is cancelled, and every waiter fails with it")
    func theLeaderIsCancelled() async {
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

    @Test("a cancellation is stored as the result")
    func aCancellationIsKept() async {
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

    @Test("a failed fetch that is never removed poisons the cache for good")
    func aFailureIsKeptForEver() async {
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

    @Test("a waiter that leaves takes the fetch from the list while it goes on, and the next one starts another")
    func leavingForgetsTheFetch() async {
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

    @Test("a cancelled waiter waits for the fetch all the same")
    func cancelledWaitersLeaveAtOnce() async {
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

    @Test("look, suspend, store: everybody who looks before the first stores starts a fetch")
    func everybodyLooksFirst() async {
        let complaints = await World.run { world in
            let callers = (0..<1000).map { _ in world.ask() }
            world.settle()
            world.expect(callers.allSatisfy { $0.text == "access-1" }, "some got another token")
            world.expect(world.issuer.calls.count == 1, "\(world.issuer.calls.count) calls")
        }
        #expect(complaints == [])
    }

    @Test("a failure is not shared, and those who waited for it try one after another")
    func aConvoyOfFailures() async {
        let complaints = await World.run { world in
            world.issuer.otherwise(.slow(.seconds(1), then: .answersHTML()))
            let callers = (0..<100).map { _ in world.ask() }
            world.pass(.seconds(1))
            world.expect(callers.allSatisfy { $0.error?.code == .unavailable }, "some still wait")
            world.expect(world.issuer.calls.count == 1, "\(world.issuer.calls.count) calls")
        }
        #expect(complaints == [])
    }

    @Test("a renewal of a refused token joins a fetch that began before, and gets the old one back")
    func aRenewalJoins() async {
        let complaints = await World.run { world in
            let first = world.now()
            world.pass(.seconds(3000))
            world.issuer.then(.slow(.seconds(5)))
            // Served, and being renewed behind.
            world.expect(world.now().text == "access-1", "not served")
            let renewal = world.now(TokenRequest(), TokenDemand(replacing: first.token?.id))
            world.expect(renewal.text == "access-3", "\(renewal.result as Any)")
        }
        #expect(complaints == [])
    }

    @Test("a slow, earlier fetch overwrites the newer token")
    func aSlowFetchOverwrites() async {
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

    @Test("that a renewal is running is noted in its own task, so that others start it again before")
    func theFlagComesLate() async {
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

    @Test("one lock for all requests is held over a call, and a slow tenant blocks the rest")
    func aSlowTenantBlocks() async {
        let complaints = await World.run { world in
            world.issuer.then(.hangs)
            let slow = world.now(TokenRequest(tenant: "slow"))
            world.expect(world.now(TokenRequest(tenant: "quick")).token != nil, "blocked")
            world.expect(slow.result == nil, "the slow one has an answer")
        }
        #expect(complaints == [])
    }

    @Test("what one scope failed with keeps another from asking")
    func aFailureIsTooCoarse() async {
        let complaints = await World.run { world in
            world.issuer.then(.throttles(retryAfter: "60"))
            let first = world.now(TokenRequest(scopes: ["a"]))
            world.expect(first.error?.code == .throttled, "\(first.result as Any)")
            world.expect(world.now(TokenRequest(scopes: ["b"])).token != nil, "the other scope was kept from asking")
            world.expect(world.now(TokenRequest(scopes: ["a"])).error?.code == .throttled, "forgotten")
        }
        #expect(complaints == [])
    }

    @Test("after a wait, the time is compared that was read before it")
    func theTimeIsOld() async {
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

    @Test("a renewal is cancelled with the request that set it off, and never happens")
    func theRenewalIsCancelled() async {
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

    @Test("a renewal without a time limit keeps its place for ever")
    func theRenewalHangs() async {
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

import Testing
import TokenBroker
import TokenBrokerTesting

struct StampedeTests {
    @Test func `ten thousand callers at expiry wait for one call and no longer`() async {
        let complaints = await World.run(orders: 2) { world in
            _ = world.now()
            world.pass(.seconds(3600))
            world.issuer.otherwise(.slow(.milliseconds(300)))
            let callers = (0..<10_000).map { _ in world.ask() }
            world.pass(.milliseconds(299))
            world.expect(callers.allSatisfy { $0.result == nil }, "somebody has an answer before the issuer's")
            world.pass(.milliseconds(1))
            world.expect(callers.allSatisfy { $0.text == "access-2" }, "somebody waits longer than for that call")
            world.expect(world.issuer.calls.count == 2, "\(world.issuer.calls.count) calls")
        }
        #expect(complaints == [])
    }
}

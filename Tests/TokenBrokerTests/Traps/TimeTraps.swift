import Foundation
import Testing
import TokenBroker
import TokenBrokerTesting

@Suite struct TimeTraps {
    @Test func `a minimum remaining life beyond a token's life does not make every caller fetch`() async {
        let complaints = await World.run { world in
            world.issuer.otherwise(.issues(lifetime: .seconds(60)))
            for _ in 0..<50 {
                let caller = world.now(TokenRequest(), TokenDemand(minimumRemaining: .seconds(300)))
                world.expect(caller.text == "access-1", "\(caller.result as Any)")
            }
            world.expect(world.issuer.calls.count == 1, "\(world.issuer.calls.count) calls")
        }
        #expect(complaints == [])
    }

    @Test(arguments: [0, 0.5, 0.999_999])
    func `jitter never makes a renewal too late`(chance: Double) async {
        let complaints = await World.run(chance: chance) { world in
            world.issuer.otherwise(.issues(lifetime: .seconds(1000)))
            _ = world.now()
            world.pass(.seconds(640))
            _ = world.now()
            world.expect(world.issuer.calls.count == 1, "too early")
            world.pass(.seconds(110))
            _ = world.now()
            world.expect(world.issuer.calls.count == 2, "too late")
        }
        #expect(complaints == [])
    }

    @Test(
        arguments: [
            nil, "null", "0", "-5", "1.5", "\"3600\"", "\"\"", "\"soon\"", "3600000", "1e300", "9223372036854775807",
            "-9223372036854775808", "[]", "{}", "true",
        ])
    func `an odd expires_in causes no endless token, no call for each caller and no crash`(text: String?) async {
        let complaints = await World.run(orders: 1) { world in
            world.issuer.otherwise(.issues(expiresIn: text))
            let caller = world.now()
            switch caller.result {
            case .success(let token)?:
                world.expect(token.remaining > .zero && token.remaining <= .seconds(86_400), "\(token.remaining)")
            case .failure(let error)?: world.expect(error.code == .unavailable, "\(error)")
            case nil: world.expect(false, "no answer")
            }
            for _ in 0..<50 { _ = world.now() }
            world.expect(world.issuer.calls.count == 1, "\(world.issuer.calls.count) calls")
        }
        #expect(complaints == [])
    }

    @Test func `a token's life counts from the request, not from the response`() async {
        let complaints = await World.run { world in
            world.issuer.then(.slow(.seconds(8), then: .issues(lifetime: .seconds(60))))
            let caller = world.now()
            world.pass(.seconds(8))
            world.expect(caller.token?.remaining == .seconds(52), "\(caller.result as Any)")
        }
        #expect(complaints == [])
    }

    @Test func `an issuer that hands out expired tokens is not asked in a loop`() async {
        let complaints = await World.run { world in
            world.issuer.otherwise(.issues(lifetime: .seconds(-5)))
            for _ in 0..<100 { world.expect(world.now().error?.code == .unavailable, "a dead token") }
            world.expect(world.issuer.calls.count == 1, "\(world.issuer.calls.count) calls")
        }
        #expect(complaints == [])
    }

    @Test(arguments: [-31_536_000.0, -60, 60, 31_536_000])
    func `a change of the wall clock makes no token expire early or live on`(step: Double) async {
        let complaints = await World.run { world in
            world.issuer.otherwise(.issues(lifetime: .seconds(1000)))
            let (access, checkout) = (world.now(), world.checkout())
            world.settle()
            world.setWallClock(by: step)
            world.pass(.seconds(300))
            world.expect(world.now().token?.id == access.token?.id, "died early")
            let again = world.checkout()
            world.settle()
            world.expect(again.token?.id == checkout.token?.id, "the checkout token died early")
            world.expect(again.token.map { $0.remaining <= .seconds(701) } ?? false, "its life changed")
            world.pass(.seconds(700))
            world.expect(world.now().token?.id != access.token?.id, "lives on")
        }
        #expect(complaints == [])
    }

    @Test func `a life of less than a second is not rounded to zero`() async {
        let complaints = await World.run { world in
            world.issuer.then(.issues(lifetime: .milliseconds(400)))
            world.expect(world.now().token?.remaining == .milliseconds(400), "rounded")
            world.pass(.milliseconds(400))
            world.expect(world.now().text == "access-2", "for ever")
        }
        #expect(complaints == [])
    }
}

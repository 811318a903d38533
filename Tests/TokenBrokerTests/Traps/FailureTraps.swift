import Foundation
import HTTPTypes
import Testing
import TokenBroker
import TokenBrokerTesting

@Suite struct FailureTraps {
    @Test func `an expired token is not served while the issuer is down`() async {
        let complaints = await World.run { world in
            world.issuer.then(.issues(lifetime: .seconds(100)))
            _ = world.now()
            world.issuer.otherwise(.answersHTML())
            for _ in 0..<99 {
                world.pass(.seconds(1))
                world.expect(world.now().text == "access-1", "a valid token is not served")
            }
            world.pass(.seconds(1))
            let late = world.ask()
            world.pass(.seconds(60))
            world.expect(late.error?.code == .unavailable, "\(late.result as Any)")
        }
        #expect(complaints == [])
    }

    @Test func `a failed renewal keeps the valid token and is tried again`() async {
        let complaints = await World.run(chance: 0.5) { world in
            _ = world.now()
            world.pass(.seconds(2700))
            world.issuer.otherwise(.answersHTML())
            for _ in 0..<60 {
                world.expect(world.now().text == "access-1", "the valid token is gone")
                world.pass(.seconds(1))
            }
            let calls = world.issuer.calls.count
            world.expect((4...30).contains(calls), "\(calls) calls")
            world.issuer.otherwise(.issues())
            for _ in 0..<60 {
                _ = world.now()
                world.pass(.seconds(1))
            }
            world.expect(world.now().text == "access-2", "it was the last attempt")
        }
        #expect(complaints == [])
    }

    @Test(arguments: [401, 403])
    func `refused credentials are not sent again and again`(status: Int) async {
        let complaints = await World.run { world in
            world.issuer.otherwise(.refuses(.init(code: status)))
            for _ in 0..<29 {
                for _ in 0..<10 { world.expect(world.now().error?.code == .credentialsRejected, "another error") }
                world.pass(.seconds(1))
            }
            world.expect(world.issuer.calls.count == 1, "\(world.issuer.calls.count) calls")
            // The credentials are tried again, slowly.
            for _ in 0..<10 {
                _ = world.now()
                world.pass(.seconds(1))
            }
            world.expect(world.issuer.calls.count == 2, "\(world.issuer.calls.count) calls")
        }
        #expect(complaints == [])
    }

    @Test(
        arguments: [
            MisbehavingIssuer.Behaviour.refuses(.requestTimeout), .refuses(.tooEarly), .throttles(),
            .refuses(.internalServerError), .answersHTML(), .refuses(.serviceUnavailable), .dropsConnection,
            .dropsMidBody, .answersNothing, .answersHTML(status: .ok),
        ])
    func `a transient failure of the issuer is not taken for final`(behaviour: MisbehavingIssuer.Behaviour) async {
        let complaints = await World.run(orders: 1) { world in
            world.issuer.then(behaviour)
            world.expect(world.now().error != nil, "there was a token")
            world.pass(.seconds(2))
            world.expect(world.now().token != nil, "it is not tried again")
        }
        #expect(complaints == [])
    }

    @Test(arguments: [false, true])
    func `all callers share one Retry-After`(asDate: Bool) async {
        let complaints = await World.run { world in
            let style = Date.VerbatimFormatStyle(
                format:
                    "\(weekday: .abbreviated), \(day: .twoDigits) \(month: .abbreviated) \(year: .defaultDigits) \(hour: .twoDigits(clock: .twentyFourHour, hourCycle: .zeroBased)):\(minute: .twoDigits):\(second: .twoDigits) GMT",
                locale: Locale(identifier: "en_US"), timeZone: .gmt, calendar: Calendar(identifier: .gregorian))
            let date = (world.clock.date + 60).formatted(style)
            world.issuer.then(.throttles(retryAfter: asDate ? date : "60"))
            world.expect(world.now().error?.code == .throttled, "not throttled")
            for _ in 0..<59 {
                world.pass(.seconds(1))
                for _ in 0..<10 {
                    let caller = world.now()
                    let left = caller.error?.retryAfter
                    world.expect(left.map { $0 > .zero && $0 <= .seconds(60) } ?? false, "\(caller.result as Any)")
                }
            }
            world.expect(world.issuer.calls.count == 1, "\(world.issuer.calls.count) calls")
            world.pass(.seconds(2))
            world.expect(world.now().token != nil, "never again")
        }
        #expect(complaints == [])
    }

    @Test func `a rotated secret is used at once after a refusal of the old one`() async {
        let complaints = await World.run { world in
            world.issuer.accept([Credential(clientID: Secret("client"), clientSecret: Secret("rotated"))])
            for _ in 0..<20 {
                world.expect(world.now().error?.code == .credentialsRejected, "not refused")
                world.pass(.seconds(1))
            }
            world.update(("client", "rotated"))
            world.pass(.seconds(1))
            world.expect(world.now().token != nil, "still refused")
        }
        #expect(complaints == [])
    }
}

@Suite struct RefusedTokenTraps {
    @Test func `a late refusal of an old token does not drop the new one`() async {
        let complaints = await World.run { world in
            let old = world.now()
            let demand = TokenDemand(replacing: old.token?.id)
            let callers = (0..<20).map { _ in world.ask(TokenRequest(), demand) }
            world.settle()
            for _ in 0..<20 { _ = world.now(TokenRequest(), demand) }
            world.expect(callers.allSatisfy { $0.text == "access-2" }, "they got different tokens")
            world.expect(world.now().text == "access-2", "thrown out")
            world.expect(world.issuer.calls.count == 2, "\(world.issuer.calls.count) calls")
        }
        #expect(complaints == [])
    }

    @Test(arguments: [401, 403])
    func `a refusal that is not about the token does not cause endless renewals`(status: Int) async {
        let complaints = await World.run { world in
            world.issuer.otherwise(.refuses(.init(code: status)), at: .checkoutToken)
            for _ in 0..<20 {
                let caller = world.checkout()
                world.settle()
                world.expect(caller.error?.code == .credentialsRejected, "\(caller.result as Any)")
            }
            let steps = (world.issuer.accessTokenCalls, world.issuer.checkoutTokenCalls)
            // There is one renewal after a 401, and none after a 403.
            world.expect(status == 403 ? steps == (1, 1) : steps.0 <= 2 && steps.1 <= 2, "\(steps)")
            // Further sessions do not cost an attempt each.
            let others = (0..<50).map { world.checkout("inv_other_\($0)") }
            world.settle()
            world.expect(others.allSatisfy { $0.error != nil }, "there was a token")
            world.pass(.seconds(20))
            let all = (world.issuer.accessTokenCalls, world.issuer.checkoutTokenCalls)
            world.expect(all.0 <= 2 && all.1 <= 55, "\(all)")
            for number in 0..<50 { _ = world.checkout("inv_late_\(number)") }
            world.settle()
            world.expect(world.issuer.checkoutTokenCalls == all.1, "further sessions are asked for")
        }
        #expect(complaints == [])
    }

    @Test func `a token that is revoked early is renewed instead of used until it expires`() async {
        let complaints = await World.run { world in
            _ = world.now()
            world.issuer.revokeAccessTokens()
            let callers = (0..<20).map { world.checkout("inv_\($0)") }
            world.settle()
            world.expect(callers.allSatisfy { $0.token != nil }, "\(callers.compactMap(\.error))")
            world.expect(world.issuer.accessTokenCalls == 2, "\(world.issuer.accessTokenCalls) access tokens")
        }
        #expect(complaints == [])
    }
}

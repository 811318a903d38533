import Checkout
import Foundation
import HTTPTypes
import Logging
import Testing
import TokenBroker
import TokenBrokerComposer
import TokenBrokerTesting

/// Returns a broker as in the shop, except for its transport, clock and credentials.
private func broker(_ transport: any HTTPTransport, _ clock: ManualClock) async throws -> Broker {
    return try await Composer().compose(
        BrokerConfiguration(
            "{vendor: {environment: demo}, access: {mode: open}}",
            environment: ["ALTERNATIVE_CLIENT_ID": "id", "ALTERNATIVE_CLIENT_SECRET": "secret"]
        ),
        transport: transport, clock: clock, wallClock: { clock.date }, logger: Logger(label: "test")
    )
}

private let accessToken = ScriptedTransport.Step.respond(
    .ok, #"{"access_token": "580d", "expires_in": 3600, "token_type": "bearer"}"#)

/// Returns a vendor's response with a checkout token whose claims name the session. Only the vendor can verify a
/// signature.
private func checkoutToken(_ customer: String, _ invoice: String, lives seconds: Int = 900, clock: ManualClock)
    -> ScriptedTransport.Step
{
    let end = Int(clock.date.timeIntervalSince1970) + seconds
    let claims = Data(#"{"customer_id": "\#(customer)", "invoice_id": "\#(invoice)", "exp": \#(end)}"#.utf8)
    let part = claims.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    return .respond(.ok, #"{"token": "e30.\#(part).c2ln"}"#)
}

struct CheckoutTests {
    private let clock = ManualClock()

    @Test func `both steps are called once however many pages are shown`() async throws {
        let transport = ScriptedTransport([accessToken, checkoutToken("cus_1", "inv_1", clock: clock)], clock: clock)
        let checkout = Checkout(try await broker(transport, clock))
        let states = await withTaskGroup(of: Checkout.State.self) { group in
            for _ in 0..<100 { group.addTask { await checkout.state(customer: "cus_1", invoice: "inv_1") } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(states.count == 100 && states.allSatisfy { $0 == states[0] })
        #expect(transport.sent.map(\.request.path) == ["/oauth/token", "/v1/checkout-auth/init"])
        #expect(transport.sent[1].request.headerFields[.authorization] == "Bearer 580d")
    }

    @Test func `an hour later the customer gets new tokens`() async throws {
        let transport = ScriptedTransport([accessToken, checkoutToken("cus_1", "inv_1", clock: clock)], clock: clock)
        let checkout = Checkout(try await broker(transport, clock))
        let first = await checkout.state(customer: "cus_1", invoice: "inv_1")
        clock.advance(by: .seconds(3600))
        transport.then(accessToken)
        transport.then(checkoutToken("cus_1", "inv_1", clock: clock))
        let second = await checkout.state(customer: "cus_1", invoice: "inv_1")
        guard case .payable = second else {
            Issue.record("\(second)")
            return
        }
        #expect(first != second)
        #expect(transport.sent.count == 4)
    }

    @Test func `an invoice that the vendor refuses is not payable`() async throws {
        let refusal = ScriptedTransport.Step.respond(
            .unprocessableContent, #"{"code": "invalid", "message": "paid already"}"#)
        let checkout = Checkout(try await broker(ScriptedTransport([accessToken, refusal], clock: clock), clock))
        #expect(await checkout.state(customer: "cus_1", invoice: "inv_1") == .notPayable)
    }

    @Test func `while the vendor is down the customer is asked to come back later`() async throws {
        let transport = InMemoryTransport(clock: clock) { _, _ in throw TransportError(.connect) }
        let checkout = Checkout(try await broker(transport, clock))
        // The retries wait on the clock that the test moves.
        let state = Task { await checkout.state(customer: "cus_1", invoice: "inv_1") }
        let time = Task {
            while !Task.isCancelled {
                clock.advance(by: .milliseconds(100))
                await Task.yield()
            }
        }
        #expect(await state.value == .comeBackLater)
        time.cancel()
    }
}

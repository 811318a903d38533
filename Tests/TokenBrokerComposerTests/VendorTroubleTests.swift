#if ConfigurationSupport
import Foundation
import HTTPTypes
import InMemoryLogging
import Logging
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

@testable import TokenBrokerComposer

/// Tests of a composed broker in front of a scripted vendor.
@Suite struct `A vendor that refuses, or somebody in front of it` {
    /// A scripted vendor. Its customer `cus_x` has the invoices that begin with `inv_x_`.
    private final class ScriptedVendor: Sendable {
        struct Answer {
            var status: HTTPResponse.Status = .ok
            var body = ""
        }
        private let state = Mutex<(step1: Answer, checkout: Answer, strangers: Answer, tokens: Int, calls: Int)>(
            (Answer(), Answer(), Answer(), 0, 0))
        var tokens: Int { state.withLock { $0.tokens } }
        /// Sets the response at step 1, instead of a token.
        func accessTokens(_ status: HTTPResponse.Status, _ body: String = "") {
            state.withLock { $0.step1 = Answer(status: status, body: body) }
        }
        /// Sets the response at step 2, instead of a token.
        func checkouts(_ status: HTTPResponse.Status, _ body: String = "") {
            state.withLock { $0.checkout = Answer(status: status, body: body) }
        }
        /// Sets the response to look-ups of other invoices.
        func strangers(_ status: HTTPResponse.Status, _ body: String = "") {
            state.withLock { $0.strangers = Answer(status: status, body: body) }
        }

        func respond(_ request: HTTPRequest, _ content: [UInt8]) -> TransportResponse {
            func answer(_ answer: Answer) -> TransportResponse {
                TransportResponse(head: HTTPResponse(status: answer.status), body: Array(answer.body.utf8))
            }
            func ok(_ body: String) -> TransportResponse { answer(Answer(body: body)) }
            return state.withLock { state in
                if request.path == "/oauth/token" {
                    guard state.step1.status == .ok else { return answer(state.step1) }
                    state.tokens += 1
                    return ok(#"{"access_token": "access-\#(state.tokens)", "expires_in": 1000}"#)
                }
                if request.method == .get {
                    let invoice = String((request.path ?? "").dropFirst("/invoices/".count))
                    let parts = invoice.split(separator: "_")
                    guard parts.count == 3, parts[0] == "inv" else { return answer(state.strangers) }
                    return ok(#"{"id": "\#(invoice)", "customer_id": "cus_\#(parts[1])"}"#)
                }
                guard state.checkout.status == .ok else { return answer(state.checkout) }
                let session = (try? JSONDecoder().decode([String: String].self, from: Data(content))) ?? [:]
                let token = UnverifiedJWT.text(claims: [
                    "customer_id": .string(session["customer_id"] ?? ""),
                    "invoice_id": .string(session["invoice_id"] ?? ""), "exp": .number(4_102_444_800),
                ])
                return ok(#"{"token": "\#(token)"}"#)
            }
        }
    }

    private let vendor = ScriptedVendor()
    private let clock = ManualClock()
    private let log = InMemoryLogHandler()

    private func broker() async throws -> Broker {
        let values = [
            "vendor.environment": "demo", "access.authenticator.kind": "forwarded",
            "access.authenticator.subjectHeader": "X-User", "access.authenticator.claims": "{customer: X-Customer}",
            "access.authenticator.secretVariable": "PROXY_SECRET", "access.policy.kind": "all",
            "access.policy.of.mine.kind": "claim", "access.policy.of.mine.customer": "customer",
            "access.policy.of.theirs.kind": "vendor-invoice", "tokens.requestsPerSecond": "100000",
            "tokens.burst": "100000", "quotas.principal.perMinute": "none", "quotas.address.perMinute": "none",
        ]
        let log = log
        return try await Composer(registry: .everything).compose(
            BrokerConfiguration(
                yaml(values), name: "broker.yaml",
                environment: credentials.with(["PROXY_SECRET": "a-secret-of-the-proxy"])),
            transport: InMemoryTransport(clock: clock) { [vendor] in vendor.respond($0, $1) }, clock: clock,
            wallClock: { [clock] in clock.date }, logger: Logger(label: "test") { _ in log })
    }

    private struct Answer: Sendable, Equatable {
        var status: Int
        var code: String?
        var retryAfter: String?
    }

    private func ask(_ broker: Broker, _ user: String, _ customer: String, _ invoice: String) async -> Answer {
        let fields: [(String, String)] = [
            ("Content-Type", "application/json"), ("Origin", "https://pay.example"), ("X-User", user),
            ("X-Customer", customer), ("X-Proxy-Secret", "a-secret-of-the-proxy"),
        ]
        var head = HTTPRequest(method: .post, scheme: "https", authority: "pay.example", path: "/api/checkout-token")
        for (name, value) in fields {
            if let name = HTTPField.Name(name) { head.headerFields[name] = value }
        }
        let body = #"{"customerId": "\#(customer)", "invoiceId": "\#(invoice)"}"#
        let request = EndpointRequest(
            head: head, body: EndpointBody(Array(body.utf8)), peer: PeerAddress(ip: "192.0.2.1"))
        let response = await broker.endpoints.respond(to: request)
        let problem = try? JSONValue.parse(response?.body ?? [])
        return Answer(
            status: response?.head.status.code ?? 0, code: problem?["code"]?.string?.unicode,
            retryAfter: response?.head.headerFields[.retryAfter])
    }

    private func ready(_ broker: Broker) async -> (status: Int, word: String) {
        let head = HTTPRequest(method: .get, scheme: "https", authority: "pay.example", path: "/readyz")
        let response = await broker.endpoints.respond(
            to: EndpointRequest(head: head, peer: PeerAddress(ip: "192.0.2.1")))
        let body = try? JSONValue.parse(response?.body ?? [])
        return (response?.head.status.code ?? 0, body?["status"]?.string?.unicode ?? "")
    }

    private static let own = #"{"code": "forbidden", "message": "own words"}"#

    @Test(
        arguments: [
            (HTTPResponse.Status.forbidden, own, 403), (.notFound, own, 403), (.unauthorized, own, 500),
            (.unauthorized, #"{"message": "Unauthorized"}"#, 503), (.forbidden, "<html>", 503),
        ], [1, 5])
    func `the vendor's refusals of some shoppers do not affect others`(
        refusal: (status: HTTPResponse.Status, body: String, answer: Int), visitors: Int
    ) async throws {
        let broker = try await broker()
        vendor.strangers(refusal.status, refusal.body)
        // One request a second, from the very beginning.
        for number in 0..<100 {
            let visitor = "\(number % visitors)"
            #expect(await ask(broker, "v\(visitor)", "cus_v\(visitor)", "oth_\(number)").status == refusal.answer)
            if number % 2 == 1 || number > 50 {
                #expect(await ask(broker, "good", "cus_good", "inv_good_\(number)").status == 200)
            }
            clock.advance(by: .seconds(1))
        }
        // A hundred concurrent requests.
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<100 {
                let visitor = "\(number % visitors)"
                group.addTask { _ = await ask(broker, "v\(visitor)", "cus_v\(visitor)", "other_\(number)") }
                if number % 5 == 0 {
                    group.addTask {
                        #expect(await ask(broker, "good", "cus_good", "inv_good_x\(number)").status == 200)
                    }
                }
            }
        }
        #expect(await ready(broker) == (200, "ok"))
        await broker.shutdown()
    }

    @Test(arguments: [(HTTPResponse.Status.forbidden, "<html>"), (.unauthorized, ""), (.badRequest, "<html>")])
    func `a block page at step 2 delays tokens only for a moment`(
        status: HTTPResponse.Status, body: String
    ) async throws {
        let broker = try await broker()
        #expect(await ask(broker, "a", "cus_a", "inv_a_0").status == 200)
        vendor.checkouts(status, body)
        for number in 1..<10 {
            let answer = await ask(broker, "a", "cus_a", "inv_a_\(number)")
            #expect(answer.status == 503 && answer.code == "vendor_unavailable" && answer.retryAfter == "1")
        }
        vendor.checkouts(.ok)
        clock.advance(by: .seconds(1))
        for number in 1..<10 { #expect(await ask(broker, "a", "cus_a", "inv_a_\(number)").status == 200) }
        await broker.shutdown()
    }

    @Test func `a block page at step 1 does not take the broker out of rotation`() async throws {
        let broker = try await broker()
        vendor.accessTokens(.forbidden, "<html>")
        for _ in 0..<5 {
            let answer = await ask(broker, "a", "cus_a", "inv_a_0")
            #expect(answer.status == 503 && answer.code == "vendor_unavailable")
            #expect(await ready(broker) == (200, "degraded"))
        }
        vendor.accessTokens(.ok)
        clock.advance(by: .seconds(1))
        #expect(await ask(broker, "a", "cus_a", "inv_a_0").status == 200)
        #expect(await ready(broker) == (200, "ok"))
        await broker.shutdown()
    }

    @Test func `refused credentials degrade readiness while a token is held, and fail it afterwards`() async throws {
        let broker = try await broker()
        #expect(await ask(broker, "a", "cus_a", "inv_a_0").status == 200)
        vendor.accessTokens(.forbidden, Self.own)
        clock.advance(by: .seconds(760))
        // This request starts a renewal in the background.
        #expect(await ask(broker, "a", "cus_a", "inv_a_1").status == 200)
        try await waitUntil { await ready(broker) != (200, "ok") }
        for number in 2..<20 { #expect(await ask(broker, "a", "cus_a", "inv_a_\(number)").status == 200) }
        #expect(await ready(broker) == (200, "degraded"))
        let errors = log.entries.filter { $0.message.description.hasPrefix("no new access token can be obtained") }
        #expect(errors.map(\.level) == [.error])
        clock.advance(by: .seconds(240))
        #expect(await ready(broker) == (503, "not ready"))
        let answer = await ask(broker, "a", "cus_a", "inv_a_20")
        #expect(answer.status == 500 && answer.code == "misconfigured")
        #expect(log.entries.filter { $0.message.description.hasPrefix("no access token is held") }.count == 1)
        await broker.shutdown()
    }

    @Test func `a vendor's Retry-After of one day is capped, and the same for every caller`() async throws {
        let broker = try await broker()
        vendor.accessTokens(.ok)
        #expect(await ask(broker, "a", "cus_a", "inv_a_0").status == 200)
        let head = HTTPResponse(status: .serviceUnavailable, headerFields: [.retryAfter: "86400"])
        let throttling = try await Composer(registry: .everything).compose(
            BrokerConfiguration(yaml(minimal), name: "broker.yaml", environment: credentials),
            transport: InMemoryTransport(clock: clock) { _, _ in TransportResponse(head: head) }, clock: clock,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        for _ in 0..<3 {
            let error = await #expect(throws: TokenError.self) {
                try await throttling.checkoutTokens.token(for: TokenRequest(customer: "a", invoice: "b"))
            }
            #expect(error?.retryAfter == .seconds(300))
        }
        await throttling.shutdown()
        await broker.shutdown()
    }
}
#endif

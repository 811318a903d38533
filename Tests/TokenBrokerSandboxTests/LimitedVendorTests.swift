#if JWTSupport
import Foundation
import HTTPTypes
import Logging
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerSandbox
import TokenBrokerTesting

/// Tests of the whole engine, from the endpoint down, against the sandbox and its rate limit, in virtual time and
/// without sockets.
struct LimitedVendorTests {
    private struct Outcome: Sendable {
        /// The statuses that each caller received, in order.
        var statuses: [Int: [Int]] = [:]
        var calls: JSONValue = .null
        var started: [Duration] = []
    }

    private final class Shared: Sendable {
        let sandbox = Mutex<Sandbox?>(nil)
        let outcome = Mutex(Outcome())
    }

    /// A transport that records when each call to the vendor starts.
    private struct Noting: HTTPTransport {
        let upstream: any HTTPTransport
        let clock: ManualClock
        let shared: Shared

        func send(
            _ request: HTTPRequest, body: [UInt8], options: TransportOptions
        ) async throws(TransportError) -> TransportResponse {
            shared.outcome.withLock { $0.started.append(clock.now.offset) }
            // The round trip.
            try? await clock.sleep(for: .milliseconds(20))
            return try await upstream.send(request, body: body, options: options)
        }
    }

    private static func endpoint(_ sandbox: Sandbox, _ clock: ManualClock, _ shared: Shared) throws -> EndpointSet {
        let transport = RateLimitedTransport(
            Noting(upstream: InMemoryTransport(sandbox.endpoints, clock: clock), clock: clock, shared: shared),
            account: "alternative-payments", requestsPerSecond: 5, clock: clock, wallClock: { clock.date })
        let vendor = try Vendor(profile: .alternativePayments, baseURL: "https://vendor.example")
        let access = ClientCredentialsProvider(
            vendor: vendor,
            credentials: StaticCredentials(
                clientID: Secret("sandbox-client"), clientSecret: Secret("sandbox-secret")), transport: transport,
            clock: clock, wallClock: { clock.date }
        ).retrying(clock: clock).caching(clock: clock)
        let checkout = CheckoutTokenProvider(
            vendor: vendor, accessTokens: access, transport: transport, wallClock: { clock.date }
        ).retrying(clock: clock).caching(clock: clock)
        return EndpointSet([
            CheckoutTokenEndpoint(
                tokens: checkout, authenticator: ClosureAuthenticator { _ in Principal(subject: "me") },
                policy: ClosurePolicy(binds: .session) { _, _ in true },
                configuration: .init(environment: "sandbox", limits: .withoutQuotas), clock: clock,
                logger: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() })
        ])
    }

    private static func ask(_ broker: EndpointSet, _ invoice: String) async -> EndpointResponse? {
        let head = HTTPRequest(
            method: .post, scheme: "https", authority: "shop.example", path: "/api/checkout-token",
            headerFields: [.contentType: "application/json"])
        let body = Array(#"{"customerId": "cus_demo", "invoiceId": "\#(invoice)"}"#.utf8)
        return await broker.respond(to: EndpointRequest(head: head, body: EndpointBody(body)))
    }

    @Test func `a thousand concurrent invoices keep the vendor's limit and all get a token`() async throws {
        let outcome = try await SimulatedScheduler.runInTurn { scheduler -> Result<Outcome, any Error> in
            Result<Outcome, any Error> {
                var random = SeededGenerator(seed: 1)
                let (clock, shared) = (ManualClock(), Shared())
                _ = Task {
                    let sandbox = await Sandbox(now: { clock.date })
                    shared.sandbox.withLock { $0 = sandbox }
                }
                scheduler.settle(using: &random)
                let sandbox = try #require(shared.sandbox.withLock { $0 })
                let broker = try Self.endpoint(sandbox, clock, shared)
                for number in 0..<1000 {
                    _ = Task {
                        while true {
                            let answer = await Self.ask(broker, "inv_\(number)")
                            let status = answer?.head.status.code ?? 0
                            shared.outcome.withLock { $0.statuses[number, default: []].append(status) }
                            guard status == 503, let pause = answer?.head.headerFields[.retryAfter].flatMap({ Int($0) })
                            else { return }
                            try await clock.sleep(for: .seconds(pause))
                        }
                    }
                }
                func isDone() -> Bool {
                    shared.outcome.withLock {
                        $0.statuses.count == 1000 && $0.statuses.values.allSatisfy { $0.last != 503 }
                    }
                }
                scheduler.run(on: clock, using: &random, until: isDone)
                let calls = Task {
                    let head = HTTPRequest(method: .get, scheme: "https", authority: "a", path: "/_sandbox/calls")
                    let answer = await sandbox.endpoints.respond(to: EndpointRequest(head: head))
                    let value = answer.flatMap { try? JSONValue.parse($0.body) } ?? .null
                    shared.outcome.withLock { $0.calls = value }
                }
                scheduler.settle(using: &random)
                _ = calls
                return shared.outcome.withLock { $0 }
            }
        }.get()
        #expect(outcome.calls["throttled"] == .number(0))
        #expect(outcome.calls["total"] == .number(1001))
        // Each caller gets a token at once, or a retry-after time at which it gets one.
        let kinds = Set(outcome.statuses.values)
        #expect(kinds == [[200], [503, 200]])
        #expect(outcome.statuses.count == 1000)
        // There is always a caller for the next slot, so the rate is almost fully used.
        let first = try #require(outcome.started.min())
        let last = try #require(outcome.started.max())
        let rate = Double(outcome.started.count - 1) / ((last - first) / .seconds(1))
        #expect(rate >= 4.75, "\(rate) calls a second")
    }
}
#endif

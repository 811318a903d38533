import FoundationEssentials
import HTTPTypes
import Logging
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

@testable import TokenBrokerComposer

private let quiet = Logger(label: "t") { _ in SwiftLogNoOpLogHandler() }

private let pair = StaticCredentials(clientID: Secret("id"), clientSecret: Secret("secret"))
private let signedIn = ClosureAuthenticator { _ in Principal(subject: "ada") }
private let own = ClosurePolicy(binds: .session) { _, request in request.inputs[.customer] == "cus_1" }

private func post(_ customer: String) -> EndpointRequest {
    EndpointRequest(
        head: HTTPRequest(
            method: .post, scheme: "https", authority: "shop.example", path: "/api/checkout-token",
            headerFields: [.contentType: "application/json"]
        ),
        body: EndpointBody(Array(#"{"customerId": "\#(customer)", "invoiceId": "inv_1"}"#.utf8))
    )
}

private let accessToken = ScriptedTransport.Step.respond(.ok, #"{"access_token": "t", "expires_in": 3600}"#)
/// A response with a checkout token whose claims are {"customer_id":"cus_1","invoice_id":"inv_1","exp":4102444800}.
private let checkoutToken = ScriptedTransport.Step.respond(
    .ok,
    #"{"token": "e30.eyJjdXN0b21lcl9pZCI6ImN1c18xIiwiaW52b2ljZV9pZCI6Imludl8xIiwiZXhwIjo0MTAyNDQ0ODAwfQ.c2ln"}"#)

@Suite struct `A broker built from parts` {
    private let vendor: Vendor
    init() throws { vendor = try Vendor(profile: .alternativePayments, baseURL: "https://vendor.example") }

    private func broker(
        _ transport: any HTTPTransport, policy: any AccessPolicy = own, authenticator: any Authenticator = signedIn,
        _ change: (inout Broker.Configuration) -> Void = { _ in }
    ) throws -> Broker {
        var configuration = Broker.Configuration(for: vendor, environment: "demo")
        change(&configuration)
        return try Broker(
            vendor: vendor, credentials: pair, transport: transport, authenticator: authenticator, policy: policy,
            configuration: configuration, clock: ManualClock(), logger: quiet
        )
    }

    @Test func `a broker built from parts serves tokens and caches them`() async throws {
        let transport = ScriptedTransport([accessToken, checkoutToken])
        let broker = try broker(transport)
        for _ in 0..<3 {
            let response = try #require(await broker.endpoints.respond(to: post("cus_1")))
            #expect(response.head.status == .ok)
            #expect(try JSONValue.parse(response.body)["environment"] == "demo")
        }
        #expect(await broker.endpoints.respond(to: post("cus_2"))?.head.status == .forbidden)
        #expect(transport.sent.count == 2)
        #expect(transport.sent.allSatisfy { $0.options.account == "alternative-payments" })
        await broker.shutdown()
    }

    @Test func `a broker built from parts has health checks, a rate limit and the configured paths`() async throws {
        let composed = try broker(ScriptedTransport([accessToken, checkoutToken])) { $0.openAPIPath = "/openapi.json" }
        #expect(await composed.health.map(\.part) == ["access_token", "checkout_token", "rate_limit"])
        for path in ["/healthz", "/readyz", "/openapi.json", "/api/checkout-token"] {
            #expect(composed.endpoints.match(path) != nil)
        }
        let bare = try broker(ScriptedTransport([])) {
            ($0.rateLimit, $0.livePath, $0.readyPath) = (nil, nil, nil)
        }
        #expect(await bare.health.map(\.part) == ["access_token", "checkout_token"])
        #expect(bare.endpoints.match("/healthz") == nil && bare.endpoints.match("/readyz") == nil)
    }

    @Test func `a broker built from parts retries a transient failure`() async throws {
        let transport = ScriptedTransport([.fail(.connect), accessToken, checkoutToken])
        let clock = ManualClock()
        let broker = try Broker(
            vendor: vendor, credentials: pair, transport: transport, authenticator: signedIn, policy: own,
            configuration: .init(for: vendor, environment: "demo"), clock: clock, logger: quiet
        )
        let answer = Task { await broker.endpoints.respond(to: post("cus_1"))?.head.status }
        // The pause before a retry is at most 200 ms; every other deadline is seconds away.
        try await waitUntil {
            if let next = clock.nextDeadline?.offset, next - clock.now.offset <= .milliseconds(200) {
                clock.advance(by: next - clock.now.offset)
            }
            return transport.sent.count >= 3
        }
        #expect(await answer.value == .ok)
    }

    @Test func `a broker gives a policy its vendor, access tokens and transport`() async throws {
        let broker = try Broker(
            vendor: vendor, credentials: pair, transport: ScriptedTransport([]),
            configuration: .init(for: vendor, environment: "demo"), clock: ManualClock(), logger: quiet
        ) { context in
            let lookup = VendorInvoicePolicy(
                vendor: context.vendor, accessTokens: context.accessTokens, transport: context.transport)
            return (signedIn, AllOf([ClosurePolicy(binds: .customer) { _, _ in true }] + (lookup.map { [$0] } ?? [])))
        }
        #expect(broker.vendor.account == "alternative-payments")
    }

    @Test func `a broker built from parts refuses a policy that binds no invoice`() throws {
        let problem = #expect(throws: ConfigurationError.Problem.self) {
            try broker(ScriptedTransport([]), policy: ClosurePolicy(binds: .customer) { _, _ in true })
        }
        #expect(problem?.key == "access.policy")
        #expect(problem?.message.contains("combine it with a policy that binds the invoice") == true)
    }

    @Test func `a broker built from parts accepts open mode only as a whole, and not for production`() throws {
        _ = try broker(ScriptedTransport([]), policy: OpenModePolicy(), authenticator: OpenModeAuthenticator())
        for (environment, baseURL) in [
            ("production", "https://vendor.example"), ("demo", "https://PUBLIC-API.alternativepayments.io:8443/x"),
        ] {
            let vendor = try Vendor(profile: .alternativePayments, baseURL: baseURL)
            let problem = #expect(throws: ConfigurationError.Problem.self) {
                try Broker(
                    vendor: vendor, credentials: pair, transport: ScriptedTransport([]),
                    authenticator: OpenModeAuthenticator(), policy: OpenModePolicy(),
                    configuration: .init(for: vendor, environment: environment), clock: ManualClock(), logger: quiet
                )
            }
            #expect(problem?.key == "access.mode")
        }
        // Without its authenticator, the policy would let everybody in.
        #expect(throws: ConfigurationError.Problem.self) {
            try broker(ScriptedTransport([]), policy: OpenModePolicy())
        }
    }

    @Test func `a broker built from parts shuts down the parts it was given, the transport last`() async throws {
        final class Part: Authenticator, AccessPolicy, HTTPTransport, ShutsDown {
            let name: String
            let ended: @Sendable (String) -> Void
            init(_ name: String, _ ended: @escaping @Sendable (String) -> Void) {
                (self.name, self.ended) = (name, ended)
            }
            var binds: AccessBinding { .session }
            func authenticate(_ request: EndpointRequest) async throws -> Principal? { nil }
            func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool { false }
            func send(
                _ request: HTTPRequest, body: [UInt8], options: TransportOptions
            ) async throws(TransportError) -> TransportResponse { throw TransportError(.connect) }
            func shutdown() async { ended(name) }
        }
        let order = Mutex<[String]>([])
        func part(_ name: String) -> Part { Part(name) { name in order.withLock { $0.append(name) } } }
        let broker = try broker(part("transport"), policy: part("policy"), authenticator: part("authenticator"))
        await broker.shutdown()
        #expect(order.withLock { $0 } == ["policy", "authenticator", "transport"])
    }
}

import Foundation
import HTTPTypes
import InMemoryTracing
import Metrics
import MetricsTestKit
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting
import Tracing

/// Tests of the metrics, traces and health of both steps as the composer builds them.
struct TelemetryTests {
    private static let now = 1_800_000_000.0
    private let clock = ManualClock()
    private let metrics = TestMetrics()
    private let tracer = InMemoryTracer()

    private struct Engine: Sendable {
        var access: CachingTokenProvider<RetryingTokenProvider<ClientCredentialsProvider>>
        var checkout: CachingTokenProvider<RetryingTokenProvider<CheckoutTokenProvider>>
        var limited: RateLimitedTransport
        var vendor: ScriptedTransport
    }

    /// Returns an engine that is built after metrics are bootstrapped, as in a program's `main`.
    private func engine(_ steps: [ScriptedTransport.Step], requestsPerSecond: Int = 100) throws -> Engine {
        try withMetricsFactory(metrics) {
            let vendor = ScriptedTransport(steps, clock: clock)
            let limited = RateLimitedTransport(
                vendor, account: "alternative-payments", requestsPerSecond: requestsPerSecond, clock: clock)
            let access = CachingTokenProvider(
                RetryingTokenProvider(
                    ClientCredentialsProvider(
                        vendor: try testVendor(), credentials: ChangingCredentials("sentinel-id", "sentinel-secret"),
                        transport: limited, clock: clock
                    ),
                    clock: clock
                ) { 0 },
                clock: clock
            ) { 0 }
            let checkout = CachingTokenProvider(
                RetryingTokenProvider(
                    CheckoutTokenProvider(
                        vendor: try testVendor(), accessTokens: access, transport: limited, clock: clock,
                        wallClock: { Date(timeIntervalSince1970: Self.now) }
                    ),
                    clock: clock
                ) { 0 },
                clock: clock, maximumEntries: 2
            ) { 0 }
            return Engine(access: access, checkout: checkout, limited: limited, vendor: vendor)
        }
    }

    private func accessToken(_ text: String = "sentinel-access") -> ScriptedTransport.Step {
        .respond(.ok, #"{"access_token": "\#(text)", "expires_in": 3600}"#)
    }

    private func checkoutToken(_ invoice: String) -> ScriptedTransport.Step {
        let claims = #"{"customer_id": "sentinel-customer", "invoice_id": "\#(invoice)", "exp": \#(Self.now + 900)}"#
        return .respond(.ok, #"{"token": "\#(jwt(claims))"}"#)
    }

    private func request(_ invoice: String) -> TokenRequest {
        TokenRequest(customer: "sentinel-customer", invoice: invoice)
    }

    private func total(_ label: String, _ dimensions: [(String, String)] = []) -> Int64 {
        metrics.counterTotal(label: label, dimensions: dimensions + [("account", "alternative-payments")])
    }

    @Test func `cache hits, misses and evictions are counted`() async throws {
        let engine = try engine([accessToken()] + (0..<5).map { checkoutToken("sentinel-\($0)") })
        for invoice in 0..<5 { _ = try await engine.checkout.token(for: request("sentinel-\(invoice)")) }
        for _ in 0..<7 { _ = try await engine.checkout.token(for: request("sentinel-4")) }
        let lookups = "token_broker_cache_lookups_total"
        #expect(total(lookups, [("step", "checkout_token"), ("result", "miss")]) == 5)
        #expect(total(lookups, [("step", "checkout_token"), ("result", "hit")]) == 7)
        #expect(total(lookups, [("step", "access_token"), ("result", "miss")]) == 1)
        #expect(total(lookups, [("step", "access_token"), ("result", "hit")]) == 4)
        #expect(total("token_broker_cache_evictions_total", [("step", "checkout_token")]) == 3)
    }

    @Test func `fetches, calls and retries are counted by outcome`() async throws {
        let engine = try engine([
            .respond(.badGateway, "<html>"), accessToken(), .refuse(.unprocessableContent), checkoutToken("b"),
        ])
        _ = try? await engine.checkout.token(for: request("a"))
        _ = try await engine.checkout.token(for: request("b"))
        let fetches = "token_broker_token_fetches_total"
        #expect(total(fetches, [("step", "access_token"), ("outcome", "unavailable")]) == 1)
        #expect(total(fetches, [("step", "access_token"), ("outcome", "ok")]) == 1)
        #expect(total(fetches, [("step", "checkout_token"), ("outcome", "requestRejected")]) == 1)
        #expect(total(fetches, [("step", "checkout_token"), ("outcome", "ok")]) == 1)
        #expect(total("token_broker_token_retries_total", [("step", "access_token")]) == 1)
        for status in ["502", "200"] {
            let dimensions = [("step", "access_token"), ("result", status)]
            #expect(total("token_broker_vendor_calls_total", dimensions) == 1)
        }
        let dimensions = [("step", "access_token"), ("account", "alternative-payments")]
        let durations = ["token_broker_token_fetch_duration_seconds", "token_broker_vendor_call_duration_seconds"]
        for label in durations { #expect(try metrics.expectTimer(label, dimensions).values.count == 2) }
    }

    @Test func `the access token's remaining life is measured when health is read`() async throws {
        let engine = try engine([accessToken()])
        _ = try await engine.access.token(for: TokenRequest())
        clock.advance(by: .seconds(600))
        let health = await engine.access.health()
        #expect(health.part == "access_token")
        #expect(health.account == "alternative-payments")
        #expect(health.state == .ok)
        #expect(health.lastSuccess == .seconds(600))
        #expect(health.expiresIn == .seconds(3000))
        let dimensions = [("step", "access_token"), ("account", "alternative-payments")]
        #expect(try metrics.expectMeter("token_broker_token_expiry_seconds", dimensions).lastValue == 3000)
    }

    @Test func `health reports failures, backoffs and cool-downs`() async throws {
        let engine = try engine([
            accessToken(), .respond(.tooManyRequests, headerFields: [.retryAfter: "20"]),
        ])
        _ = try? await engine.checkout.token(for: request("a"))
        clock.advance(by: .seconds(5))
        let checkout = await engine.checkout.health()
        #expect(checkout.state == .failing)
        #expect(checkout.lastSuccess == nil)
        #expect(checkout.lastFailure == Health.Failure(.throttled, ago: .seconds(5)))
        #expect(checkout.retryIn == .seconds(15))
        let limit = await engine.limited.health()
        #expect(limit.state == .failing)
        #expect(limit.coolDown == .seconds(15))
        #expect(limit.queued == 0)
        #expect(await engine.access.health().state == .ok)
        #expect(total("token_broker_rate_limit_throttled_total", [("by", "vendor")]) == 1)
    }

    @Test func `the length of the queue is measured`() async throws {
        let engine = try engine([accessToken(), checkoutToken("a")], requestsPerSecond: 1)
        let token = Task { try await engine.checkout.token(for: request("a")) }
        let dimensions = [("account", "alternative-payments")]
        try await waitUntil {
            try metrics.expectMeter("token_broker_rate_limit_queue_length", dimensions).lastValue == 1
        }
        #expect(await engine.limited.health().queued == 1)
        // The next alarm is the one for this call's slot. It is set some time after the call starts to wait.
        try await waitUntil {
            if let next = clock.nextDeadline?.offset, next - clock.now.offset < .seconds(2) {
                clock.advance(by: next - clock.now.offset)
            }
            return engine.vendor.sent.count >= 2
        }
        _ = try await token.value
        #expect(try metrics.expectMeter("token_broker_rate_limit_queue_length", dimensions).lastValue == 0)
        let waits = try metrics.expectTimer("token_broker_rate_limit_wait_seconds", dimensions).values
        #expect(waits.count == 2)
        #expect(try #require(waits.max()) >= 1_010_000_000)
    }

    @Test func `the breaker's metric shows while it is open`() async throws {
        let engine = try engine([accessToken()] + Array(repeating: .refuse(.unauthorized), count: 3))
        let dimensions = [("step", "checkout_token"), ("account", "alternative-payments")]
        for invoice in 0..<2 { _ = try? await engine.checkout.token(for: request("\(invoice)")) }
        #expect(try metrics.expectMeter("token_broker_breaker_open", dimensions).lastValue == 0)
        _ = try? await engine.checkout.token(for: request("2"))
        #expect(try metrics.expectMeter("token_broker_breaker_open", dimensions).lastValue == 1)
        clock.advance(by: .seconds(30))
        engine.vendor.then(accessToken())
        engine.vendor.then(checkoutToken("3"))
        _ = try await engine.checkout.token(for: request("3"))
        #expect(try metrics.expectMeter("token_broker_breaker_open", dimensions).lastValue == 0)
    }

    @Test func `a fetch is a span, and its trace reaches the vendor`() async throws {
        let engine = try engine([accessToken(), .refuse(.unprocessableContent)])
        await withTracer(tracer) {
            await withSpan("request") { _ in _ = try? await engine.checkout.token(for: request("a")) }
        }
        await engine.checkout.shutdown()
        let spans = tracer.finishedSpans
        #expect(
            spans.map(\.operationName).sorted()
                == ["request", "token.fetch", "token.fetch", "vendor.call", "vendor.call"]
        )
        #expect(Set(spans.map(\.spanContext.traceID)).count == 1)
        let calls = spans.filter { $0.operationName == "vendor.call" }
        #expect(calls.allSatisfy { $0.kind == .client })
        #expect(calls.map { $0.attributes.get("http.response.status_code") } == [.int64(200), .int64(422)])
        #expect(calls.map { $0.attributes.get("token_broker.step") } == ["access_token", "checkout_token"])
        let failed = try #require(spans.last { $0.operationName == "token.fetch" })
        #expect(failed.status?.code == .error)
        #expect(failed.attributes.get("error.type") == "requestRejected")
        // Each request has the fields that the tracer propagates: `traceparent`, with a tracer for W3C Trace Context.
        for (sent, call) in zip(engine.vendor.sent, calls) {
            let field = HTTPField.Name(InMemoryTracer.spanIDKey).flatMap { sent.request.headerFields[$0] }
            #expect(field == call.spanContext.spanID)
        }
    }

    @Test func `traceparent is sent as the tracer writes it`() async throws {
        let engine = try engine([accessToken()])
        await withTracer(TraceParent()) { _ = try? await engine.access.token(for: TokenRequest()) }
        #expect(
            engine.vendor.sent.first?.request.headerFields[HTTPField.Name("traceparent")!] == TraceParent.value
        )
    }

    @Test func `no secret and no id is in any metric, span, log or health report`() async throws {
        let engine = try engine([
            accessToken(), checkoutToken("sentinel-invoice"), .respond(.unauthorized, "sentinel-body"),
            accessToken("sentinel-other"), .respond(.forbidden, "sentinel-body"), .fail(.connect), .fail(.trust),
            .respond(.ok, "sentinel-body"), .respond(.init(code: 418, reasonPhrase: "sentinel-reason")),
        ])
        await withTracer(tracer) {
            for invoice in ["sentinel-invoice", "sentinel-2", "sentinel-3", "sentinel-4", "sentinel-5"] {
                _ = try? await engine.checkout.token(for: request(invoice))
            }
        }
        await engine.checkout.shutdown()
        var told = ""
        dump(tracer.finishedSpans, to: &told)
        for health in [await engine.access.health(), await engine.checkout.health(), await engine.limited.health()] {
            dump(health, to: &told)
            told += "\(health)"
        }
        let labels =
            metrics.counters.map { ($0.label, $0.dimensions) } + metrics.meters.map { ($0.label, $0.dimensions) }
            + metrics.timers.map { ($0.label, $0.dimensions) } + metrics.recorders.map { ($0.label, $0.dimensions) }
        told += "\(labels)"
        #expect(labels.count > 15)
        #expect(tracer.finishedSpans.count > 8)
        #expect(!told.contains("sentinel"))
        let names = Set(labels.flatMap(\.1).map(\.0))
        #expect(names == ["step", "account", "result", "outcome", "by"])
        #expect(labels.allSatisfy { $0.0.hasPrefix("token_broker_") })
    }
}

/// A tracer that only propagates its context.
private struct TraceParent: Tracer {
    static let value = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    func startSpan<Instant: TracerInstant>(
        _ operationName: String, context: @autoclosure () -> ServiceContext, ofKind kind: SpanKind,
        at instant: @autoclosure () -> Instant, function: String, file fileID: String, line: UInt
    ) -> NoOpTracer.Span {
        NoOpTracer().startSpan(
            operationName, context: context(), ofKind: kind, at: instant(), function: function, file: fileID, line: line
        )
    }

    func forceFlush() {}

    func inject<Carrier, Inject: Injector>(
        _ context: ServiceContext, into carrier: inout Carrier, using injector: Inject
    ) where Carrier == Inject.Carrier {
        injector.inject(Self.value, forKey: "traceparent", into: &carrier)
    }

    func extract<Carrier, Extract: Extractor>(
        _ carrier: Carrier, into context: inout ServiceContext, using extractor: Extract
    ) where Carrier == Extract.Carrier {}
}

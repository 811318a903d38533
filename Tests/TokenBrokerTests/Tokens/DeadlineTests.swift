import Foundation
import HTTPTypes
import Testing
import TokenBroker
import TokenBrokerTesting

/// Tests that a caller's timeout covers everything: both steps, the renewals, the retries and the queue.
struct DeadlineTests {
    private let clock = ManualClock()

    private func checkout(_ transport: any HTTPTransport) throws -> some TokenProvider {
        let access = ClientCredentialsProvider(
            vendor: try testVendor(), credentials: ChangingCredentials(), transport: transport, clock: clock
        )
        return CheckoutTokenProvider(
            vendor: try testVendor(), accessTokens: access.caching(clock: clock), transport: transport, clock: clock
        )
    }

    private let accessToken = ScriptedTransport.Step.respond(.ok, #"{"access_token": "a", "expires_in": 3600}"#)

    @Test func `the second step has the time that the first one leaves`() async throws {
        let vendor = ScriptedTransport([accessToken, .refuse(.unprocessableContent)])
        let checkout = try checkout(SlowTransport(vendor, clock, takes: .seconds(5)))
        let demand = TokenDemand(timeout: .seconds(8))
        let answer = await code {
            try await checkout.token(for: TokenRequest(customer: "c", invoice: "i"), demand: demand)
        }
        #expect(answer == .requestRejected)
        #expect(vendor.sent.last?.options.timeout == .seconds(3))
    }

    @Test func `a caller whose turn cannot come in time is told at once in the second step too`() async throws {
        let vendor = ScriptedTransport([accessToken], clock: clock)
        let limited = RateLimitedTransport(vendor, account: "alternative-payments", requestsPerSecond: 1, clock: clock)
        let checkout = try checkout(limited)
        // The access token takes the only slot of this second.
        do {
            _ = try await checkout.token(
                for: TokenRequest(customer: "c", invoice: "i"), demand: TokenDemand(timeout: .milliseconds(900)))
            Issue.record("no error")
        } catch {
            #expect(error.code == .throttled)
            #expect(error.retryAfter ?? .zero > .zero)
        }
        #expect(vendor.sent.count == 1)
    }

    @Test func `a fetch passes its timeout on to the transport`() async throws {
        let transport = ScriptedTransport([accessToken], clock: clock)
        let access = ClientCredentialsProvider(
            vendor: try testVendor(), credentials: ChangingCredentials(), transport: transport, clock: clock
        ).caching(clock: clock, fetchTimeout: .seconds(4))
        _ = try await access.token(for: TokenRequest())
        #expect(transport.sent.first?.options.timeout == .seconds(4))
    }

    @Test func `a checkout token that the vendor ties to the access token ends with it`() async throws {
        var profile = VendorProfile.alternativePayments
        profile.checkoutToken.endsWithAccessToken = true
        let claims = #"{"customer_id": "c", "invoice_id": "i", "exp": 1800000900}"#
        let vendor = ScriptedTransport([
            .respond(.ok, #"{"access_token": "a", "expires_in": 100}"#),
            .respond(.ok, #"{"token": "\#(jwt(claims))"}"#),
        ])
        let access = ClientCredentialsProvider(
            vendor: try testVendor(profile), credentials: ChangingCredentials(), transport: vendor, clock: clock
        ).caching(clock: clock)
        let checkout = CheckoutTokenProvider(
            vendor: try testVendor(profile), accessTokens: access,
            transport: SlowTransport(vendor, clock, takes: .seconds(7)), clock: clock,
            wallClock: { Date(timeIntervalSince1970: 1_800_000_000) }
        )
        let token = try await checkout.token(for: TokenRequest(customer: "c", invoice: "i"))
        #expect(token.remaining == .seconds(93))
        // The checkout token is revoked when the access token is refused.
        let first = try await access.token(for: TokenRequest())
        vendor.then(.respond(.ok, #"{"access_token": "b", "expires_in": 100}"#))
        _ = try await access.token(for: TokenRequest(), demand: TokenDemand(replacing: first.id))
        #expect(token.lineage.state == .revoked)
    }
}

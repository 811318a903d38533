import Foundation
import HTTPTypes
import InMemoryLogging
import Logging
import Metrics
import MetricsTestKit
import Synchronization
import Testing
import TokenBroker
import TokenBrokerTesting

/// Tests in which the vendor's clock differs from the clock of the broker's machine.
struct ClockTests {
    private static let vendorNow = 1_800_000_000.0
    private let clock = ManualClock()
    private let request = TokenRequest(customer: "c", invoice: "i")

    private func claims(_ more: String) -> String { jwt(#"{"customer_id": "c", "invoice_id": "i"\#(more)}"#) }

    /// Returns the token from a vendor's response with this `Date`, for a broker whose clock differs from the vendor's.
    private func token(
        _ more: String, date: String? = nil, body: String = "", age: String? = nil, elapsed: Duration = .zero,
        oursIsAheadBy ahead: Double = 0, profile: VendorProfile = .alternativePayments, life: Duration = .seconds(3600)
    ) async throws -> Token {
        var fields: HTTPFields = [:]
        (fields[.date], fields[.age]) = (date, age)
        let answer = #"{"token": "\#(claims(more))"\#(body)}"#
        let provider = CheckoutTokenProvider(
            vendor: try testVendor(profile),
            accessTokens: ScriptedTokenProvider(otherwise: .token("access", remaining: life)),
            transport: ScriptedTransport([.respond(.ok, headerFields: fields, answer, elapsed: elapsed)]), clock: clock,
            wallClock: { Date(timeIntervalSince1970: Self.vendorNow + ahead) })
        return try await provider.token(for: request)
    }

    private static let date = "Fri, 15 Jan 2027 08:00:00 GMT"

    @Test(arguments: [-3600.0, -600, 0, 960, 3600, 1e9])
    func `a token's life is measured by the vendor's clock, whatever ours says`(ahead: Double) async throws {
        for (more, date, body) in [
            (#", "exp": 1800000900"#, Self.date, ""), (#", "exp": 1800000900, "iat": 1800000000"#, nil, ""),
            (#", "exp": 1800000900, "iat": 1800000000"#, Self.date, ""),
            ("", Self.date, #", "expires_at": 1800000900"#),
            (#", "exp": 1800000900"#, "Friday, 15-Jan-27 08:00:00 GMT", ""),
            (#", "exp": 1800000900"#, "Fri Jan 15 08:00:00 2027", ""),
            (#", "exp": 1800000900, "iat": 1800000000.5"#, "yesterday", ""),
            (#", "iat": "1800000000000""#, nil, #", "expires_at": "2027-01-15T08:15:00Z""#),
        ] as [(String, String?, String)] {
            let token = try await token(more, date: date, body: body, oursIsAheadBy: ahead)
            #expect((899.4...900).contains(token.remaining / .seconds(1)), "\(more) \(date ?? "")")
            #expect(token.expiresAt == Date(timeIntervalSince1970: 1_800_000_900))
        }
    }

    @Test(arguments: [
        // The smaller of the two lifetimes counts.
        (#", "exp": 1800000900, "iat": 1800000600"#, date, "", 300.0),
        (#", "exp": 1800000900, "iat": 1799996400"#, date, "", 900),
        // An impossible issue date is ignored.
        (#", "exp": 1800000900, "iat": 1800000900"#, date, "", 900),
        (#", "exp": 1800000900, "iat": 1900000000"#, date, "", 900),
        (#", "exp": 1800000900, "iat": 1"#, date, "", 900), (#", "exp": 1800000900, "iat": "soon""#, date, "", 900),
        (#", "exp": 1800000900, "iat": null"#, date, "", 900),
        // A stated expiry shortens the lifetime, but never lengthens it.
        (#", "exp": 1800000900"#, date, #", "expires_at": 1800000600"#, 600),
        (#", "exp": 1800000900"#, date, #", "expires_at": 1800003600"#, 900),
        (#", "exp": 1800000900"#, date, #", "expires_at": 1799999999"#, 900),
        (#", "exp": "1800000900""#, date, "", 900), (#", "exp": 1800000900000"#, date, "", 900),
        (#", "exp": 1900000000"#, date, "", 86_400),
    ])
    func `the smallest plausible lifetime in an answer counts`(
        more: String, date: String, body: String, seconds: Double
    ) async throws {
        for ahead in [-7200.0, 0, 7200] {
            let token = try await token(more, date: date, body: body, oursIsAheadBy: ahead)
            #expect(token.remaining == .seconds(seconds))
        }
    }

    @Test(arguments: [
        (#", "exp": 1799999999"#, ""), (#", "exp": 1800000000"#, ""), ("", #", "expires_at": 1799999999"#),
        (#", "exp": 1799999999"#, #", "expires_at": 1800000900"#),
    ])
    func `a token that has expired by the vendor's clock is not handed out`(more: String, body: String) async throws {
        for ahead in [-86_400.0, 0, 86_400] {
            let error = await #expect(throws: TokenError.self) {
                try await token(more, date: Self.date, body: body, oursIsAheadBy: ahead)
            }
            #expect(error?.code == .unavailable)
        }
    }

    @Test func `without the vendor's time our own clock counts`() async throws {
        for (ahead, seconds) in [(0.0, 900.0), (600, 300), (-600, 1500)] {
            let token = try await token(#", "exp": 1800000900"#, oursIsAheadBy: ahead)
            #expect(token.remaining == .seconds(seconds))
        }
    }

    @Test func `a token's life is reduced by the time in transit and the response's age`() async throws {
        let exp = #", "exp": 1800000900"#
        #expect(try await token(exp, date: Self.date, elapsed: .seconds(5)).remaining == .seconds(895))
        #expect(try await token(exp + #", "iat": 1800000000"#, elapsed: .seconds(5)).remaining == .seconds(895))
        #expect(try await token(exp, date: Self.date, age: "300").remaining == .seconds(600))
        for age in ["-5", "old", "", "1e300"] {
            #expect(try await token(exp, date: Self.date, age: age).remaining == .seconds(900))
        }
    }

    @Test func `a token that ends with the access token has that token's expiry`() async throws {
        var tied = VendorProfile.alternativePayments
        tied.checkoutToken.endsWithAccessToken = true
        let token = try await token(
            #", "exp": 1800000900"#, date: Self.date, oursIsAheadBy: 3600, profile: tied,
            life: .seconds(100))
        #expect(token.remaining == .seconds(100))
        #expect(token.expiresAt == Date(timeIntervalSince1970: 1_800_000_100))
    }

    @Test(arguments: [3600.0, -3600, 0])
    func `no token outlives its life and no valid one is refused when the vendor's clock steps`(
        offset: Double
    ) async {
        let complaints = await World.run { world in
            world.issuer.otherwise(.issues(lifetime: .seconds(900)))
            world.setVendorClock(by: offset)
            var births: [Token.ID: Duration] = [:]
            for step in 0..<60 {
                let caller = world.checkout("inv_1", TokenDemand(minimumRemaining: .seconds(60)))
                world.settle()
                let now = world.clock.now.offset
                guard let token = caller.token else { return world.expect(false, "\(caller.result as Any)") }
                let age = now - births[token.id, default: now]
                births[token.id] = now - age
                // The vendor rounds the expiry up to whole seconds, and its `Date` down.
                let excess = token.remaining + age - .seconds(900)
                world.expect(excess <= .seconds(2), "\(excess) beyond its life")
                world.expect(token.remaining >= .seconds(60), "\(token.remaining) is left")
                if step % 10 == 5 { world.setVendorClock(by: offset == 0 ? 7200 : -2 * offset) }
                world.pass(.seconds(97))
            }
            world.expect(world.issuer.checkoutTokenCalls <= 12, "\(world.issuer.checkoutTokenCalls) calls")
        }
        #expect(complaints == [])
    }

    @Test func `the clock difference is measured, and logged once each time it becomes large`() async throws {
        let (metrics, handler) = (TestMetrics(), InMemoryLogHandler())
        let ahead = Mutex(0.0)
        let clock = clock
        let issuer = MisbehavingIssuer(
            clock: clock, wallClock: { clock.date.addingTimeInterval(ahead.withLock { $0 }) })
        let vendor = try testVendor()
        let (access, checkout) = withMetricsFactory(metrics) {
            let access = ClientCredentialsProvider(
                vendor: vendor, credentials: ChangingCredentials("client", "secret"), transport: issuer, clock: clock,
                wallClock: { clock.date }, logger: Logger(label: "test") { _ in handler })
            return (
                access,
                CheckoutTokenProvider(
                    vendor: vendor, accessTokens: access, transport: issuer, clock: clock, wallClock: { clock.date },
                    logger: Logger(label: "test") { _ in handler })
            )
        }
        for (seconds, warnings) in [(30.0, 0), (3600, 1), (3600, 1), (-3600, 1), (0, 1), (-90, 2), (10, 2), (61, 3)] {
            ahead.withLock { $0 = seconds }
            _ = try await checkout.token(for: request)
            #expect(handler.entries.count == warnings)
            for step in ["access_token", "checkout_token"] {
                let dimensions = [("step", step), ("account", "alternative-payments")]
                let meter = try metrics.expectMeter("token_broker_clock_difference_seconds", dimensions)
                #expect(meter.lastValue == seconds)
            }
        }
        #expect(handler.entries.allSatisfy { $0.level == .warning })
        #expect(handler.entries.map { $0.metadata["seconds"] } == ["3600", "-90", "61"])
        _ = access
    }

    @Test func `an assertion is dated by the vendor's clock, which its first answer tells`() async throws {
        /// A signer whose assertions show their times, which the vendor compares with its own clock.
        final class Signer: ClientAssertionSigner {
            func sign(_ assertion: ClientAssertion, with credential: Credential) async throws(CredentialError) -> Secret
            {
                Secret("\(assertion.issuedAt.timeIntervalSince1970) \(assertion.expiresAt.timeIntervalSince1970)")
            }
        }
        let vendor = InMemoryTransport(clock: clock) { _, body in
            let form = String(decoding: body, as: UTF8.self)
            let times = form.split(separator: "client_assertion=").last?.split(separator: "+").compactMap { Double($0) }
            let isTimely = times.map { $0.count == 2 && $0[0] <= Self.vendorNow + 5 && $0[1] > Self.vendorNow } ?? false
            return TransportResponse(
                head: HTTPResponse(status: isTimely ? .ok : .badRequest, headerFields: [.date: Self.date]),
                body: Array((isTimely ? #"{"access_token": "t"}"# : #"{"error": "invalid_client"}"#).utf8))
        }
        for ahead in [-600.0, 600] {
            let provider = ClientCredentialsProvider(
                vendor: try Vendor(
                    profile: .alternativePayments, baseURL: "https://vendor.example",
                    clientAuthentication: .privateKeyJWT),
                credentials: ChangingCredentials(), assertions: .init(signer: Signer()), transport: vendor,
                clock: clock,
                wallClock: { Date(timeIntervalSince1970: Self.vendorNow + ahead) })
            for _ in 0..<3 { #expect(try await provider.token(for: TokenRequest()).secret == Secret("t")) }
        }
    }

    @Test(arguments: [
        ("Fri, 15 Jan 2027 08:00:07 GMT", date, 7.0), ("Fri, 15 Jan 2027 08:00:07 GMT", nil, 7),
        ("Friday, 15-Jan-27 08:00:07 GMT", date, 7), ("Fri Jan 15 08:00:07 2027", date, 7), (" 7 ", date, 7),
        ("2.5", date, 2.5), ("86400", nil, 300), ("Sat, 16 Jan 2027 08:00:00 GMT", date, 300),
        ("Fri, 15 Jan 2027 07:00:00 GMT", date, 0),
    ])
    func `Retry-After is read by the vendor's clock and capped at what the broker observes`(
        text: String, date: String?, seconds: Double
    ) async throws {
        for ahead in date == nil ? [0] : [-3600.0, 0, 3600] {
            var fields: HTTPFields = [.retryAfter: text]
            fields[.date] = date
            let provider = CheckoutTokenProvider(
                vendor: try testVendor(), accessTokens: ScriptedTokenProvider(otherwise: .token("access")),
                transport: ScriptedTransport([.respond(.tooManyRequests, headerFields: fields)]), clock: clock,
                wallClock: { Date(timeIntervalSince1970: Self.vendorNow + ahead) })
            let error = await #expect(throws: TokenError.self) { try await provider.token(for: request) }
            #expect(error?.retryAfter == .seconds(seconds))
        }
    }
}

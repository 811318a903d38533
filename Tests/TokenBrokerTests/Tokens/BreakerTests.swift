import Foundation
import HTTPTypes
import Synchronization
import Testing
import TokenBroker
import TokenBrokerTesting

/// What the broker does when the vendor refuses access tokens that it issued just before.
struct BreakerTests {
    /// The vendor: issues access tokens at will, and answers step 2 as it is told.
    private final class Issuer: Sendable {
        struct State {
            var minted = 0
            var asked = 0
            var answer: HTTPResponse.Status = .unauthorized
            var exceptFor: String?
        }
        let state = Mutex(State())
        var minted: Int { state.withLock { $0.minted } }
        var asked: Int { state.withLock { $0.asked } }
        func set(_ answer: HTTPResponse.Status, exceptFor invoice: String? = nil) {
            state.withLock { ($0.answer, $0.exceptFor) = (answer, invoice) }
        }

        func respond(_ request: HTTPRequest, _ body: [UInt8]) -> TransportResponse {
            state.withLock { state in
                if request.path == "/oauth/token" {
                    state.minted += 1
                    let body = #"{"access_token": "access-\#(state.minted)", "expires_in": 3600}"#
                    return TransportResponse(head: HTTPResponse(status: .ok), body: Array(body.utf8))
                }
                state.asked += 1
                let session = (try? JSONDecoder().decode([String: String].self, from: Data(body))) ?? [:]
                let invoice = session["invoice_id"] ?? ""
                guard state.answer == .ok || invoice == state.exceptFor else {
                    return TransportResponse(head: HTTPResponse(status: state.answer))
                }
                let claims = #"{"customer_id": "c", "invoice_id": "\#(invoice)", "exp": 1800000900}"#
                let answer = #"{"token": "\#(jwt(claims))"}"#
                return TransportResponse(head: HTTPResponse(status: .ok), body: Array(answer.utf8))
            }
        }
    }

    private let clock = ManualClock()
    private let issuer = Issuer()
    private let credentials = ChangingCredentials()

    private func engine() throws -> (
        access: ClientCredentialsProvider<ManualClock>, checkout: CheckoutTokenProvider
    ) {
        let transport = InMemoryTransport(clock: clock) { [issuer] in issuer.respond($0, $1) }
        let now = { @Sendable in Date(timeIntervalSince1970: 1_800_000_000) }
        let access = ClientCredentialsProvider(
            vendor: try testVendor(), credentials: credentials, transport: transport, clock: clock, wallClock: now
        )
        return (
            access,
            CheckoutTokenProvider(
                vendor: try testVendor(), accessTokens: access.caching(clock: clock), transport: transport,
                clock: clock, wallClock: now
            )
        )
    }

    private func ask(_ checkout: CheckoutTokenProvider, _ invoice: Int) async -> TokenError.Code? {
        await code { try await checkout.token(for: TokenRequest(customer: "c", invoice: "i\(invoice)")) }
    }

    @Test(arguments: [HTTPResponse.Status.unauthorized, .forbidden])
    func aThousandSessionsDoNotMintAThousandAccessTokens(status: HTTPResponse.Status) async throws {
        let checkout = try engine().checkout
        issuer.set(status)
        for invoice in 0..<1000 { #expect(await ask(checkout, invoice) == .credentialsRejected) }
        #expect(issuer.minted == 1)
        #expect(issuer.asked == 3)
        #expect(await checkout.health().state == .suspended)
        #expect(await checkout.health().retryIn == .seconds(30))
        #expect(await checkout.health().isReady)
    }

    @Test func itIsTriedAgainSlowlyWithANewAccessTokenEach() async throws {
        let checkout = try engine().checkout
        for second in 0..<3600 {
            for caller in 0..<5 { #expect(await ask(checkout, second * 5 + caller) == .credentialsRejected) }
            clock.advance(by: .seconds(1))
        }
        // After 30 s, doubling to ten minutes.
        #expect(issuer.asked == 3 + 9)
        #expect(issuer.minted == 1 + 9)
    }

    @Test func aSuccessClosesItForEverybody() async throws {
        let checkout = try engine().checkout
        for invoice in 0..<10 { _ = await ask(checkout, invoice) }
        issuer.set(.ok)
        #expect(await ask(checkout, 10) == .credentialsRejected)
        clock.advance(by: .seconds(30))
        for invoice in 0..<10 { #expect(await ask(checkout, invoice) == nil) }
        #expect(issuer.minted == 2)
        #expect(await checkout.health().state == .ok)
        // And from then on an access token that is revoked is renewed at once, as ever.
        issuer.set(.unauthorized)
        _ = await ask(checkout, 11)
        #expect(issuer.minted == 3)
    }

    @Test func otherCredentialsCloseItAtOnce() async throws {
        let (access, checkout) = try engine()
        for invoice in 0..<10 { _ = await ask(checkout, invoice) }
        credentials.set(.success([Credential(clientID: Secret("other"), clientSecret: Secret("s"))]))
        await access.refresh()
        issuer.set(.ok)
        #expect(await ask(checkout, 10) == nil)
    }

    @Test func oneSessionThatIsRefusedDoesNotStopTheOthers() async throws {
        let checkout = try engine().checkout
        issuer.set(.ok)
        #expect(await ask(checkout, 1) == nil)
        issuer.set(.unauthorized, exceptFor: "i1")
        for _ in 0..<100 {
            #expect(await ask(checkout, 0) == .credentialsRejected)
            #expect(await checkout.health().state != .suspended)
        }
        #expect(await ask(checkout, 1) == nil)
    }

    @Test func anAccessTokenThatWasKeptIsRenewedOnceForAllWhoFoundItRevoked() async throws {
        let checkout = try engine().checkout
        issuer.set(.ok)
        #expect(await ask(checkout, 0) == nil)
        // The vendor refuses the first access token only.
        let revoked = CheckoutTokenProvider(
            vendor: try testVendor(), accessTokens: try engine().access.caching(clock: clock),
            transport: InMemoryTransport(clock: clock) { [issuer] request, body in
                if request.headerFields[.authorization] == "Bearer access-2", issuer.asked > 1 {
                    return TransportResponse(head: HTTPResponse(status: .unauthorized))
                }
                return issuer.respond(request, body)
            },
            clock: clock, wallClock: { Date(timeIntervalSince1970: 1_800_000_000) }
        )
        #expect(await ask(revoked, 1) == nil)
        #expect(issuer.minted == 2)
        try await withThrowingTaskGroup(of: TokenError.Code?.self) { group in
            for invoice in 2..<102 { group.addTask { await ask(revoked, invoice) } }
            for try await code in group { #expect(code == nil) }
        }
        #expect(issuer.minted == 3)
    }
}

import Foundation
import HTTPTypes
import Synchronization
import Testing
import TestSupport
import TokenBroker
import TokenBrokerTesting

/// Tests for a vendor that refuses access tokens that it has just issued.
struct BreakerTests {
    /// A vendor that issues any number of access tokens, and whose response at step 2 the test sets.
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
                    let body = #"{"code": "refused", "message": "the vendor's own words"}"#
                    return TransportResponse(head: HTTPResponse(status: state.answer), body: Array(body.utf8))
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
        access: ClientCredentialsProvider, checkout: CheckoutTokenProvider
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
    func `a thousand refused sessions do not fetch a thousand access tokens`(status: HTTPResponse.Status) async throws {
        let checkout = try engine().checkout
        issuer.set(status)
        for invoice in 0..<1000 { #expect(await ask(checkout, invoice) == .credentialsRejected) }
        #expect(issuer.minted == 1)
        #expect(issuer.asked == 3)
        #expect(await checkout.health().state == .suspended)
        #expect(await checkout.health().retryIn == .seconds(30))
        #expect(await checkout.health().isReady)
    }

    @Test func `an open breaker retries ever more slowly, with a new access token each time`() async throws {
        let checkout = try engine().checkout
        for second in 0..<3600 {
            for caller in 0..<5 { #expect(await ask(checkout, second * 5 + caller) == .credentialsRejected) }
            clock.advance(by: .seconds(1))
        }
        // The pause doubles from 30 s to ten minutes.
        #expect(issuer.asked == 3 + 9)
        #expect(issuer.minted == 1 + 9)
    }

    @Test func `a success closes the breaker for every caller`() async throws {
        let checkout = try engine().checkout
        for invoice in 0..<10 { _ = await ask(checkout, invoice) }
        issuer.set(.ok)
        #expect(await ask(checkout, 10) == .credentialsRejected)
        clock.advance(by: .seconds(30))
        for invoice in 0..<10 { #expect(await ask(checkout, invoice) == nil) }
        #expect(issuer.minted == 2)
        #expect(await checkout.health().state == .ok)
        // From then on, a revoked access token is renewed at once again.
        issuer.set(.unauthorized)
        _ = await ask(checkout, 11)
        #expect(issuer.minted == 3)
    }

    @Test func `new credentials close the breaker at once`() async throws {
        let (access, checkout) = try engine()
        for invoice in 0..<10 { _ = await ask(checkout, invoice) }
        credentials.set(.success([Credential(clientID: Secret("other"), clientSecret: Secret("s"))]))
        await access.refresh()
        issuer.set(.ok)
        #expect(await ask(checkout, 10) == nil)
    }

    @Test func `one refused session does not stop the others`() async throws {
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

    @Test func `a revoked access token is renewed once for all callers that found it revoked`() async throws {
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

    /// The access tokens that a vendor has issued and revoked.
    private final class Minted: Sendable {
        private let state = Mutex<(count: Int, revoked: Int)>((0, 0))
        var count: Int { state.withLock { $0.count } }
        func next() -> Int {
            state.withLock { state in
                state.count += 1
                return state.count
            }
        }
        func revokeAll() { state.withLock { $0.revoked = $0.count } }
        func isValid(_ bearer: String) -> Bool {
            let number = bearer.split(separator: "-").last.flatMap { Int($0) } ?? 0
            return state.withLock { number > $0.revoked }
        }
    }

    /// Returns a vendor that accepts customers that begin with `good` and refuses all others as specified.
    private func mixedVendor(
        _ minted: Minted, lookups: HTTPResponse.Status = .ok,
        checkouts: HTTPResponse.Status = .ok, body: String = #"{"code": "refused", "message": "own words"}"#
    ) -> InMemoryTransport {
        InMemoryTransport(clock: clock) { request, content in
            func answer(_ status: HTTPResponse.Status, _ text: String) -> TransportResponse {
                TransportResponse(head: HTTPResponse(status: status), body: Array(text.utf8))
            }
            if request.path == "/oauth/token" {
                let number = minted.next()
                return answer(.ok, #"{"access_token": "access-\#(number)", "expires_in": 3600}"#)
            }
            let bearer = request.headerFields[.authorization] ?? ""
            if !minted.isValid(bearer) { return answer(.unauthorized, body) }
            if request.method == .get {
                let invoice = String(request.path?.split(separator: "/").last ?? "")
                guard invoice.hasPrefix("good") else { return answer(lookups, body) }
                return answer(.ok, #"{"id": "\#(invoice)", "customer_id": "\#(invoice)"}"#)
            }
            let session = (try? JSONDecoder().decode([String: String].self, from: Data(content))) ?? [:]
            let (customer, invoice) = (session["customer_id"] ?? "", session["invoice_id"] ?? "")
            guard customer.hasPrefix("good") else { return answer(checkouts, body) }
            let claims = #"{"customer_id": "\#(customer)", "invoice_id": "\#(invoice)", "exp": 1800000900}"#
            return answer(.ok, #"{"token": "\#(jwt(claims))"}"#)
        }
    }

    private func parts(_ transport: any HTTPTransport) throws -> (policy: VendorInvoicePolicy, CheckoutTokenProvider) {
        let now = { @Sendable in Date(timeIntervalSince1970: 1_800_000_000) }
        let vendor = try testVendor()
        let access = ClientCredentialsProvider(
            vendor: vendor, credentials: credentials, transport: transport, clock: clock, wallClock: now
        ).caching(clock: clock)
        let policy = VendorInvoicePolicy(
            vendor: vendor, accessTokens: access, transport: transport, clock: clock, wallClock: now)
        return (
            try #require(policy),
            CheckoutTokenProvider(
                vendor: vendor, accessTokens: access, transport: transport, clock: clock, wallClock: now)
        )
    }

    private static let gateway = #"{"message": "Unauthorized"}"#
    private static let own = #"{"code": "refused", "message": "own words"}"#

    @Test(
        arguments: [HTTPResponse.Status.forbidden, .unauthorized, .notFound, .unprocessableContent], [1, 7, 100])
    func `refused invoice look-ups cost other customers neither a look-up nor a session`(
        status: HTTPResponse.Status, principals: Int
    ) async throws {
        for body in [Self.own, Self.gateway] {
            let minted = Minted()
            let (policy, checkout) = try parts(mixedVendor(minted, lookups: status, body: body))
            func bad(_ number: Int) async {
                let request = TokenRequest(customer: "bad", invoice: "bad\(number)")
                let isAllowed = try? await policy.says(
                    Principal(subject: "\(number % principals)"), for: request)
                #expect(isAllowed != true)
            }
            func good(_ number: Int) async {
                let request = TokenRequest(customer: "good\(number)", invoice: "good\(number)")
                let isAllowed = try? await policy.says(Principal(subject: "good"), for: request)
                #expect(isAllowed == true)
                #expect(await code { try await checkout.token(for: request) } == nil)
            }
            // One request a second, at first without the good customers.
            for number in 0..<100 {
                await bad(number)
                if number >= 50 { await good(number) }
                clock.advance(by: .seconds(1))
            }
            // A hundred concurrent requests.
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<100 { group.addTask { await bad(number) } }
                for number in 0..<20 { group.addTask { await good(number) } }
            }
            await good(0)
            #expect(await checkout.health().state == .ok)
            // There is one new access token for each of them, and a few more after a while.
            let count = minted.count
            #expect(count <= (status == .unauthorized ? principals + 10 : 1), "\(count) access tokens")
        }
    }

    @Test(arguments: [HTTPResponse.Status.forbidden, .unauthorized])
    func `refused sessions of one customer cost other customers no session`(
        status: HTTPResponse.Status
    ) async throws {
        for (body, isHeldBack) in [(Self.own, true), (Self.gateway, false)] {
            let minted = Minted()
            let checkout = try parts(mixedVendor(minted, checkouts: status, body: body)).1
            func ask(_ customer: String, _ invoice: Int) async -> TokenError.Code? {
                await code { try await checkout.token(for: TokenRequest(customer: customer, invoice: "\(invoice)")) }
            }
            for invoice in 0..<100 { #expect(await ask("bad", invoice) != nil) }
            // The breaker suspends that customer's requests if the vendor itself refused them. Any success ends that.
            #expect((await checkout.health().state == .suspended) == isHeldBack)
            #expect(await ask("good", 1) == nil)
            #expect(await checkout.health().state == .ok)
            for invoice in 0..<100 {
                #expect(await ask("bad", invoice) != nil)
                #expect(await ask("good", invoice) == nil)
                #expect(await checkout.health().state == .ok)
                clock.advance(by: .seconds(1))
            }
        }
    }

    @Test func `a revoked access token is renewed at once even while some requests are refused`() async throws {
        let minted = Minted()
        let (policy, checkout) = try parts(mixedVendor(minted, lookups: .unauthorized))
        let good = TokenRequest(customer: "good", invoice: "good")
        for round in 0..<20 {
            for number in 0..<5 {
                let bad = TokenRequest(customer: "bad", invoice: "\(number)")
                _ = try? await policy.says(Principal(subject: "bad"), for: bad)
            }
            #expect(await code { try await checkout.token(for: good) } == nil)
            minted.revokeAll()
            #expect(await code { try await checkout.token(for: good) } == nil, "round \(round)")
            #expect(try await policy.says(Principal(subject: "good"), for: good))
        }
    }

    @Test func `a thousand refused customers do not fetch a thousand access tokens`() async throws {
        let minted = Minted()
        let checkout = try parts(mixedVendor(minted, checkouts: .unauthorized)).1
        for customer in 0..<1000 {
            let request = TokenRequest(customer: "bad\(customer)", invoice: "i")
            #expect(await code { try await checkout.token(for: request) } == .credentialsRejected)
            clock.advance(by: .seconds(1))
        }
        #expect(minted.count <= 12)
    }
}

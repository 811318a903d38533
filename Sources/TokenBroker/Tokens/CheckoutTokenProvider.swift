public import FoundationEssentials
import HTTPTypes
public import Logging

/// Step 2: asks the vendor for a token scoped to the inputs of the request, such as one customer and one invoice.
///
/// The access token comes from another provider, which is asked with empty inputs, so that all checkouts of a tenant share it. When
/// the vendor refuses one that was kept (401), another is asked for once. When it refuses three sessions of a customer in a row, with
/// access tokens with which it accepted nothing yet, no calls are made for that customer for half a minute, doubling to ten, until it
/// accepts one or there are other credentials. A token that does not name the session asked for is never handed out.
///
/// With ``TokenDemand/timeout``, everything together takes no longer than that.
///
/// The life of a token counts by the vendor's own clock, as far as the answer tells it: it is the smallest of what the `exp` claim and the
/// stated expiry leave after the answer's `Date`, and after the `iat` claim. Ours counts only where neither is there. An `iat` more than a
/// day before the expiry says nothing.
public struct CheckoutTokenProvider: TokenProvider, HealthReporting {
    private let vendorStep: VendorStep
    private let accessTokens: any TokenProvider

    /// - Parameters:
    ///   - vendor: Where to ask, and how.
    ///   - accessTokens: Step 1, normally behind a cache.
    ///   - transport: Carries the calls.
    ///   - timeout: For each call, queueing included.
    ///   - clock: Measures timeouts.
    ///   - wallClock: To turn absolute expiries into the life that remains, if the vendor does not tell its own time.
    ///   - logger: For what stands in the way to the vendor, and for clocks that differ.
    public init(
        vendor: Vendor, accessTokens: any TokenProvider, transport: any HTTPTransport,
        timeout: Duration = .seconds(10), clock: some Clock<Duration> = ContinuousClock(),
        wallClock: @escaping @Sendable () -> Date = { Date() }, logger: Logger? = nil
    ) {
        let step = vendor.profile.checkoutToken
        self.vendorStep = VendorStep(
            "checkout_token", .init(paths: step.paths, searches: true, outcomes: step.outcomes), vendor: vendor,
            transport: transport, timeout: timeout, clock: clock, wallClock: wallClock, logger: logger
        )
        self.accessTokens = accessTokens
    }

    private var step: VendorProfile.CheckoutTokenStep { vendorStep.vendor.profile.checkoutToken }

    /// `checkout_token`.
    public var part: String { vendorStep.telemetry.step }
    /// The profile's id.
    public var account: String { vendorStep.telemetry.account }

    /// Suspended while the vendor is left alone; never calls it.
    public func health() async -> Health {
        let suspendedFor = vendorStep.suspendedFor
        var health = vendorStep.telemetry.health(suspendedFor == nil ? nil : .suspended)
        health.retryIn = suspendedFor
        return health
    }

    /// See ``TokenProvider/token(for:demand:)``; the type tells what is particular.
    public func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        let made = VendorStep.Request(
            fields: [.contentType: "application/json", .accept: "application/json"], body: try body(for: request))
        return try await vendorStep.telemetry.fetch { () throws(TokenError) in
            var customer = request
            customer.inputs[.invoice] = nil
            let (answer, access) = try await vendorStep.execute(
                with: accessTokens, for: request, by: .customer(customer),
                minimumRemaining: step.endsWithAccessToken ? demand.minimumRemaining : .zero, timeout: demand.timeout,
                made
            )
            return try token(in: answer.content.get(), answer.response, for: request, access: access)
        }
    }

    private func body(for request: TokenRequest) throws(TokenError) -> [UInt8] {
        var members: [String: JSONValue] = [:]
        for (input, member) in step.bodyMembers {
            guard let value = request.inputs[input] else {
                throw TokenError(.requestRejected, message: "the request has no \(input)")
            }
            members[member] = .string(value)
        }
        return JSONValue.object(members).serialized
    }

    private func token(
        in body: JSONValue, _ response: TransportResponse, for request: TokenRequest, access: Token
    ) throws(TokenError) -> Token {
        guard let text = step.tokenMembers.lazy.compactMap({ body[$0]?.string }).first(where: { !$0.isEmpty }) else {
            throw TokenError(.unavailable, message: "the vendor's answer has no token")
        }
        let jwt = UnverifiedJWT(text.unicode)
        for (input, claim) in step.claims where jwt?.claims[claim]?.string != request.inputs[input] {
            throw TokenError(.unavailable, message: "the vendor's token does not name the \(input) asked for")
        }
        let stated = step.expiryMembers.lazy.compactMap { body[$0].flatMap(timestamp) }.first
        let end = end(stated: stated, jwt, response)
        let life = end?.life ?? vendorStep.vendor.profile.assumedLifetime - response.elapsed
        let remaining = step.endsWithAccessToken ? min(life, access.remaining) : life
        guard remaining > .zero else {
            throw TokenError(.unavailable, message: "the vendor issued a token that has expired already")
        }
        // By the vendor's clock, if that is known.
        let expiresAt = end?.date.addingTimeInterval((remaining - life) / .seconds(1))
        return Token(
            secret: Secret(text.unicode), remaining: remaining,
            expiresAt: expiresAt ?? vendorStep.wallClock().addingTimeInterval(remaining / .seconds(1)),
            lineage: Lineage(descendingFrom: step.endsWithAccessToken ? access.lineage : access.lineage.parent)
        )
    }

    /// When a token ends by the vendor's clock, and the life that it has left; `nil` if nothing tells.
    ///
    /// The claim decides. A stated expiry only shortens its life, and one that is over already says nothing beside it: it may be a local time
    /// without its zone.
    private func end(
        stated: Date?, _ jwt: UnverifiedJWT?, _ response: TransportResponse
    ) -> (date: Date, life: Duration)? {
        let (now, issuedAt) = (response.date, jwt?.issuedAt)
        func life(until date: Date) -> Duration {
            let longest = 86_400.0
            let sinceNow = now.map(date.timeIntervalSince)
            let sinceIssue = issuedAt.map(date.timeIntervalSince).flatMap { 0 < $0 && $0 <= longest ? $0 : nil }
            let known = [sinceNow, sinceIssue].compactMap(\.self).min()
            // Both are from after the request was sent.
            let seconds =
                known.map { $0 - response.elapsed / .seconds(1) } ?? date.timeIntervalSince(vendorStep.wallClock())
            return .seconds(min(seconds, longest))
        }
        let claimed = (jwt?.expiry).map { ($0, life(until: $0)) }
        guard let stated = stated.map({ ($0, life(until: $0)) }) else { return claimed }
        guard let claimed else { return stated }
        return stated.1 > .zero && stated.1 < claimed.1 ? stated : claimed
    }
}

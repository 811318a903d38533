public import FoundationEssentials
import HTTPTypes
public import Logging

/// Step 2: requests a token that is scoped to the inputs of the request, such as one customer and one invoice.
///
/// The access token comes from another provider. It is requested with empty inputs, so that all checkouts of a tenant
/// share it. If the vendor refuses a cached access token (401), another one is requested, once. If the vendor refuses
/// three sessions of one customer in a row, with access tokens that it has never accepted for anything, calls for that
/// customer pause for 30 seconds, doubling up to ten minutes, until the vendor accepts one or the credentials change. A
/// token that does not name the requested session is never returned.
///
/// ``TokenDemand/timeout`` limits the time for all of this together.
///
/// The lifetime of a token is measured by the vendor's clock, as far as the response tells its time. It is the shortest
/// of the times from the response's `Date`, and from the `iat` claim, to the `exp` claim and to the stated expiry. The
/// local clock is used only if there is neither a `Date` nor an `iat`. An `iat` more than a day before the expiry is
/// ignored.
public struct CheckoutTokenProvider: TokenProvider, HealthReporting {
    private let vendorStep: VendorStep
    private let accessTokens: any TokenProvider

    /// Creates a provider for step 2.
    ///
    /// - Parameters:
    ///   - vendor: The vendor, with its profile and address.
    ///   - accessTokens: The provider for step 1, normally cached.
    ///   - transport: The transport for the calls.
    ///   - timeout: The timeout of each call, including time in a queue.
    ///   - clock: The clock that measures timeouts.
    ///   - wallClock: The clock that turns absolute expiries into remaining lifetimes, if the response does not tell
    ///     the vendor's time.
    ///   - logger: Logs obstacles on the way to the vendor, and clocks that differ.
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

    /// The name of the step, `checkout_token`.
    public var part: String { vendorStep.telemetry.step }
    /// The id of the vendor's profile.
    public var account: String { vendorStep.telemetry.account }

    /// Returns the health, which is ``Health/State/suspended`` while calls for a customer pause. Never calls the
    /// vendor.
    public func health() async -> Health {
        let suspendedFor = vendorStep.suspendedFor
        var health = vendorStep.telemetry.health(suspendedFor == nil ? nil : .suspended)
        health.retryIn = suspendedFor
        return health
    }

    /// Returns a new checkout token, requested with an access token.
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
            throw TokenError(.unavailable, message: "the vendor's response has no token")
        }
        let jwt = UnverifiedJWT(text.unicode)
        for (input, claim) in step.claims where jwt?.claims[claim]?.string != request.inputs[input] {
            throw TokenError(.unavailable, message: "the vendor's token does not name the requested \(input)")
        }
        let stated = step.expiryMembers.lazy.compactMap { body[$0].flatMap(timestamp) }.first
        let end = end(stated: stated, jwt, response)
        let life = end?.life ?? vendorStep.vendor.profile.assumedLifetime - response.elapsed
        let remaining = step.endsWithAccessToken ? min(life, access.remaining) : life
        guard remaining > .zero else {
            throw TokenError(.unavailable, message: "the vendor issued a token that has already expired")
        }
        // Relative to the vendor's own expiry, if it states one.
        let expiresAt = end?.date.addingTimeInterval((remaining - life) / .seconds(1))
        return Token(
            secret: Secret(text.unicode), remaining: remaining,
            expiresAt: expiresAt ?? vendorStep.wallClock().addingTimeInterval(remaining / .seconds(1)),
            lineage: Lineage(descendingFrom: step.endsWithAccessToken ? access.lineage : access.lineage.parent)
        )
    }

    /// Returns the expiry by the vendor's clock, and the remaining lifetime; `nil` if the response states neither.
    ///
    /// The `exp` claim decides. A stated expiry can only shorten the lifetime. If there is a claim, a stated expiry
    /// that has already passed is ignored, because it may be a local time without its time zone.
    private func end(
        stated: Date?, _ jwt: UnverifiedJWT?, _ response: TransportResponse
    ) -> (date: Date, life: Duration)? {
        let (now, issuedAt) = (response.date, jwt?.issuedAt)
        func life(until date: Date) -> Duration {
            let longest = 86_400.0
            let sinceNow = now.map(date.timeIntervalSince)
            let sinceIssue = issuedAt.map(date.timeIntervalSince).flatMap { 0 < $0 && $0 <= longest ? $0 : nil }
            let known = [sinceNow, sinceIssue].compactMap(\.self).min()
            // `Date` and `iat` are both later than the sending of the request.
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

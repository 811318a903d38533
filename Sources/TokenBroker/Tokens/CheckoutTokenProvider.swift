public import FoundationEssentials
import HTTPTypes
import Synchronization

/// Step 2: asks the vendor for a token scoped to the inputs of the request, such as one customer and one invoice.
///
/// The access token comes from another provider, which is asked with empty inputs, so that all checkouts of a tenant share it. When
/// the vendor refuses one that was kept (401), another is asked for once. When it refuses new ones as well, or has none of the
/// paths, for three sessions in a row, no calls are made for half a minute, doubling to ten, until it accepts one or there are
/// other credentials. A token that does not name the session asked for is never handed out.
///
/// With ``TokenDemand/patience``, everything together takes no longer than that.
public struct CheckoutTokenProvider: TokenProvider, HealthReporting {
    private let call: VendorCall
    private let accessTokens: any TokenProvider
    private let knownPath: KnownPath

    /// - Parameters:
    ///   - vendor: Where to ask, and how.
    ///   - accessTokens: Step 1, normally behind a cache.
    ///   - transport: Carries the calls.
    ///   - deadline: For each call, queueing included.
    ///   - clock: Measures deadlines.
    ///   - wallClock: To turn absolute expiries into the life that remains.
    public init(
        vendor: Vendor, accessTokens: any TokenProvider, transport: any HTTPTransport,
        deadline: Duration = .seconds(10), clock: some Clock<Duration> = ContinuousClock(),
        wallClock: @escaping @Sendable () -> Date = { Date() }
    ) {
        self.call = VendorCall(
            part: "checkout_token", vendor: vendor, transport: transport, deadline: deadline, priority: .normal,
            clock: clock, wallClock: wallClock
        )
        self.accessTokens = accessTokens
        self.knownPath = KnownPath()
    }

    private var step: VendorProfile.CheckoutTokenStep { call.vendor.profile.checkoutToken }

    /// `checkout_token`.
    public var part: String { call.telemetry.part }
    /// The profile's id.
    public var account: String { call.telemetry.account }

    /// Suspended while the vendor is left alone; never calls it.
    public func health() async -> Health {
        let suspendedFor = call.suspendedFor
        var health = call.telemetry.health(suspendedFor == nil ? nil : .suspended)
        health.retryIn = suspendedFor
        return health
    }

    /// See ``TokenProvider/token(for:demand:)``; the type tells what is particular.
    public func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        let body = try body(for: request)
        let end = call.end(within: demand.patience)
        return try await call.telemetry.fetch { () throws(TokenError) in
            let (response, access) = try await call.send(
                with: accessTokens, for: request,
                minimumRemaining: step.endsWithAccessToken ? demand.minimumRemaining : .zero, patience: demand.patience
            ) { (access) throws(TokenError) in try await ask(with: access, body: body, before: end) }
            guard response.status.kind == .successful else {
                throw call.error(for: response, outcomes: step.outcomes)
            }
            return try token(in: response, for: request, access: access)
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

    /// Tries the paths, the one that worked last time first.
    private func ask(
        with access: Token, body: [UInt8], before end: Duration?
    ) async throws(TokenError) -> TransportResponse {
        let fields: HTTPFields = [
            .authorization: "Bearer " + access.secret.reveal(), .contentType: "application/json",
            .accept: "application/json",
        ]
        for (index, path) in knownPath.inOrder(step.paths) {
            let response = try await call.send(call.vendor.request(.post, path, fields), body: body, before: end)
            if response.status == .notFound, !call.hasVendorError(response) { continue }
            knownPath.remember(index)
            return response
        }
        throw TokenError(.misconfigured, message: "none of the vendor's checkout paths is there")
    }

    private func token(
        in response: TransportResponse, for request: TokenRequest, access: Token
    ) throws(TokenError) -> Token {
        let body = try call.object(in: response)
        guard let text = step.tokenMembers.lazy.compactMap({ body[$0]?.string }).first(where: { !$0.isEmpty }) else {
            throw TokenError(.unavailable, message: "the vendor's answer has no token")
        }
        let jwt = UnverifiedJWT(text.unicode)
        for (input, claim) in step.claims where jwt?.claims[claim]?.string != request.inputs[input] {
            throw TokenError(.unavailable, message: "the vendor's token does not name the \(input) asked for")
        }
        let now = call.wallClock()
        let stated = step.expiryMembers.lazy.compactMap { body[$0].flatMap(timestamp) }.first { $0 > now }
        var remaining: Duration
        if let expiry = stated ?? jwt?.expiry {
            remaining = .seconds(min(expiry.timeIntervalSince(now), 86_400))
        } else {
            remaining = call.vendor.profile.assumedLifetime - response.elapsed
        }
        if step.endsWithAccessToken { remaining = min(remaining, access.remaining) }
        guard remaining > .zero else {
            throw TokenError(.unavailable, message: "the vendor issued a token that has expired already")
        }
        return Token(
            secret: Secret(text.unicode), remaining: remaining,
            expiresAt: now.addingTimeInterval(remaining / .seconds(1)),
            lineage: Lineage(descendingFrom: step.endsWithAccessToken ? access.lineage : access.lineage.parent)
        )
    }
}

/// Which of the alternative paths answered last.
private final class KnownPath: Sendable {
    private let index = Atomic(0)

    func remember(_ newIndex: Int) { index.store(newIndex, ordering: .relaxed) }

    func inOrder(_ paths: [String]) -> [(Int, String)] {
        let known = index.load(ordering: .relaxed)
        let all = Array(paths.enumerated())
        return all.filter { $0.offset == known } + all.filter { $0.offset != known }
    }
}

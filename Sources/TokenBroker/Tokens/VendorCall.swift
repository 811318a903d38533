import FoundationEssentials
import HTTPTypes

/// One call to the vendor, with what both steps do alike: limits, and what a failure means.
struct VendorCall: Sendable {
    let vendor: Vendor
    let transport: any HTTPTransport
    let deadline: Duration
    let priority: TransportOptions.Priority
    let wallClock: @Sendable () -> Date

    func send(_ request: HTTPRequest, body: [UInt8]) async throws(TokenError) -> TransportResponse {
        let options = TransportOptions(deadline: deadline, account: vendor.profile.id, priority: priority)
        do {
            return try await transport.send(request, body: body, options: options)
        } catch {
            throw TokenError(
                meaning(of: error.kind), message: "the call to the vendor failed", retryAfter: error.retryAfter,
                cause: error
            )
        }
    }

    /// What the vendor answers with an access token, and once more with another if it refuses that one (401).
    func send(
        with accessTokens: any TokenProvider, for request: TokenRequest, patience: Duration?,
        _ ask: (Token) async throws(TokenError) -> TransportResponse
    ) async throws(TokenError) -> (TransportResponse, Token) {
        let request = TokenRequest(tenant: request.tenant, scopes: request.scopes, audience: request.audience)
        let access = try await accessTokens.token(for: request, demand: TokenDemand(patience: patience))
        let response = try await ask(access)
        guard response.status == .unauthorized else { return (response, access) }
        let other = TokenDemand(insteadOf: access.id, patience: patience)
        let renewed = try await accessTokens.token(for: request, demand: other)
        return (try await ask(renewed), renewed)
    }

    private func meaning(of kind: TransportError.Kind) -> TokenError.Code {
        switch kind {
        case .timedOut: .timedOut
        case .cancelled, .shutDown: .cancelled
        case .throttled: .throttled
        case .refusedScheme, .invalidRequest: .misconfigured
        default: .unavailable
        }
    }

    /// The error for an answer other than 2xx.
    func error(for response: TransportResponse, outcomes: [Int: TokenError.Code]) -> TokenError {
        let status = response.status.code
        return TokenError(
            outcomes[status] ?? .unavailable, message: "the vendor answered with status \(status)",
            retryAfter: response.headerFields[.retryAfter].flatMap { retryAfter($0, now: wallClock()) }
        )
    }

    /// The JSON object in a 2xx answer.
    func object(in response: TransportResponse) throws(TokenError) -> JSONValue {
        guard let value = try? JSONValue.parse(response.body), case .object = value else {
            throw TokenError(.unavailable, message: "the vendor's answer is not a JSON object")
        }
        return value
    }

    /// Whether an answer carries the vendor's own error body, and not one of something in front of it.
    func hasVendorError(_ response: TransportResponse) -> Bool {
        guard case .object(let members)? = try? JSONValue.parse(response.body) else { return false }
        return members.keys.contains { vendor.profile.errorMembers.contains($0) }
    }
}

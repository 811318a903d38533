import Synchronization

/// Keeps the broker from calling a vendor over and over while it refuses an account's access tokens.
///
/// A visitor's requests determine what the vendor answers to that visitor. One visitor's refusals therefore do not hold
/// back another visitor:
///
/// - When the vendor refuses an access token that was new for a visitor (401), that visitor triggers no replacement for
///   a while and gets the vendor's refusal instead. Other visitors still trigger replacements.
/// - An access token with which the vendor has never accepted anything is replaced only after a pause of one second,
///   doubling up to ten minutes, whichever visitor needs it.
/// - When the vendor has refused three different requests of one visitor in a row, all with access tokens with which it
///   has never accepted anything, that visitor's requests are not sent for 30 seconds, doubling up to ten minutes. Then
///   one request goes through as a probe, with a new access token.
///
/// All pauses end when the credentials change, or when the vendor accepts a request in any step and from any visitor
/// (``Lineage/accept()``). Only a pause of the first kind outlasts the acceptance of another visitor's request.
final class CircuitBreaker: Sendable {
    /// The visitor behind a request, as far as the step knows.
    enum Visitor: Hashable, Sendable {
        /// Everyone who requests this customer's invoices. The request no longer names the invoice.
        case customer(TokenRequest)
        /// The authenticated principal, for ids that are not proven yet.
        case principal(Principal)
    }

    /// What the vendor refused to one visitor.
    private struct Line {
        var credential: Lineage
        /// The credential's acceptances when the row of refusals began.
        var acceptances: UInt64
        var error: TokenError?
        /// The last refused request, and the access token that it was sent with.
        var request: TokenRequest?
        var token: Token.ID
        /// The number of different requests refused in a row.
        var count = 0
        var pauses = 0
        var until: Duration = .zero
        var isProbing = false

        init(_ token: Token, _ credential: Lineage) {
            self.credential = credential
            self.token = token.id
            acceptances = credential.acceptances
        }

        var isOpen: Bool { count >= CircuitBreaker.threshold && acceptances == credential.acceptances }
    }

    private struct State {
        var lines: [Visitor: Line] = [:]
        var credential: Lineage?
        /// The pauses before an access token that the vendor has never accepted is replaced.
        var pauses = 0
        var until: Duration = .zero

        /// Forgets what was refused to credentials that are no longer used.
        mutating func forgetOldCredentials() {
            if let credential, credential.state != .current { self = State() }
        }
    }

    private let state = Mutex(State())
    private static let threshold = 3
    private static let restOfVisitor = Backoff(first: .seconds(30), longest: .seconds(600))
    private static let restOfRenewals = Backoff(first: .seconds(1), longest: .seconds(600))

    /// Decides whether a visitor's request may be sent to the vendor.
    /// - Parameter probe: How long the visitor's other requests are held back while one request probes the vendor.
    /// - Returns: The access token that must not be used, if one is known to be refused.
    /// - Throws: The refusal because of which the request is not sent, with the time until the next attempt.
    func pass(_ visitor: Visitor, now: Duration, probe: Duration) throws(TokenError) -> Token.ID? {
        let result: Result<Token.ID?, TokenError> = state.withLock { state in
            state.forgetOldCredentials()
            guard var line = state.lines[visitor], line.isOpen, var error = line.error else { return .success(nil) }
            guard now >= line.until else {
                error.retryAfter = line.until - now
                error.wasRetried = true
                return .failure(error)
            }
            (line.until, line.isProbing) = (now + probe, true)
            state.lines[visitor] = line
            return .success(line.token)
        }
        return try result.get()
    }

    /// Returns whether an access token that was refused to a visitor may be replaced.
    func mayRenew(_ token: Token, for visitor: Visitor, now: Duration) -> Bool {
        state.withLock { state in
            state.forgetOldCredentials()
            if let line = state.lines[visitor], now < line.until { return false }
            return token.lineage.acceptances > 0 || now >= state.until
        }
    }

    /// Records that the vendor refused a visitor's request, apparently because of the access token.
    /// - Parameters:
    ///   - error: The refusal, if it is in the vendor's own words.
    ///   - isUnauthorized: Whether the status was 401, which calls for another access token.
    /// - Returns: Whether the visitor's requests are held back now.
    func refused(
        _ request: TokenRequest, by visitor: Visitor, with token: Token, _ error: TokenError?, isUnauthorized: Bool,
        now: Duration
    ) -> Bool {
        state.withLock { state in
            state.forgetOldCredentials()
            let credential = token.lineage.parent ?? token.lineage
            let isProven = token.lineage.acceptances > 0
            var line = state.lines[visitor] ?? Line(token, credential)
            if line.credential !== credential || line.acceptances != credential.acceptances {
                (line.credential, line.acceptances) = (credential, credential.acceptances)
                (line.request, line.count) = (nil, 0)
            }
            if let error, !isProven, line.request != request {
                line.count += 1
                (line.request, line.error) = (request, error)
            }
            line.token = token.id
            if isUnauthorized || line.isOpen, now >= line.until || line.isProbing {
                line.pauses += 1
                line.until = now + Self.restOfVisitor.pause(after: line.pauses)
            }
            line.isProbing = false
            if isUnauthorized, !isProven, now >= state.until {
                state.pauses += 1
                state.until = now + Self.restOfRenewals.pause(after: state.pauses)
            }
            // Bounds the memory, however many visitors there are.
            if state.lines.count >= 1_000, state.lines[visitor] == nil { state.lines = [:] }
            state.lines[visitor] = line
            state.credential = credential
            return line.isOpen
        }
    }

    /// Records that the vendor accepted an access token in a visitor's request.
    /// - Returns: Whether anything had been refused since the last acceptance.
    func accepted(_ visitor: Visitor, with token: Token) -> Bool {
        token.lineage.accept()
        return state.withLock { state in
            let hadRefusals = state.credential != nil
            state.lines[visitor] = nil
            (state.pauses, state.until, state.credential) = (0, .zero, state.lines.isEmpty ? nil : state.credential)
            return hadRefusals
        }
    }

    /// Returns the time until the first of the held-back visitors may send a request; `nil` if no visitor is held back.
    func openFor(now: Duration) -> Duration? {
        state.withLock { state in
            state.forgetOldCredentials()
            return state.lines.values.filter(\.isOpen).map { max(.zero, $0.until - now) }.min()
        }
    }
}

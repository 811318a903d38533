import Synchronization

/// Keeps a vendor that refuses an account's access tokens from being asked over and over.
///
/// What one visitor may ask for decides what the vendor answers to it. So nobody's refusals hold back anybody else:
///
/// - A visitor to whom an access token was refused that was new for it (401) is not the reason for another one for a while, and is told what
///   the vendor says. Others still are.
/// - Nobody is the reason for another one in place of one with which the vendor never accepted anything, more often than after a pause of one
///   second, doubling to ten minutes.
/// - When the vendor has refused three different requests of one visitor in a row, all with access tokens with which it never accepted
///   anything, none of that visitor's are sent for half a minute, doubling to ten. Then one goes through, with a new access token, to see.
///
/// All of it is over when the vendor accepts a request, in any step and whoever made it (``Lineage/accept()``), and when there are other
/// credentials. Only the first outlives what is accepted from others.
final class CircuitBreaker: Sendable {
    /// Who is behind a request, as far as the step knows.
    enum Visitor: Hashable, Sendable {
        /// Whoever asks for this customer's invoices, which are in the request no more.
        case customer(TokenRequest)
        /// Who asks, which is known where ids are not proven yet.
        case principal(Principal)
    }

    /// What was refused to one visitor.
    private struct Line {
        var credential: Lineage
        /// How much had been accepted with the credentials when the row began.
        var acceptances: UInt64
        var error: TokenError?
        /// What was refused last, and with what.
        var request: TokenRequest?
        var token: Token.ID
        /// How many different requests in a row.
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
        /// For access tokens with which nothing was ever accepted.
        var pauses = 0
        var until: Duration = .zero

        /// What was refused was refused to credentials that are not used any more.
        mutating func forgetOldCredentials() {
            if let credential, credential.state != .current { self = State() }
        }
    }

    private let state = Mutex(State())
    private static let threshold = 3
    private static let restOfVisitor = Backoff(first: .seconds(30), longest: .seconds(600))
    private static let restOfRenewals = Backoff(first: .seconds(1), longest: .seconds(600))

    /// Whether a visitor's request may go to the vendor.
    /// - Parameter probe: How long to hold back its others while one tries whether it works again.
    /// - Returns: The access token that is not to be used, if one is known to be refused.
    /// - Throws: Why it may not, and when it may.
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

    /// Whether another access token may be had instead of one that was refused to a visitor.
    func mayRenew(_ token: Token, for visitor: Visitor, now: Duration) -> Bool {
        state.withLock { state in
            state.forgetOldCredentials()
            if let line = state.lines[visitor], now < line.until { return false }
            return token.lineage.acceptances > 0 || now >= state.until
        }
    }

    /// The vendor refused a visitor's request because of the access token, or so it looks.
    /// - Parameters:
    ///   - error: If the vendor said so itself.
    ///   - isUnauthorized: Whether it was a 401, for which another access token would be had.
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
            // However many visitors there are, they do not fill the memory.
            if state.lines.count >= 1_000, state.lines[visitor] == nil { state.lines = [:] }
            state.lines[visitor] = line
            state.credential = credential
            return line.isOpen
        }
    }

    /// The vendor accepted an access token in a visitor's request.
    /// - Returns: Whether something had been refused since it last did.
    func accepted(_ visitor: Visitor, with token: Token) -> Bool {
        token.lineage.accept()
        return state.withLock { state in
            let hadRefusals = state.credential != nil
            state.lines[visitor] = nil
            (state.pauses, state.until, state.credential) = (0, .zero, state.lines.isEmpty ? nil : state.credential)
            return hadRefusals
        }
    }

    /// How long requests of some visitor are not sent; `nil` if all are.
    func openFor(now: Duration) -> Duration? {
        state.withLock { state in
            state.forgetOldCredentials()
            return state.lines.values.filter(\.isOpen).map { max(.zero, $0.until - now) }.min()
        }
    }
}

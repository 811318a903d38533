import Synchronization

/// Keeps a vendor that refuses an account's access tokens from being asked over and over.
///
/// - Once a new access token was refused, no other one is had instead of it for a while: it would fare no better.
/// - When the vendor has refused three different requests in a row, nothing is sent at all for that time. Then one request goes through,
///   with a new access token, to see.
/// - The time is half a minute, doubling to ten minutes. It is over at once when the vendor accepts a request, and when there are other
///   credentials.
final class Breaker: Sendable {
    private struct State {
        var error: TokenError?
        /// What was refused last, and with what.
        var request: TokenRequest?
        var token: Token.ID?
        var credential: Lineage?
        /// How many different requests in a row.
        var count = 0
        var pause: Duration = .zero
        var until: Duration = .zero
        var isProbing = false

        /// What was refused was refused to credentials that are not used any more.
        mutating func forgetOldCredentials() {
            if let credential, credential.state != .current { self = State() }
        }
    }

    private let state = Mutex(State())
    private static let threshold = 3

    /// Whether a request may go to the vendor.
    /// - Parameter probe: How long to hold back the others while one tries whether it works again.
    /// - Returns: The access token that is not to be used, if one is known to be refused.
    /// - Throws: Why it may not, and when it may.
    func pass(now: Duration, probe: Duration) throws(TokenError) -> Token.ID? {
        let result: Result<Token.ID?, TokenError> = state.withLock { state in
            state.forgetOldCredentials()
            guard var error = state.error, state.count >= Self.threshold else { return .success(nil) }
            guard now >= state.until else {
                error.retryAfter = state.until - now
                error.wasRetried = true
                return .failure(error)
            }
            (state.until, state.isProbing) = (now + probe, true)
            return .success(state.token)
        }
        return try result.get()
    }

    /// Whether another access token may be had instead of a refused one.
    func mayRenew(now: Duration) -> Bool {
        state.withLock { state in
            state.forgetOldCredentials()
            return state.error == nil || now >= state.until
        }
    }

    /// The vendor refused a request, and not for what it asks for.
    /// - Returns: Whether the breaker is open now.
    func refused(_ request: TokenRequest, with token: Token, _ error: TokenError, now: Duration) -> Bool {
        state.withLock { state in
            state.forgetOldCredentials()
            if now >= state.until || state.isProbing {
                state.pause = state.pause == .zero ? .seconds(30) : min(state.pause * 2, .seconds(600))
                (state.until, state.isProbing) = (now + state.pause, false)
            }
            if state.request != request { state.count += 1 }
            (state.error, state.request) = (error, request)
            (state.token, state.credential) = (token.id, token.lineage.parent ?? token.lineage)
            return state.count >= Self.threshold
        }
    }

    /// The vendor accepted an access token.
    /// - Returns: Whether that changed anything.
    func accepted() -> Bool {
        state.withLock { state in
            defer { state = State() }
            return state.error != nil
        }
    }

    /// How long nothing is sent; `nil` if requests may go.
    func openFor(now: Duration) -> Duration? {
        state.withLock { state in
            state.forgetOldCredentials()
            return state.count >= Self.threshold ? max(.zero, state.until - now) : nil
        }
    }
}

/// A source of tokens.
///
/// **Use one.** Ask each time you need a token, and do not keep it. The token may come from a cache, is valid, and
/// lives at least as long as you demand. When a server refuses it before it expires, ask for a replacement:
///
/// ```swift
/// let token = try await provider.token(for: request)
/// // … the server responded with 401 …
/// let other = try await provider.token(for: request, demand: TokenDemand(replacing: token.id))
/// ```
///
/// **Write one.** Fetch a token and return it with its remaining lifetime. Choose ``TokenError/code`` accurately, since
/// caching and retrying depend on it. Do not cache, share or retry in the provider; use the decorators for that. A
/// decorator forwards the request and the demand unchanged, apart from what it handles itself.
///
/// **Test one.** Use a `ScriptedTransport` for the server's responses and a `ManualClock` for time, both from
/// `TokenBrokerTesting`.
public protocol TokenProvider: Sendable {
    /// Returns a token for a request.
    ///
    /// - Parameters:
    ///   - request: What the token is for. The whole request is the cache key.
    ///   - demand: What this caller demands of the token.
    /// - Throws: ``TokenError``, whose code tells what may be done about it.
    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token
}

extension TokenProvider {
    /// Returns a token for a request, without special demands.
    public func token(for request: TokenRequest) async throws(TokenError) -> Token {
        try await token(for: request, demand: TokenDemand())
    }
}

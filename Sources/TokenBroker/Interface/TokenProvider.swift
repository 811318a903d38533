/// Hands out tokens.
///
/// **Use one.** Ask each time you need a token, and do not keep it: what you get may be cached, is valid, and lives at
/// least as long as you demanded. When a server refuses it early, ask again and say so:
///
/// ```swift
/// let token = try await provider.token(for: request)
/// // … the server answered 401 …
/// let other = try await provider.token(for: request, demand: TokenDemand(replacing: token.id))
/// ```
///
/// **Write one.** Fetch a token and return it with the life that remains. Be honest in ``TokenError/code``: caching and
/// retrying decide by it. Do not cache, share or retry yourself; that is what the decorators are for. A decorator
/// forwards the request and the demand as it was handed them, apart from what it deals with itself.
///
/// **Test one.** With a `ScriptedTransport` for what the server answers and a `ManualClock` for time, both from
/// `TokenBrokerTesting`.
public protocol TokenProvider: Sendable {
    /// - Parameters:
    ///   - request: What the token is for. The whole request is the cache key.
    ///   - demand: What this caller needs of the token.
    /// - Throws: ``TokenError``; its code says what may be done about it.
    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token
}

extension TokenProvider {
    /// ``token(for:demand:)`` without special demands.
    public func token(for request: TokenRequest) async throws(TokenError) -> Token {
        try await token(for: request, demand: TokenDemand())
    }
}

import Synchronization
public import TokenBroker

/// A token provider that follows a script: the n-th request gets the n-th step.
///
/// ```swift
/// let tokens = ScriptedTokenProvider([.token("first"), .fail(.unavailable), .token("second", remaining: .seconds(60))])
/// ```
///
/// A request beyond the end of the script fails with ``TokenBroker/TokenError/Code/misconfigured``, and is remembered like the others.
public final class ScriptedTokenProvider: TokenProvider {
    /// What one request gets.
    public struct Step: Sendable {
        fileprivate let result: Result<Token, TokenError>

        /// A token.
        public static func token(_ token: Token) -> Step { Step(result: .success(token)) }

        /// A new token.
        /// - Parameters:
        ///   - text: Its content.
        ///   - remaining: Its life.
        public static func token(_ text: String, remaining: Duration = .seconds(3600)) -> Step {
            .token(Token(secret: Secret(text), remaining: remaining))
        }

        /// A failure.
        public static func fail(_ error: TokenError) -> Step { Step(result: .failure(error)) }

        /// A failure with a code.
        public static func fail(_ code: TokenError.Code, retryAfter: Duration? = nil) -> Step {
            .fail(TokenError(code, message: "as scripted", retryAfter: retryAfter))
        }
    }

    /// A request that came.
    public struct Asked: Sendable, Hashable {
        /// What the token is for.
        public var request: TokenRequest
        /// What the caller needs of it.
        public var demand: TokenDemand
    }

    private let steps: [Step]
    private let requests = Mutex<[Asked]>([])

    /// - Parameter steps: One for each request, in order.
    public init(_ steps: [Step]) { self.steps = steps }

    /// The requests that came, in order.
    public var asked: [Asked] { requests.withLock { $0 } }

    /// Follows the script.
    public func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        let index = requests.withLock { requests in
            requests.append(Asked(request: request, demand: demand))
            return requests.count - 1
        }
        guard index < steps.count else {
            throw TokenError(
                .misconfigured, message: "the script has \(steps.count) steps, and this is request \(index + 1)")
        }
        return try steps[index].result.get()
    }
}

import Synchronization
public import TokenBroker

/// A token provider that follows a script: the n-th request gets the n-th step.
///
/// ```swift
/// let tokens = ScriptedTokenProvider([
///     .token("first"), .fail(.unavailable), .token("second", remaining: .seconds(60)),
/// ])
/// ```
///
/// A request beyond the end of the script fails with `TokenError/Code/misconfigured`. It is recorded like the others.
public final class ScriptedTokenProvider: TokenProvider {
    /// The outcome of one request.
    public struct Step: Sendable {
        fileprivate let result: Result<Token, TokenError>

        /// A step that returns this token.
        public static func token(_ token: Token) -> Step { Step(result: .success(token)) }

        /// A step that returns a new token.
        /// - Parameters:
        ///   - text: The token's secret.
        ///   - remaining: The token's remaining lifetime.
        public static func token(_ text: String, remaining: Duration = .seconds(3600)) -> Step {
            .token(Token(secret: Secret(text), remaining: remaining))
        }

        /// A step that throws this error.
        public static func fail(_ error: TokenError) -> Step { Step(result: .failure(error)) }

        /// A step that throws an error with this code.
        /// - Parameters:
        ///   - code: The code of the error.
        ///   - retryAfter: The time after which a retry may succeed, if the error names one.
        public static func fail(_ code: TokenError.Code, retryAfter: Duration? = nil) -> Step {
            .fail(TokenError(code, message: "as scripted", retryAfter: retryAfter))
        }
    }

    /// A request that the provider received.
    public struct Asked: Sendable, Hashable {
        /// What the token is for.
        public var request: TokenRequest
        /// What the caller demands of the token.
        public var demand: TokenDemand
    }

    private let steps: [Step]
    private let otherwise: Step?
    private let requests = Mutex<[Asked]>([])

    /// Creates a provider.
    ///
    /// - Parameters:
    ///   - steps: The outcomes of the first requests, in order.
    ///   - otherwise: The outcome of requests beyond the end of the script; `nil` for an error.
    public init(_ steps: [Step] = [], otherwise: Step? = nil) {
        self.steps = steps
        self.otherwise = otherwise
    }

    /// The requests received so far, in order.
    public var asked: [Asked] { requests.withLock { $0 } }

    /// Returns the token of the next step.
    ///
    /// - Throws: The error of the next step, or `TokenError/Code/misconfigured` beyond the end of the script.
    public func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        let index = requests.withLock { requests in
            requests.append(Asked(request: request, demand: demand))
            return requests.count - 1
        }
        guard let step = index < steps.count ? steps[index] : otherwise else {
            throw TokenError(
                .misconfigured, message: "the script has \(steps.count) steps, and this is request \(index + 1)")
        }
        return try step.result.get()
    }
}

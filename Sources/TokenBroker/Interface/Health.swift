/// A part that reports its health, for an operator and for a load balancer.
///
/// **Use one.** `GET /readyz` asks for the health on each call, and you may do the same. A composed broker's `health`
/// has all parts.
///
/// **Write one.** The report must be cheap: do not call the vendor. A decorator forwards the health of what it
/// decorates and adds what it knows. Never name a token, a request, a secret or anything else that belongs to a caller.
public protocol HealthReporting: Sendable {
    /// A short, fixed name for health, metrics and traces, such as `access_token`.
    var part: String { get }
    /// The account at the vendor that the part uses: the id of the vendor's profile.
    var account: String { get }

    /// Returns the current health.
    func health() async -> Health
}

/// The health of one part. Safe to log and to show.
public struct Health: Sendable, Hashable {
    /// The part: `access_token`, `checkout_token` or `rate_limit`, unless you add others.
    public var part: String
    /// The account at the vendor that the part uses.
    public var account: String
    /// The state of the part.
    public var state: State
    /// The time since the part's last successful call to the vendor; `nil` if there was none.
    public var lastSuccess: Duration?
    /// The last failure; `nil` if there was none.
    public var lastFailure: Failure?
    /// The remaining lifetime of the longest-lived token that the part holds. A negative value if it no longer holds
    /// one: the time since the last one expired.
    public var expiresIn: Duration?
    /// A Boolean value that indicates whether the part holds a usable token.
    public var holdsToken = false
    /// The time until the next attempt.
    public var retryIn: Duration?
    /// The remaining cool-down that the vendor asked for.
    public var coolDown: Duration?
    /// The number of calls in the queue.
    public var queued: Int?

    /// Creates the health of a part from the members that every part has.
    ///
    /// - Parameters:
    ///   - part: The name of the part.
    ///   - account: The account at the vendor that the part uses.
    ///   - state: The state of the part.
    ///   - lastSuccess: The time since the part's last successful call to the vendor; `nil` if there was none.
    ///   - lastFailure: The last failure; `nil` if there was none.
    public init(
        part: String, account: String, state: State = .ok, lastSuccess: Duration? = nil, lastFailure: Failure? = nil
    ) {
        self.part = part
        self.account = account
        self.state = state
        self.lastSuccess = lastSuccess
        self.lastFailure = lastFailure
    }

    /// A Boolean value that indicates whether requests can be served, as far as this part is concerned.
    ///
    /// A part is not ready when no request can be served until somebody fixes the deployment: the credentials cannot be
    /// loaded or are refused, and no token is held. A vendor outage does not count, since it would take every instance
    /// out of rotation at once.
    public var isReady: Bool { holdsToken || (state != .credentialsUnavailable && state != .credentialsRefused) }

    /// A Boolean value that indicates whether requests are still served but soon will not be unless somebody acts.
    public var isDegraded: Bool { isReady && Self.degraded.contains(state) }

    private static let degraded: Set<State> = [.credentialsUnavailable, .credentialsRefused, .blocked]

    /// A past failure.
    public struct Failure: Sendable, Hashable {
        /// The kind of failure.
        public var code: TokenError.Code
        /// The time since the failure.
        public var ago: Duration

        /// Creates a past failure.
        ///
        /// - Parameters:
        ///   - code: The kind of failure.
        ///   - ago: The time since the failure.
        public init(_ code: TokenError.Code, ago: Duration) {
            self.code = code
            self.ago = ago
        }
    }

    /// The state of a part.
    public struct State: Sendable, Hashable, CustomStringConvertible {
        private enum Value: String {
            case ok, failing, suspended, blocked
            case credentialsUnavailable = "credentials_unavailable"
            case credentialsRefused = "credentials_refused"
        }
        private let value: Value
        private init(_ value: Value) { self.value = value }
        /// The name of the state. Safe to log.
        public var description: String { value.rawValue }

        /// The part works, or has not been used yet.
        public static let ok = Self(.ok)
        /// The last attempt failed, in a way that may pass.
        public static let failing = Self(.failing)
        /// The vendor refused several requests in a row, and the part pauses for the callers that sent them.
        public static let suspended = Self(.suspended)
        /// Something in front of the vendor answers in its place, or the vendor refuses the credentials without an
        /// explanation.
        public static let blocked = Self(.blocked)
        /// There are no credentials, or they cannot be loaded.
        public static let credentialsUnavailable = Self(.credentialsUnavailable)
        /// The vendor refuses the credentials.
        public static let credentialsRefused = Self(.credentialsRefused)
    }
}

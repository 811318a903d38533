/// Tells how one part does, for an operator and for a load balancer.
///
/// **Use one.** `GET /readyz` asks on each call, and so may you; a composed broker's `health` has all of them.
///
/// **Write one.** The answer must be cheap: no call to the vendor. A decorator forwards what is below it and adds what it knows. Never name a
/// token, a request, a secret or anything else that belongs to a caller.
public protocol HealthReporting: Sendable {
    /// A short, fixed name for health, metrics and traces, such as `access_token`.
    var part: String { get }
    /// Whose account at the vendor it works with: the id of the vendor's profile.
    var account: String { get }

    func health() async -> Health
}

/// How one part does. Safe to log and to show.
public struct Health: Sendable, Hashable {
    /// Which part: `access_token`, `checkout_token` or `rate_limit`, unless you add others.
    public var part: String
    /// Whose account at the vendor it works with.
    public var account: String
    /// How it does.
    public var state: State
    /// How long ago the vendor last gave it what it wanted; `nil` if never.
    public var lastSuccess: Duration?
    /// How it last failed; `nil` if never.
    public var lastFailure: Failure?
    /// How long the longest-lived token that it holds lives; if it holds none any more, how long ago the last one ended, as a negative number.
    public var expiresIn: Duration?
    /// Whether it holds a token that can be used.
    public var holdsToken = false
    /// How long it rests before it tries again.
    public var retryIn: Duration?
    /// How long the vendor wants no calls.
    public var coolDown: Duration?
    /// How many calls wait for their turn.
    public var queued: Int?

    /// Takes the members that every part has.
    public init(
        part: String, account: String, state: State = .ok, lastSuccess: Duration? = nil, lastFailure: Failure? = nil
    ) {
        self.part = part
        self.account = account
        self.state = state
        self.lastSuccess = lastSuccess
        self.lastFailure = lastFailure
    }

    /// Whether requests can be served, as far as this part goes. Not ready means that none can until somebody acts here: the credentials cannot
    /// be loaded or are refused, and no token is held. A vendor's outage is no reason, since it would take every instance out of rotation
    /// at once.
    public var isReady: Bool { holdsToken || (state != .credentialsUnavailable && state != .credentialsRefused) }

    /// Whether requests are served as yet, but will not be for long unless somebody acts.
    public var isDegraded: Bool { isReady && Self.degraded.contains(state) }

    private static let degraded: Set<State> = [.credentialsUnavailable, .credentialsRefused, .blocked]

    /// A failure in the past.
    public struct Failure: Sendable, Hashable {
        /// Of which kind.
        public var code: TokenError.Code
        /// How long ago.
        public var ago: Duration

        /// Takes all members, in their order of declaration.
        public init(_ code: TokenError.Code, ago: Duration) {
            self.code = code
            self.ago = ago
        }
    }

    /// How a part does.
    public struct State: Sendable, Hashable, CustomStringConvertible {
        private enum Value: String {
            case ok, failing, suspended, blocked
            case credentialsUnavailable = "credentials_unavailable"
            case credentialsRefused = "credentials_refused"
        }
        private let value: Value
        private init(_ value: Value) { self.value = value }
        /// Safe to log.
        public var description: String { value.rawValue }

        /// It works, or nobody has asked anything of it yet.
        public static let ok = Self(.ok)
        /// What it did last failed, in a way that may pass.
        public static let failing = Self(.failing)
        /// The vendor refused it several times in a row, and it rests for those who asked.
        public static let suspended = Self(.suspended)
        /// Something in front of the vendor answers in its place, or the vendor refuses the credentials without a word.
        public static let blocked = Self(.blocked)
        /// There are no credentials, or they cannot be loaded.
        public static let credentialsUnavailable = Self(.credentialsUnavailable)
        /// The vendor refuses the credentials.
        public static let credentialsRefused = Self(.credentialsRefused)
    }
}

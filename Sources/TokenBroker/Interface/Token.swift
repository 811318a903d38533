public import FoundationEssentials

/// A token as a provider returns it. Safe to log, since its content is a ``Secret``.
public struct Token: Sendable, Identifiable {
    /// A name for this token that reveals nothing about it. A caller passes it in ``TokenDemand/replacing``.
    public var id: ID
    /// The token itself.
    public var secret: Secret
    /// The token type, which tells how to present the token. It is compared case-insensitively, and is `Bearer` (RFC
    /// 6750) when the server does not state it.
    public var type: String
    /// The remaining lifetime at the moment the provider returns the token. The lifetime is measured from the sending
    /// of the token request; time in a queue does not count. Being relative, it holds on whichever clock the holder
    /// uses.
    public var remaining: Duration
    /// The expiry as an absolute time on the server's clock, as the server stated it. It is meant for the edge, such as
    /// pages. Do not base decisions within the process on it: clocks differ, and they jump.
    public var expiresAt: Date {
        get { Date(timeIntervalSinceReferenceDate: expiry) }
        set { expiry = newValue.timeIntervalSinceReferenceDate }
    }
    // A plain number: the compiler does not know the layout of `Date`, which would make copying a token several times
    // as expensive.
    private var expiry: Double
    /// The line that this token descends from, which tells whether the token is still valid.
    public var lineage: Lineage
    /// The lifetime with which the token was issued; `nil` if that is ``remaining``. A provider that did not request
    /// the token itself sets it, so that a cache renews the token when its issuer's cache would.
    package var lifetime: Duration?
    /// A Boolean value that indicates whether the token was issued for this very call. If a server refuses such a
    /// token, it would refuse another one as well. A provider that requests the token from a server sets it; a cache
    /// clears it.
    public var isFresh = false

    /// Creates a token that is not marked as fresh.
    ///
    /// - Parameters:
    ///   - id: A name that reveals nothing about the token.
    ///   - secret: The token itself.
    ///   - type: The token type.
    ///   - remaining: The remaining lifetime.
    ///   - expiresAt: The expiry as the server stated it; `nil` for `remaining` from now.
    ///   - lineage: The line that the token descends from.
    public init(
        id: ID = ID(), secret: Secret, type: String = "Bearer", remaining: Duration, expiresAt: Date? = nil,
        lineage: Lineage = Lineage()
    ) {
        self.id = id
        self.secret = secret
        self.type = type
        self.remaining = remaining
        self.expiry = (expiresAt ?? Date(timeIntervalSinceNow: remaining / .seconds(1))).timeIntervalSinceReferenceDate
        self.lineage = lineage
    }

    /// A random name for a token, made by the broker and unrelated to the token's content. It consists of 1 to 255
    /// visible ASCII characters, so that a page can name the token it wants replaced.
    public struct ID: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
        /// The name as text.
        public var rawValue: ExactString
        /// Creates an id from a name.
        public init(rawValue: ExactString) { self.rawValue = rawValue }
        /// Creates a new id: 128 random bits from the system's secure generator, in hexadecimal.
        public init() { self.rawValue = ExactString(randomHex(words: 2)) }
        /// The name. Safe to log.
        public var description: String { rawValue.description }
    }
}

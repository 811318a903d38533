public import FoundationEssentials

/// A token as it is handed out: safe to log, since its content is a ``Secret``.
public struct Token: Sendable, Identifiable {
    /// Names this token and says nothing about it. A caller gives it back in ``TokenDemand/replacing``.
    public var id: ID
    /// The token itself.
    public var secret: Secret
    /// How it is presented, compared without case; `Bearer` (RFC 6750) when the server did not say.
    public var type: String
    /// The life that remains at the moment the provider returns the token, measured from when the token was asked for, queueing not counted. A
    /// relative time, so that it holds on whichever clock the holder uses.
    public var remaining: Duration
    /// The same end as an absolute time, as the server stated it, by the server's clock: for the edge, such as pages. Not for deciding
    /// anything in process, since clocks differ and step.
    public var expiresAt: Date {
        get { Date(timeIntervalSinceReferenceDate: expiry) }
        set { expiry = newValue.timeIntervalSinceReferenceDate }
    }
    // A plain number, since the layout of a date is not known to the compiler, and copying a token would cost several times as much.
    private var expiry: Double
    /// What this token was derived from, and whether that still holds.
    public var lineage: Lineage
    /// Whether it was issued for this very call, so that a server that refuses it would refuse another one as well. A provider that asks a
    /// server says so; a cache takes it back.
    public var isFresh = false

    /// Takes all members but ``isFresh``, in their order of declaration.
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

    /// A random name, made by the broker and unrelated to the token's content: 1 to 255 visible ASCII characters, so that a page can say
    /// which token it wants replaced.
    public struct ID: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
        /// The name as text.
        public var rawValue: ExactString
        /// Takes the name as it is.
        public init(rawValue: ExactString) { self.rawValue = rawValue }
        /// A new one: 128 random bits from the system's secure generator, in hexadecimal.
        public init() { self.rawValue = ExactString(randomHex(words: 2)) }
        /// Safe to log.
        public var description: String { rawValue.description }
    }
}

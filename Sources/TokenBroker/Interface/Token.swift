public import FoundationEssentials
import Synchronization

/// A token as it is handed out: safe to log, since its content is a ``Secret``.
public struct Token: Sendable, Identifiable {
    /// Names this token and says nothing about it. A caller gives it back in ``TokenDemand/insteadOf``.
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

/// The line that a token descends from: credential → access token → checkout token.
///
/// Each member is current, superseded or revoked. A descendant is never in a better state than its line, so whoever
/// holds a token learns by looking at it that its credential was rotated or its access token refused, and nobody has
/// to be told. Looking is lock-free and never suspends.
public final class Lineage: Sendable {
    /// What this descends from; `nil` at the start of a line.
    public let parent: Lineage?
    private let own: Atomic<UInt8>
    private let accepted = Atomic<UInt64>(0)

    /// - Parameter parent: What this descends from; `nil` starts a line.
    public init(descendingFrom parent: Lineage? = nil) {
        self.parent = parent
        self.own = Atomic(State.current.rawValue)
    }

    /// The worst state along the line.
    public var state: State {
        // The raw value only ever comes from a State.
        let state = State(rawValue: own.load(ordering: .acquiring)) ?? .revoked
        guard let parent else { return state }
        return max(state, parent.state)
    }

    /// There is a newer one: descendants are still served, and renewed behind the scenes. Does nothing if already revoked.
    public func supersede() {
        own.max(State.superseded.rawValue, ordering: .acquiringAndReleasing)
    }

    /// It no longer holds: descendants must not be served. Final.
    public func revoke() {
        own.store(State.revoked.rawValue, ordering: .releasing)
    }

    /// How often the server accepted a token of this line, or one of the lines that descend from it, in any call.
    package var acceptances: UInt64 { accepted.load(ordering: .relaxed) }

    /// The server accepted the token of this line.
    package func accept() {
        accepted.add(1, ordering: .relaxed)
        parent?.accept()
    }

    /// From best to worst.
    public enum State: UInt8, Sendable, Comparable {
        case current, superseded, revoked

        /// Whether `left` is the better state.
        public static func < (left: State, right: State) -> Bool { left.rawValue < right.rawValue }
    }
}

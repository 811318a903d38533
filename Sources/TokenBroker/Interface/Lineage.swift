import Synchronization

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

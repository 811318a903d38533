import Synchronization

/// The line that a token descends from: credential → access token → checkout token.
///
/// Each member is current, superseded or revoked. A descendant is never in a better state than the members it descends
/// from. The holder of a token therefore sees from its lineage that the credential was rotated or the access token
/// refused; no notification is needed. Reading the state is lock-free and never suspends.
public final class Lineage: Sendable {
    /// The member that this one descends from; `nil` at the start of a line.
    public let parent: Lineage?
    private let own: Atomic<UInt8>
    private let accepted = Atomic<UInt64>(0)

    /// Creates a current member of a line.
    ///
    /// - Parameter parent: The member that this one descends from; `nil` starts a line.
    public init(descendingFrom parent: Lineage? = nil) {
        self.parent = parent
        self.own = Atomic(State.current.rawValue)
    }

    /// The worst state along the line, from this member to its start.
    public var state: State {
        // The raw value always comes from a State.
        let state = State(rawValue: own.load(ordering: .acquiring)) ?? .revoked
        guard let parent else { return state }
        return max(state, parent.state)
    }

    /// Marks this member as superseded by a newer one. Descendants are still served, and are renewed in the background.
    /// Has no effect on a revoked member.
    public func supersede() {
        own.max(State.superseded.rawValue, ordering: .acquiringAndReleasing)
    }

    /// Revokes this member for good. Descendants must no longer be served.
    public func revoke() {
        own.store(State.revoked.rawValue, ordering: .releasing)
    }

    /// The number of times the server accepted a token of this line or of a line that descends from it, in any call.
    package var acceptances: UInt64 { accepted.load(ordering: .relaxed) }

    /// Records that the server accepted the token of this line.
    package func accept() {
        accepted.add(1, ordering: .relaxed)
        parent?.accept()
    }

    /// The state of a member, ordered from best to worst.
    public enum State: UInt8, Sendable, Comparable {
        case current, superseded, revoked

        /// Returns whether `left` is the better state.
        public static func < (left: State, right: State) -> Bool { left.rawValue < right.rawValue }
    }
}

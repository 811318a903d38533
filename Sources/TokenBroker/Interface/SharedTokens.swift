/// Tokens that the processes of a fleet share.
///
/// A process *claims* a name before it fetches a token. The first one is told to lead: it holds a lease, fetches, and
/// *lands* the result. The others get what landed last, or wait. A lease that its owner does not extend ends, so that a
/// process that has died holds up nobody for longer.
///
/// **Write one.** Every method is atomic, and every answer is by the store's own clock. Names, tags, owners and entries
/// are opaque: keep them, compare them, and put nothing of them into an error. An entry ends when its life has passed,
/// a lease when its time has passed, whatever happens to the process that made them.
public protocol SharedTokens: Sendable {
    /// Asks for the token under a name, or for the lease to fetch one.
    ///
    /// - Parameters:
    ///   - name: The name.
    ///   - claim: What the process asks for.
    /// - Returns: The first of these that applies:
    ///   - ``ClaimAnswer/token(_:)`` for an entry that meets the claim and is not due;
    ///   - ``ClaimAnswer/failure(_:)`` for a failure that has not ended, if there is no entry that meets the claim;
    ///   - ``ClaimAnswer/lead`` if nobody holds the lease, which is now the claim's;
    ///   - ``ClaimAnswer/token(_:)`` for an entry that meets the claim and is due, because another process renews it;
    ///   - ``ClaimAnswer/follow(leaseLeft:)``.
    /// - Throws: ``SharedStoreError``. The claim may have happened all the same.
    func claim(_ name: String, _ claim: TokenClaim) async throws(SharedStoreError) -> ClaimAnswer

    /// Extends a lease.
    ///
    /// - Parameters:
    ///   - name: The name that the lease is for.
    ///   - owner: The owner of the lease.
    ///   - lease: How long the lease lasts from now.
    /// - Returns: Whether the owner still held the lease.
    func extend(_ name: String, owner: String, lease: Duration) async throws(SharedStoreError) -> Bool

    /// Ends a lease with the result of the fetch, and tells all observers with ``SharedStoreEvent/landed(name:)``. Has
    /// no effect if the owner does not hold the lease.
    ///
    /// - Parameters:
    ///   - name: The name that the lease is for.
    ///   - owner: The owner of the lease.
    ///   - landing: The result; `nil` for none, so that another process may fetch at once.
    /// - Returns: Whether the owner still held the lease.
    func land(_ name: String, owner: String, _ landing: TokenLanding?) async throws(SharedStoreError) -> Bool
}

/// What a process asks for when it claims a name.
public struct TokenClaim: Sendable, Hashable {
    /// The owner of the lease, if there is to be one: random text.
    public var owner: String
    /// How long the lease lasts, unless it is extended.
    public var lease: Duration
    /// The minimum remaining lifetime of the token. An entry meets the claim with this, or with half of its life if
    /// that is shorter.
    public var minimumRemaining: Duration
    /// The tag of a token that was refused. All observers are told with ``SharedStoreEvent/revoked(tag:)``, whether or
    /// not the store still has the token. If it is the entry's tag, the entry is deleted.
    public var replacing: String?
    /// The tag of an entry that this process cannot use. The claim is answered as if that entry did not exist.
    public var ignoring: String?
    /// Whether the claim is answered as if there were no failure, because this process cannot read it.
    public var ignoresFailure: Bool

    /// Creates a claim.
    ///
    /// - Parameters:
    ///   - owner: The owner of the lease, if there is to be one.
    ///   - lease: How long the lease lasts, unless it is extended.
    ///   - minimumRemaining: The minimum remaining lifetime of the token.
    ///   - replacing: The tag of a token that was refused.
    ///   - ignoring: The tag of an entry that this process cannot use.
    ///   - ignoresFailure: Whether the claim is answered as if there were no failure.
    public init(
        owner: String, lease: Duration, minimumRemaining: Duration = .zero, replacing: String? = nil,
        ignoring: String? = nil, ignoresFailure: Bool = false
    ) {
        self.owner = owner
        self.lease = lease
        self.minimumRemaining = minimumRemaining
        self.replacing = replacing
        self.ignoring = ignoring
        self.ignoresFailure = ignoresFailure
    }
}

/// The answer to a claim.
public enum ClaimAnswer: Sendable, Hashable {
    /// There is a token.
    case token(SharedToken)
    /// The last fetch failed, and the next one is not due.
    case failure(SharedFailure)
    /// The process holds the lease and fetches.
    case lead
    /// Another process fetches. Its lease ends after this time, unless it is extended.
    case follow(leaseLeft: Duration)
}

/// A token in the store.
public struct SharedToken: Sendable, Hashable {
    /// The sealed token.
    public var entry: [UInt8]
    /// The tag, which tells tokens apart.
    public var tag: String
    /// The remaining lifetime.
    public var remaining: Duration

    /// Creates a token.
    ///
    /// - Parameters:
    ///   - entry: The sealed token.
    ///   - tag: The tag, which tells tokens apart.
    ///   - remaining: The remaining lifetime.
    public init(entry: [UInt8], tag: String, remaining: Duration) {
        self.entry = entry
        self.tag = tag
        self.remaining = remaining
    }
}

/// A failure in the store.
public struct SharedFailure: Sendable, Hashable {
    /// The sealed failure.
    public var entry: [UInt8]
    /// The time until the next fetch.
    public var remaining: Duration

    /// Creates a failure.
    ///
    /// - Parameters:
    ///   - entry: The sealed failure.
    ///   - remaining: The time until the next fetch.
    public init(entry: [UInt8], remaining: Duration) {
        self.entry = entry
        self.remaining = remaining
    }
}

/// The result of a fetch.
public enum TokenLanding: Sendable, Hashable {
    /// A token. `life` is the lifetime with which it was issued. An entry is *due* in the last third of it: more
    /// exactly, when ``dueShare`` of it remains.
    case token(SharedToken, life: Duration)
    /// A failure, which is forgotten after its ``SharedFailure/remaining``.
    case failure(SharedFailure)

    /// The share of a token's life in which it is due for renewal, in percent. Caches begin to ask for a new token just
    /// before a third remains, so this is a little more.
    public static let dueShare = 36
}

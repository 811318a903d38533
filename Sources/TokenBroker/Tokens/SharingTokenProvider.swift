public import FoundationEssentials
import Metrics

/// A decorator that shares tokens with the other processes of a fleet. It belongs between caching and retrying.
///
/// - The first process that needs a token fetches it, with a lease that it extends each second. The others get the same
///   token. If the process dies, another one takes over after three seconds.
/// - A token in the last third of its life is renewed by one process, and served to the others meanwhile.
/// - ``TokenDemand/replacing`` deletes exactly that token from the store, and revokes it in every process.
/// - Only what the vendor said is shared as a failure: a refusal, or that it throttles.
/// - When the store gives no answer, tokens are fetched without it, as if there were no fleet.
///
/// A token that comes from the store has the lineage of this process's own line: processes with different credentials
/// never share a token. Its remaining lifetime is the smaller of what the store says, and of what this process's clock
/// says, corrected by the difference to the vendor's clock.
public struct SharingTokenProvider<Upstream: TokenProvider>: TokenProvider, ShutsDown, Composite {
    private let upstream: Upstream
    private let lines: any LineReporting
    private let store: any SharedStore
    private let sealing: any Sealing
    private let names: SharedNames
    private let vendor: Vendor
    private let alarm: Alarm
    private let sleep: @Sendable (Duration) async throws -> Void
    private let wallClock: @Sendable () -> Date
    private let chance: @Sendable () -> Double
    private let state: SharingState
    private let work = BackgroundWork()
    private let claims: LabelledCounter
    private let fallbacks: LabelledCounter

    /// How long a lease lasts unless it is extended.
    static var lease: Duration { .seconds(3) }

    /// Creates a sharing provider.
    ///
    /// - Parameters:
    ///   - upstream: The provider that fetches tokens.
    ///   - step: The name of the step, which keeps the tokens of both steps apart.
    ///   - fleet: The fleet.
    ///   - lines: Tells which credential a token is requested with.
    ///   - vendor: The vendor that issues the tokens.
    ///   - clock: The clock for leases and waits.
    ///   - wallClock: The clock for absolute times only: the expiry of a token that comes from the store.
    public init(
        _ upstream: Upstream, step: String, fleet: Fleet, lines: any LineReporting, vendor: Vendor,
        clock: some Clock<Duration> = ContinuousClock(), wallClock: @escaping @Sendable () -> Date = { Date() }
    ) {
        self.init(
            upstream, step: step, fleet: fleet, lines: lines, vendor: vendor, clock: clock, wallClock: wallClock
        ) { Double.random(in: 0..<1) }
    }

    package init(
        _ upstream: Upstream, step: String, fleet: Fleet, lines: any LineReporting, vendor: Vendor,
        clock: some Clock<Duration>, wallClock: @escaping @Sendable () -> Date, chance: @escaping @Sendable () -> Double
    ) {
        self.upstream = upstream
        self.lines = lines
        self.store = fleet.store
        self.sealing = fleet.sealing
        self.names = SharedNames(sealing: fleet.sealing, step: step, baseURL: vendor.url(""))
        self.vendor = vendor
        self.alarm = Alarm(clock)
        self.sleep = { try await clock.sleep(for: $0) }
        self.wallClock = wallClock
        self.chance = chance
        self.claims = LabelledCounter(.fleetClaims, [("step", step)])
        self.fallbacks = LabelledCounter(.fleetFallbacks)
        let state = SharingState()
        self.state = state
        fleet.store.observe { [weak state] in state?.note($0) }
    }

    /// The upstream provider.
    public var components: [any Sendable] { [upstream] }

    /// Returns the fleet's token, or fetches one for the fleet.
    public func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        let end = demand.timeout.map { alarm.now + $0 }
        let access = TokenRequest(tenant: request.tenant, scopes: request.scopes, audience: request.audience)
        // Without a usable credential, the upstream provider says why.
        guard let line = await lines.line(for: access) else {
            return try await fetch(request, demand, before: end)
        }
        let name = names.name(of: request, with: line.credential)
        var claim = TokenClaim(
            owner: randomHex(words: 2), lease: Self.lease, minimumRemaining: demand.minimumRemaining,
            replacing: demand.replacing.map(names.tag)
        )
        var unusable = 0
        while unusable < 3 {
            let asked = alarm.now
            let answer: ClaimAnswer
            do throws(SharedStoreError) {
                answer = try await store.claim(name, claim)
            } catch {
                fallbacks.increment("\(error.code)")
                return try await fetch(request, demand, before: end)
            }
            claims.increment(answer.label)
            // The fleet is told once.
            if let refused = claim.replacing { (claim.replacing, claim.ignoring) = (nil, refused) }
            switch answer {
            case .token(let shared):
                if let token = token(in: shared, name, line, asked: asked) { return token }
                claim.ignoring = shared.tag
                unusable += 1
            case .failure(let shared):
                if let error = failure(in: shared, name, asked: asked) { throw error }
                claim.ignoresFailure = true
                unusable += 1
            case .lead:
                return try await lead(request, demand, before: end, as: claim.owner, name, line)
            case .follow(let leaseLeft):
                try await follow(name, leaseLeft, before: end)
            }
        }
        fallbacks.increment("unusable")
        return try await fetch(request, demand, before: end)
    }

    private func fetch(
        _ request: TokenRequest, _ demand: TokenDemand, before end: Duration?
    ) async throws(TokenError) -> Token {
        var demand = demand
        demand.timeout = end.map { max(.zero, $0 - alarm.now) }
        return try await upstream.token(for: request, demand: demand)
    }

    /// Waits until another process's fetch has ended, or for a while in case that nobody tells.
    private func follow(_ name: String, _ leaseLeft: Duration, before end: Duration?) async throws(TokenError) {
        let left = end.map { $0 - alarm.now } ?? .seconds(1)
        guard left > .zero else {
            throw TokenError(.timedOut, message: "another process of the fleet fetched no token in time")
        }
        let poll = Duration.milliseconds(50) + .milliseconds(200) * chance()
        await state.wait(for: name, atMost: min(poll, leaseLeft + .milliseconds(1), left), alarm)
        if Task.isCancelled { throw TokenError(.cancelled, message: "the caller was cancelled") }
    }

    // MARK: Leading

    private func lead(
        _ request: TokenRequest, _ demand: TokenDemand, before end: Duration?, as owner: String, _ name: String,
        _ line: CredentialLine
    ) async throws(TokenError) -> Token {
        let keeper = Task { [store, sleep] in
            while !Task.isCancelled {
                do {
                    try await sleep(.seconds(1))
                    guard try await store.extend(name, owner: owner, lease: Self.lease) else { return }
                } catch is CancellationError {
                    return
                } catch {
                    // The next extension may succeed. If not, another process fetches, too.
                }
            }
        }
        defer { keeper.cancel() }
        do throws(TokenError) {
            let token = try await fetch(request, demand, before: end)
            // The caller does not wait for the others to learn of it.
            work.start { await land(token, request, as: owner, name, line) }
            return token
        } catch {
            let landing = SharedEntry.bytes(error).flatMap { bytes, time in
                sealing.seal(bytes, as: name).map { SharedFailure(entry: $0, remaining: time) }
            }
            work.start { [store] in
                _ = try? await store.land(name, owner: owner, landing.map(TokenLanding.failure))
            }
            throw error
        }
    }

    /// Puts a token into the store, under the name of the line that it descends from. That may be another one than the
    /// lease is for, if the vendor refused the first credential.
    private func land(
        _ token: Token, _ request: TokenRequest, as owner: String, _ name: String, _ line: CredentialLine
    ) async {
        var start = token.lineage
        while let parent = start.parent { start = parent }
        if start === line.lineage {
            _ = try? await store.land(name, owner: owner, landing(token, name))
            return
        }
        _ = try? await store.land(name, owner: owner, nil)
        guard let other = lines.line(from: start) else { return }
        let otherName = names.name(of: request, with: other.credential)
        let claim = TokenClaim(owner: owner, lease: Self.lease, minimumRemaining: token.remaining)
        guard (try? await store.claim(otherName, claim)) == .lead else { return }
        _ = try? await store.land(otherName, owner: owner, landing(token, otherName))
    }

    private func landing(_ token: Token, _ name: String) -> TokenLanding? {
        guard token.lineage.state == .current, token.remaining > .zero else { return nil }
        let now = wallClock().addingTimeInterval(vendor.clock.difference)
        guard let entry = sealing.seal(SharedEntry.bytes(token, now: now), as: name) else { return nil }
        let tag = names.tag(of: token.id)
        state.keep(token.lineage, tag: tag)
        return .token(
            SharedToken(entry: entry, tag: tag, remaining: token.remaining), life: token.lifetime ?? token.remaining)
    }

    // MARK: What is in the store

    /// Returns the token in an entry; `nil` if this process cannot use it.
    private func token(
        in shared: SharedToken, _ name: String, _ line: CredentialLine, asked: Duration
    ) -> Token? {
        guard let bytes = sealing.open(shared.entry, as: name), let content = SharedEntry.content(of: bytes),
            names.tag(of: content.token.id) == shared.tag
        else { return nil }
        let now = wallClock().addingTimeInterval(vendor.clock.difference)
        let byClock = content.expiry.timeIntervalSince(now)
        guard byClock > 0 else { return nil }
        var token = content.token
        token.remaining = min(
            shared.remaining - (alarm.now - asked), .seconds(min(byClock, 86_400)), content.life)
        token.lifetime = content.life
        token.lineage = state.lineage(of: shared.tag, descendingFrom: line.lineage)
        return token.remaining > .zero && token.lineage.state != .revoked ? token : nil
    }

    private func failure(in shared: SharedFailure, _ name: String, asked: Duration) -> TokenError? {
        sealing.open(shared.entry, as: name).flatMap {
            SharedEntry.failure(in: $0, remaining: shared.remaining - (alarm.now - asked))
        }
    }

    /// Waits until everything that was fetched has been shared, and every lease has been given back.
    public func shutdown() async { await work.drained() }
}

extension SharingTokenProvider: HealthReporting where Upstream: HealthReporting {
    /// The upstream provider's part.
    public var part: String { upstream.part }
    /// The upstream provider's account.
    public var account: String { upstream.account }
    /// Returns the upstream provider's health.
    public func health() async -> Health { await upstream.health() }
}

extension ClaimAnswer {
    fileprivate var label: String {
        switch self {
        case .token: "token"
        case .failure: "failure"
        case .lead: "lead"
        case .follow: "follow"
        }
    }
}

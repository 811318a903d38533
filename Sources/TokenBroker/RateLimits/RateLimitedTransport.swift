public import FoundationEssentials
public import HTTPTypes
import Metrics
import Synchronization

/// A transport that enforces an account's rate limit. All calls to a vendor go through one such transport, whichever
/// step or policy makes them.
///
/// - At most `requestsPerSecond` calls arrive within any second, as the vendor counts them, provided that no call
///   travels a quarter of a second longer than the fastest.
/// - Calls wait in the order in which they came. Calls of high priority go first.
/// - A caller whose turn cannot come within its timeout fails at once with ``TransportError/Code/throttled``;
///   ``TransportError/retryAfter`` tells when to try again. The time differs from caller to caller, so that they do not
///   all come back together.
/// - A caller that stops waiting gives up its place and uses no turn.
/// - If the vendor responds with 429 nevertheless, all calls stop for the time in its `Retry-After` (one second without
///   it), and the rate is halved. Every ten seconds without a 429 double the rate again, up to the configured one.
///
/// In a ``Fleet``, the limit holds for all processes together: the first call in the queue also waits for a turn of the
/// fleet's store. While the store is lost, each process keeps to its share of the limit.
///
/// The limit applies to calls with its ``TransportOptions/account``; calls for another account, or for none, pass
/// through. The rate is ``VendorProfile/requestsPerSecond`` unless the key `tokens.requestsPerSecond` sets it. `Pacer`,
/// a pure value type, decides when a call may start.
public struct RateLimitedTransport: HTTPTransport, HealthReporting, ShutsDown, Composite {
    /// The name of the part, `rate_limit`.
    public let part = "rate_limit"
    /// The account whose limit is enforced.
    public var account: String { limited.description }
    private let limited: Account
    private let upstream: any HTTPTransport
    private let wallClock: @Sendable () -> Date
    private let schedule: Schedule

    /// Creates a transport that enforces an account's rate limit.
    ///
    /// - Parameters:
    ///   - upstream: Sends the calls.
    ///   - account: The account whose limit is enforced.
    ///   - requestsPerSecond: The number of calls that may start within any second; at least 1.
    ///   - burst: The number of those calls that may start back to back; at most `requestsPerSecond`.
    ///   - queueLimit: The number of calls that may wait.
    ///   - fleet: The processes that share the limit; `nil` if there is only this one.
    ///   - name: The name of the limit in the fleet's store.
    ///   - clock: Measures the time between calls.
    ///   - wallClock: Resolves a `Retry-After` that is a date, if the server does not send its own time.
    public init(
        _ upstream: any HTTPTransport, account: Account, requestsPerSecond: Int, burst: Int? = nil,
        queueLimit: Int = 10_000, fleet: Fleet? = nil, name: String = "",
        clock: some Clock<Duration> = ContinuousClock(), wallClock: @escaping @Sendable () -> Date = { Date() }
    ) {
        self.upstream = upstream
        self.limited = account
        self.wallClock = wallClock
        let turns = fleet.map { fleet in
            FleetTurns(
                processes: fleet.processes, detection: fleet.store.detection, calls: requestsPerSecond,
                window: Pacer.window)
        }
        let pacer = Pacer(
            callsPerSecond: requestsPerSecond, burst: burst ?? requestsPerSecond, queueLimit: queueLimit, fleet: turns)
        let shared = fleet.map { fleet in
            (
                fleet.store,
                SharedLimit(
                    name: name, calls: requestsPerSecond, window: Pacer.window, delay: Pacer.longestDelay)
            )
        }
        self.schedule = Schedule(pacer, Alarm(clock), account: account.description, shared: shared)
        schedule.observe()
    }

    /// The upstream transport.
    public var components: [any Sendable] { [upstream] }

    /// Returns the length of the queue and the remaining cool-down. The state is failing while the rate is lowered
    /// because of the vendor's 429 responses.
    public func health() async -> Health { schedule.health(Health(part: part, account: account)) }

    /// Waits until the fleet has been told of every call.
    public func shutdown() async { await schedule.work.drained() }

    /// Waits for the call's turn, and sends the request.
    public func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        guard options.account == limited else { return try await upstream.send(request, body: body, options: options) }
        var options = options
        // Reserve some of the time for the call itself.
        let timeout = options.timeout - min(.seconds(2), options.timeout / 4)
        let (start, waited) = try await schedule.turn(options.priority, within: timeout)
        options.timeout -= waited
        let response = try await upstream.send(request, body: body, options: options)
        if response.status == .tooManyRequests {
            schedule.throttled(start, retryAfter: response.retryAfter(now: wallClock()))
        } else {
            schedule.accepted(start)
        }
        return response
    }
}

/// Drives a ``Pacer``: keeps the waiting callers and the alarm for the next turn.
private final class Schedule: Sendable {
    private typealias Answer = Result<Pacer.Start, TransportError>
    private typealias Waiting = CheckedContinuation<Answer, Never>

    private struct State {
        var pacer: Pacer
        var waiting = Waiters<Answer>()
        var lastID: Pacer.CallID = 0
        /// The instant of the next alarm. A superseded alarm has no effect.
        var alarm: Duration?
    }

    private let state: Mutex<State>
    private let alarm: Alarm
    private let queueLength: Meter
    private let waits: Timer
    private let refusals: Counter
    private let turnedAway: Counter
    /// The fleet's store, and the limit in it.
    private let shared: (store: any SharedStore, limit: SharedLimit)?
    /// What the store is told while no caller waits.
    let work = BackgroundWork()

    init(
        _ pacer: Pacer, _ alarm: Alarm, account: String, shared: (store: any SharedStore, limit: SharedLimit)? = nil
    ) {
        state = Mutex(State(pacer: pacer))
        self.alarm = alarm
        self.shared = shared
        let dimensions = [("account", account)]
        queueLength = Meter(.rateLimitQueue, dimensions)
        waits = Timer(.rateLimitWait, dimensions)
        refusals = Counter(.rateLimitThrottled, dimensions + [("by", "vendor")])
        turnedAway = Counter(.rateLimitThrottled, dimensions + [("by", "rate_limit")])
    }

    func health(_ health: Health) -> Health {
        state.withLock { state in
            var health = health
            let coolDown = state.pacer.coolDownLeft(now: alarm.now)
            health.state = state.pacer.slowness > 1 ? .failing : .ok
            health.coolDown = coolDown > .zero ? coolDown : nil
            health.queued = state.pacer.queued
            return health
        }
    }

    /// Returns when the call may start, with the time it waited.
    func turn(
        _ priority: TransportOptions.Priority, within limit: Duration
    ) async throws(TransportError) -> (start: Pacer.Start, waited: Duration) {
        let start = alarm.now
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        let result: Answer = await suspended { continuation in
            let answer: Answer? = state.withLock { state in
                guard state.waiting.add(id, continuation) else { return .failure(Self.cancelled) }
                let answer: Answer
                switch state.pacer.ask(id, priority, deadline: start + limit, now: alarm.now) {
                case .now(let start): answer = .success(start)
                case .no(let retryAfter): answer = .failure(Self.throttled(retryAfter))
                case .wait: return nil
                }
                _ = state.waiting.remove(id)
                return answer
            }
            if let answer { continuation.resume(returning: answer) } else { advance() }
        } onCancel: { [self] in
            let continuation = state.withLock { state in
                state.pacer.left(id)
                queueLength.set(state.pacer.queued)
                return state.waiting.remove(id)
            }
            continuation?.resume(returning: .failure(Self.cancelled))
        }
        let waited = alarm.now - start
        waits.record(duration: waited)
        do {
            return (try result.get(), waited)
        } catch {
            if error.code == .throttled { turnedAway.increment() }
            throw error
        }
    }

    func throttled(_ start: Pacer.Start, retryAfter: Duration?) {
        refusals.increment()
        state.withLock { state in
            let now = alarm.now
            state.pacer.answered(start, now: now)
            state.pacer.throttled(retryAfter: retryAfter, now: now)
        }
        if let shared {
            let time = min(retryAfter ?? .seconds(1), longestRetryAfter)
            work.start { try? await shared.store.coolDown(shared.limit, for: time) }
        }
        // Some calls can no longer have their turn in time.
        advance()
    }

    func accepted(_ start: Pacer.Start) {
        let (isAwaited, used) = state.withLock { state in
            let now = alarm.now
            let used = state.pacer.answered(start, now: now)
            state.pacer.accepted(now: now)
            return (state.pacer.queued > 0, used)
        }
        if let shared, let used {
            let earlier = shared.limit.delay + used.turn.lateness - used.counted
            if earlier > .zero {
                work.start { try? await shared.store.settle(shared.limit, number: used.turn.number, earlier: earlier) }
            }
        }
        // The answered call may let the next turn come sooner.
        if isAwaited { advance() }
    }

    // MARK: The fleet

    /// Follows the events of the fleet's store.
    func observe() { shared?.store.observe { [weak self] in self?.note($0) } }

    private func note(_ event: SharedStoreEvent) {
        let chance = Double.random(in: 0..<1)
        state.withLock { state in
            let now = alarm.now
            switch event {
            case .connected: state.pacer.note { $0.returned(now: now) }
            case .disconnected: state.pacer.note { $0.lost(now: now, chance: chance) }
            case .coolDown(let limit, let time) where limit == shared?.limit.name:
                state.pacer.coolDown(for: time, now: now)
            case .coolDown, .landed, .revoked: break
            }
        }
        switch event {
        case .connected, .disconnected, .coolDown: advance()
        case .landed, .revoked: break
        }
    }

    /// Asks the store for a turn. No caller waits for the answer itself.
    private func askForTurn(_ shared: (store: any SharedStore, limit: SharedLimit)) {
        work.start { [self] in
            let asked = alarm.now
            let lateness = state.withLock { $0.pacer.fleet?.lateness ?? .zero }
            var limit = shared.limit
            limit.delay += lateness
            do throws(SharedStoreError) {
                let answer = try await shared.store.turn(limit, patience: Pacer.window)
                state.withLock { state in
                    let now = alarm.now
                    state.pacer.note { $0.answered(answer, asked: asked, lateness: lateness, now: now) }
                }
            } catch {
                let chance = Double.random(in: 0..<1)
                state.withLock { state in
                    let now = alarm.now
                    state.pacer.note { $0.failed(asked: asked, now: now, chance: chance) }
                }
            }
            advance()
        }
    }

    /// Resumes the callers whose turn has come, and sets the alarm for the next turn.
    private func advance() {
        let (resumed, pause, asks) = state.withLock { state -> ([(Waiting, Answer)], Duration?, Bool) in
            let now = alarm.now
            if let alarm = state.alarm, alarm <= now { state.alarm = nil }
            let (started, turnedAway, next) = state.pacer.advance(now: now)
            queueLength.set(state.pacer.queued)
            var resumed: [(Waiting, Answer)] = []
            for (id, start) in started {
                if let continuation = state.waiting.remove(id) {
                    resumed.append((continuation, .success(start)))
                }
            }
            for (id, retryAfter) in turnedAway {
                guard let continuation = state.waiting.remove(id) else { continue }
                resumed.append((continuation, .failure(Self.throttled(retryAfter))))
            }
            let asks = shared != nil && state.pacer.wantsTurn(now: now)
            if asks { state.pacer.note { $0.asked() } }
            guard let next, state.alarm.map({ next < $0 }) ?? true else { return (resumed, nil, asks) }
            state.alarm = next
            return (resumed, next - now, asks)
        }
        for (continuation, result) in resumed { continuation.resume(returning: result) }
        if let pause { _ = alarm.schedule(after: pause) { [weak self] in self?.advance() } }
        if asks, let shared { askForTurn(shared) }
    }

    private static let cancelled = TransportError(.cancelled, message: "the calling task was cancelled")
    private static func throttled(_ retryAfter: Duration) -> TransportError {
        TransportError(
            .throttled, message: "the account's rate limit has no turn for this call within its timeout",
            retryAfter: retryAfter
        )
    }
}

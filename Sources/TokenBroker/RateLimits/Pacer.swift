import DequeModule

/// Decides when calls to one account may start.
///
/// The type has no tasks, clocks or locks: the caller passes the time as a duration since some fixed instant.
/// ``RateLimitedTransport`` drives it.
///
/// Two rules hold at once. The server counts at most `callsPerSecond` calls within any second. Calls start back to back
/// only up to `burst`; beyond that they are spread evenly. A throttled call lowers the rate, and a period without one
/// restores it.
///
/// The server counts a call when it arrives, which cannot be observed here. But if the response to a call came later
/// than the fastest responses do, the call arrived at most that much later. The pacer therefore assumes that the call
/// arrived that much later than it started. For a call without a response, it assumes the longest possible delay.
///
/// In a fleet, the head of the queue also needs a turn of the fleet; see ``FleetTurns``.
struct Pacer: Sendable {
    typealias CallID = UInt64
    /// The sequence number of a call that has started.
    typealias Start = Int

    /// The answer to a caller that wants to start a call.
    enum Turn: Equatable {
        case now(Start)
        case wait
        /// The turn would come too late. There should be room after the pause.
        case no(retryAfter: Duration)
    }

    /// One second, plus a margin for clocks that disagree.
    static let window = Duration.milliseconds(1010)
    /// How much later than the fastest a call may arrive without being counted together with calls that started a
    /// second later.
    static let longestDelay = Duration.milliseconds(250)
    /// How long the rate stays lowered after a throttled call before it is doubled.
    static let recovery = Duration.seconds(10)

    private struct Waiting {
        var priority: TransportOptions.Priority
        var deadline: Duration
    }

    private struct Started {
        var at: Duration
        /// The latest time at which the server has counted the call, less the travel time of the fastest calls.
        var counted: Duration
        /// The fleet's turn that the call used.
        var turn: FleetTurns.Turn?
    }

    private let callsPerSecond: Int
    private let burst: Int
    private let queueLimit: Int
    private var waiting: [CallID: Waiting] = [:]
    private var lines: [TransportOptions.Priority: Line] = [.high: Line(), .normal: Line()]
    /// The calls that started last, at most `callsPerSecond`, the oldest first.
    private var starts = Deque<Started>()
    private var startCount = 0
    private var fastest = Fastest()
    /// When the next call may start if calls are spread evenly.
    private var spread: Duration = .zero
    private var coolDown: Duration = .zero
    /// The factor by which the rate is lowered: 1 at the full rate, 2 at half of it.
    private(set) var slowness = 1.0
    private var changed: Duration = .zero
    /// The latest time at which a rejected caller was told to retry.
    private var promised: Duration = .zero
    /// Whether the rate was lowered, so that some waiting calls may no longer have their turn in time.
    private var needsReview = false
    /// The turns of the fleet; `nil` without a fleet.
    private(set) var fleet: FleetTurns?

    init(callsPerSecond: Int, burst: Int, queueLimit: Int = 10_000, fleet: FleetTurns? = nil) {
        self.callsPerSecond = max(1, callsPerSecond)
        self.fleet = fleet
        self.burst = min(max(1, burst), self.callsPerSecond)
        self.queueLimit = queueLimit
    }

    /// The number of calls in the queue.
    var queued: Int { waiting.count }
    /// Returns the remaining cool-down that the server asked for.
    func coolDownLeft(now: Duration) -> Duration { max(.zero, coolDown - now) }

    /// The number of calls in any window of time, and its length, that this process may start.
    private var share: (calls: Int, window: Duration) {
        fleet?.share ?? (callsPerSecond, Self.window)
    }

    private var interval: Duration { share.window / Double(share.calls) * slowness }

    /// Returns when a call may start that has `position` others before it; the first has 0.
    private func turn(of position: Int, now: Duration) -> Duration {
        let (calls, window) = share
        let inWindow = position % calls
        let windows = window * slowness * Double(position / calls)
        var time = max(now, coolDown)
        // The call `calls` starts earlier must be at least a window ago.
        let back = starts.count - calls + inWindow
        if back >= 0, back < starts.count { time = max(time, starts[back].counted + window) }
        let allowance = slowness > 1 ? .zero : interval * Double(min(burst, calls) - 1)
        let evenly = max(spread, now) + interval * Double(position) - allowance
        let local = max(time + windows, evenly)
        return fleet.map { max(local, $0.turn(of: position, now: now)) } ?? local
    }

    /// Requests a turn for a call.
    ///
    /// - Parameter deadline: The instant from which the call is no longer worth starting.
    mutating func ask(
        _ id: CallID, _ priority: TransportOptions.Priority, deadline: Duration, now: Duration
    ) -> Turn {
        let before = priority == .high ? lines[.high, default: Line()].count : queued
        let time = turn(of: before, now: now)
        if before == 0, time <= now, let start = started(now: now) { return .now(start) }
        guard time < deadline, queued < queueLimit else {
            return .no(retryAfter: turnAway(now: now))
        }
        waiting[id] = Waiting(priority: priority, deadline: deadline)
        lines[priority]?.append(id)
        return .wait
    }

    /// Starts the calls whose turn has come.
    ///
    /// - Returns: The calls to start, the calls to reject with the time to retry, and the instant to look again
    ///   unless a response arrives before; `nil` if no call waits.
    mutating func advance(now: Duration) -> (
        start: [(id: CallID, start: Start)], turnedAway: [(id: CallID, retryAfter: Duration)], next: Duration?
    ) {
        var start: [(id: CallID, start: Start)] = []
        // How long the fleet keeps a call waiting is not known in advance.
        let isLate = fleet != nil && waiting.values.contains { $0.deadline <= now }
        var turnedAway = needsReview || isLate ? review(now: now) : []
        for priority in [TransportOptions.Priority.high, .normal] {
            while let id = lines[priority]?.first(in: waiting), let deadline = waiting[id]?.deadline {
                let time = turn(of: 0, now: now)
                if deadline <= max(now, time) {
                    left(id)
                    turnedAway.append((id, turnAway(now: now)))
                } else if time <= now, let begun = started(now: now) {
                    left(id)
                    start.append((id, begun))
                } else {
                    return (start, turnedAway, next(after: time, now: now))
                }
            }
        }
        return (start, turnedAway, nil)
    }

    /// Returns when a rejected caller should come back. Each gets a later time than the one before, so that they do not
    /// all come back at once.
    private mutating func turnAway(now: Duration) -> Duration {
        promised = max(promised, turn(of: queued, now: now)) + max(interval, fleet?.certainPace ?? .zero)
        return promised - now
    }

    /// Removes the calls whose turn can no longer come in time.
    private mutating func review(now: Duration) -> [(id: CallID, retryAfter: Duration)] {
        needsReview = false
        var position = 0
        var late: [CallID] = []
        for priority in [TransportOptions.Priority.high, .normal] {
            for id in lines[priority, default: Line()].all(in: waiting) {
                guard let deadline = waiting[id]?.deadline else { continue }
                if turn(of: position, now: now) < deadline { position += 1 } else { late.append(id) }
            }
        }
        for id in late { left(id) }
        return late.map { ($0, turnAway(now: now)) }
    }

    /// Removes a call that no longer waits. Its turn goes to the next.
    mutating func left(_ id: CallID) {
        guard let priority = waiting.removeValue(forKey: id)?.priority else { return }
        lines[priority]?.left(in: waiting)
    }

    /// When to look again: at the turn of the head, or sooner if the fleet is to be asked for it, or if the time of a
    /// waiting call runs out.
    private func next(after turn: Duration, now: Duration) -> Duration? {
        guard let fleet, fleet.isShared else { return turn }
        let deadline = waiting.values.map(\.deadline).min()
        return [turn > now ? turn : fleet.nextQuestion, deadline].compactMap(\.self).filter { $0 > now }.min()
    }

    /// Whether the fleet's store is to be asked for a turn, for the call at the head.
    func wantsTurn(now: Duration) -> Bool {
        guard let fleet, fleet.wantsTurn(now: now), queued > 0 else { return false }
        return turn(of: 0, now: now) <= now
    }

    /// Records what the fleet's store says. Look again afterwards.
    mutating func note(_ change: (inout FleetTurns) -> Void) {
        guard var fleet else { return }
        let wasShared = fleet.isShared
        change(&fleet)
        self.fleet = fleet
        if fleet.isShared != wasShared { needsReview = true }
    }

    /// Starts a call.
    /// - Returns: `nil` if the call needs a turn of the fleet and there is none.
    private mutating func started(now: Duration) -> Start? {
        var turn: FleetTurns.Turn?
        if var fleet {
            let (mayStart, used) = fleet.start(now: now)
            self.fleet = fleet
            guard mayStart else { return nil }
            turn = used
        }
        starts.append(Started(at: now, counted: now + Self.longestDelay, turn: turn))
        startCount += 1
        if starts.count > callsPerSecond { _ = starts.popFirst() }
        spread = max(spread, now) + interval
        return startCount - 1
    }

    /// Records a response, whatever its status. The next turn may come sooner as a result. Do not call this for an
    /// abandoned call, which may still arrive.
    /// - Returns: The fleet's turn that the call used, and how much later than planned it was counted; `nil` if there
    ///   is none.
    @discardableResult
    mutating func answered(_ start: Start, now: Duration) -> (turn: FleetTurns.Turn, counted: Duration)? {
        let position = start - (startCount - starts.count)
        // Older calls are a window ago in any case.
        guard position >= 0, position < starts.count else { return nil }
        let time = now - starts[position].at
        fastest.note(time)
        let counted = starts[position].at + min(time - fastest.time, Self.longestDelay)
        starts[position].counted = counted
        return starts[position].turn.map { ($0, counted - $0.planned) }
    }

    /// Records that all calls to the account stop for a time.
    mutating func coolDown(for time: Duration, now: Duration) {
        coolDown = max(coolDown, now + min(max(time, .zero), longestRetryAfter))
        fleet?.void()
        needsReview = true
    }

    /// Records that the server refused a call because there were too many.
    mutating func throttled(retryAfter: Duration?, now: Duration) {
        coolDown(for: retryAfter ?? .seconds(1), now: now)
        // Calls that were in progress together count as one warning.
        if slowness == 1 || now - changed >= .seconds(1) {
            slowness = min(slowness * 2, 16)
            changed = now
        }
    }

    /// Records that the server accepted a call.
    mutating func accepted(now: Duration) {
        guard slowness > 1, now - max(changed, coolDown) >= Self.recovery else { return }
        slowness = max(1, slowness / 2)
        changed = now
    }

    /// The shortest response time among the last one to two thousand calls. If the route to the server becomes slower,
    /// that is noticed after as many calls.
    private struct Fastest {
        private var count = 0
        private var before: Duration?
        private var recent: Duration?

        /// The shortest response time. It is zero until enough calls were measured, since the first calls also
        /// establish their connections.
        var time: Duration {
            guard let recent, before != nil || count >= 50 else { return .zero }
            return min(recent, before ?? recent)
        }

        mutating func note(_ time: Duration) {
            if count == 1000 { (count, before, recent) = (0, recent, nil) }
            count += 1
            recent = min(time, recent ?? time)
        }
    }

    /// The queue of one priority. A call that leaves from the middle is skipped later, so that leaving takes no search.
    private struct Line {
        private var ids = Deque<CallID>()
        private(set) var count = 0

        mutating func append(_ id: CallID) {
            ids.append(id)
            count += 1
        }

        mutating func left(in waiting: [CallID: Waiting]) {
            count -= 1
            if ids.count > 2 * count + 64 { ids.removeAll { waiting[$0] == nil } }
        }

        mutating func first(in waiting: [CallID: Waiting]) -> CallID? {
            while let id = ids.first {
                if waiting[id] != nil { return id }
                _ = ids.popFirst()
            }
            return nil
        }

        func all(in waiting: [CallID: Waiting]) -> [CallID] {
            ids.filter { waiting[$0] != nil }
        }
    }
}

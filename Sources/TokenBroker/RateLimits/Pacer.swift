import DequeModule

/// When calls to one account may start.
///
/// Pure: no tasks, no clocks, no locks; time is handed in as the duration since some beginning. ``RateLimitedTransport`` drives it.
///
/// Two rules hold at once. No more than `callsPerSecond` are counted by the server within any second. And they start back to back only up
/// to `burst`; beyond that they are spread evenly. A throttled call slows the rate down, and a quiet time brings it back.
///
/// The server counts a call when it arrives, which nobody here sees. But a call whose answer came this much later than the fastest answers
/// do, arrived at most this much late. So a call counts from its start and that delay, and one without an answer from the longest delay that
/// is allowed for.
struct Pacer: Sendable {
    typealias CallID = UInt64
    /// Which of the calls that have started, in their order.
    typealias Start = Int

    /// What a caller is told who wants to start a call.
    enum Turn: Equatable {
        case now(Start)
        case wait
        /// Its turn would come too late. After the pause there should be room.
        case no(retryAfter: Duration)
    }

    /// A second, and a little for clocks that do not agree.
    static let window = Duration.milliseconds(1010)
    /// How late a call may arrive, compared with the fastest, without being counted together with those that started a second later.
    static let longestDelay = Duration.milliseconds(250)
    /// How long the rate stays lowered after a call was throttled, before it is doubled.
    static let recovery = Duration.seconds(10)

    private struct Waiting {
        var priority: TransportOptions.Priority
        var deadline: Duration
    }

    private struct Started {
        var at: Duration
        /// When the server has counted it at the latest, less the time that the fastest take to it.
        var counted: Duration
    }

    private let callsPerSecond: Int
    private let burst: Int
    private let queueLimit: Int
    private var waiting: [CallID: Waiting] = [:]
    private var lines: [TransportOptions.Priority: Line] = [.high: Line(), .normal: Line()]
    /// The last calls that started, `callsPerSecond` at most, the oldest first.
    private var starts = Deque<Started>()
    private var startCount = 0
    private var fastest = Fastest()
    /// When an even spread would let the next call start, whose predecessors all started in time.
    private var spread: Duration = .zero
    private var coolDown: Duration = .zero
    /// 1 at the full rate; 2 at half of it.
    private(set) var slowness = 1.0
    private var changed: Duration = .zero
    /// Until when callers who were turned away were told to come back.
    private var promised: Duration = .zero
    /// The rate was lowered, and not all who wait may have their turn in time any more.
    private var needsReview = false

    init(callsPerSecond: Int, burst: Int, queueLimit: Int = 10_000) {
        self.callsPerSecond = max(1, callsPerSecond)
        self.burst = min(max(1, burst), self.callsPerSecond)
        self.queueLimit = queueLimit
    }

    /// How many calls wait for their turn.
    var queued: Int { waiting.count }
    /// What is left of a cool-down that the server asked for.
    func coolDownLeft(now: Duration) -> Duration { max(.zero, coolDown - now) }

    private var interval: Duration { Self.window / Double(callsPerSecond) * slowness }

    /// When the call with `position` others before it may start, the first being 0.
    private func turn(of position: Int, now: Duration) -> Duration {
        let inWindow = position % callsPerSecond
        let windows = Self.window * slowness * Double(position / callsPerSecond)
        var time = max(now, coolDown)
        // The call that many places back must be a window ago.
        let back = starts.count - callsPerSecond + inWindow
        if back >= 0, back < starts.count { time = max(time, starts[back].counted + Self.window) }
        let allowance = slowness > 1 ? .zero : interval * Double(burst - 1)
        let evenly = max(spread, now) + interval * Double(position) - allowance
        return max(time + windows, evenly)
    }

    /// - Parameter deadline: When it is no longer worth starting.
    mutating func ask(
        _ id: CallID, _ priority: TransportOptions.Priority, deadline: Duration, now: Duration
    ) -> Turn {
        let before = priority == .high ? lines[.high, default: Line()].count : queued
        let time = turn(of: before, now: now)
        if before == 0, time <= now { return .now(started(now: now)) }
        guard time < deadline, queued < queueLimit else {
            return .no(retryAfter: turnAway(now: now))
        }
        waiting[id] = Waiting(priority: priority, deadline: deadline)
        lines[priority]?.append(id)
        return .wait
    }

    /// Lets those go whose turn it is.
    /// - Returns: Who may start, who waited in vain with the time to come back, and when to look again unless a call returns before;
    ///   `nil` if nobody waits.
    mutating func advance(now: Duration) -> (
        start: [(id: CallID, start: Start)], turnedAway: [(id: CallID, retryAfter: Duration)], next: Duration?
    ) {
        var start: [(id: CallID, start: Start)] = []
        var turnedAway = needsReview ? review(now: now) : []
        for priority in [TransportOptions.Priority.high, .normal] {
            while let id = lines[priority]?.first(in: waiting), let deadline = waiting[id]?.deadline {
                let time = turn(of: 0, now: now)
                if deadline <= max(now, time) {
                    left(id)
                    turnedAway.append((id, turnAway(now: now)))
                } else if time <= now {
                    left(id)
                    start.append((id, started(now: now)))
                } else {
                    return (start, turnedAway, time)
                }
            }
        }
        return (start, turnedAway, nil)
    }

    /// Each who is turned away gets a later time than the one before, or all would come back at once.
    private mutating func turnAway(now: Duration) -> Duration {
        promised = max(promised, turn(of: queued, now: now)) + interval
        return promised - now
    }

    /// Takes out those who wait in vain.
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

    /// Somebody does not wait any longer; its turn goes to the next.
    mutating func left(_ id: CallID) {
        guard let priority = waiting.removeValue(forKey: id)?.priority else { return }
        lines[priority]?.left(in: waiting)
    }

    private mutating func started(now: Duration) -> Start {
        starts.append(Started(at: now, counted: now + Self.longestDelay))
        startCount += 1
        if starts.count > callsPerSecond { _ = starts.popFirst() }
        spread = max(spread, now) + interval
        return startCount - 1
    }

    /// A call was answered, in whatever way. The next turn may come sooner by that. Not for one that was given up, since it may still arrive.
    mutating func answered(_ start: Start, now: Duration) {
        let position = start - (startCount - starts.count)
        // Others are a window ago in any case.
        guard position >= 0, position < starts.count else { return }
        let time = now - starts[position].at
        fastest.note(time)
        starts[position].counted = starts[position].at + min(time - fastest.time, Self.longestDelay)
    }

    /// The server refused a call because there were too many.
    mutating func throttled(retryAfter: Duration?, now: Duration) {
        coolDown = max(coolDown, now + min(max(retryAfter ?? .seconds(1), .zero), longestRetryAfter))
        // The calls that were under way together count as one warning.
        if slowness == 1 || now - changed >= .seconds(1) {
            slowness = min(slowness * 2, 16)
            changed = now
        }
        needsReview = true
    }

    /// The server took a call.
    mutating func accepted(now: Duration) {
        guard slowness > 1, now - max(changed, coolDown) >= Self.recovery else { return }
        slowness = max(1, slowness / 2)
        changed = now
    }

    /// How long the fastest of the last thousand or two calls took to their answers. A way that becomes longer is noticed after so many.
    private struct Fastest {
        private var count = 0
        private var before: Duration?
        private var recent: Duration?

        /// Zero until it is known, since the first calls also establish their connections.
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

    /// Those who wait, in their order. Who leaves from the middle is passed over later, so that leaving takes no search.
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

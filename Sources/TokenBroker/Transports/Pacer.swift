/// When calls to one account may start.
///
/// Pure: no tasks, no clocks, no locks; time is handed in as the duration since some beginning. ``PacedTransport`` drives it.
///
/// Two rules hold at once. No more than `callsPerSecond` start within any second, measured a little longer than a second because calls
/// travel for different times. And they start back to back only up to `burst`; beyond that they are spread evenly. A throttled call
/// slows the rate down, and a quiet time brings it back.
struct Pacer: Sendable {
    typealias CallID = UInt64

    /// What a caller is told who wants to start a call.
    enum Turn: Equatable {
        case now
        case wait
        /// Its turn would come too late. After the pause there should be room.
        case no(retryAfter: Duration)
    }

    /// Longer than a second, so that calls that arrive late do not meet those that arrive soon within one second of the server's.
    static let window = Duration.milliseconds(1030)
    /// How long the rate stays lowered after a call was throttled, before it is doubled.
    static let recovery = Duration.seconds(10)

    private struct Waiting {
        var id: CallID
        var deadline: Duration
    }

    private let callsPerSecond: Int
    private let burst: Int
    private let queueLimit: Int
    private var queues: [TransportOptions.Priority: Queue<Waiting>] = [.high: Queue(), .normal: Queue()]
    /// When the last calls started, `callsPerSecond` at most, the oldest first.
    private var starts = Queue<Duration>()
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
    var queued: Int { queues.values.reduce(0) { $0 + $1.count } }
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
        if back >= 0, back < starts.count { time = max(time, starts[back] + Self.window) }
        let allowance = slowness > 1 ? .zero : interval * Double(burst - 1)
        let evenly = max(spread, now) + interval * Double(position) - allowance
        return max(time + windows, evenly)
    }

    /// - Parameter deadline: When it is no longer worth starting.
    mutating func ask(
        _ id: CallID, _ priority: TransportOptions.Priority, deadline: Duration, now: Duration
    ) -> Turn {
        let before = priority == .high ? queues[.high, default: Queue()].count : queued
        let time = turn(of: before, now: now)
        if before == 0, queued == 0 || priority == .high, time <= now {
            started(now: now)
            return .now
        }
        guard time < deadline, queued < queueLimit else {
            return .no(retryAfter: turnAway(now: now))
        }
        queues[priority]?.append(Waiting(id: id, deadline: deadline))
        return .wait
    }

    /// Lets those go whose turn it is.
    /// - Returns: Who may start, who waited in vain with the time to come back, and when to look again; `nil` if nobody waits.
    mutating func advance(now: Duration) -> (
        start: [CallID], turnedAway: [(id: CallID, retryAfter: Duration)], next: Duration?
    ) {
        var start: [CallID] = []
        var turnedAway = needsReview ? review(now: now) : []
        for priority in [TransportOptions.Priority.high, .normal] {
            while let first = queues[priority]?.first {
                let time = turn(of: 0, now: now)
                if first.deadline <= max(now, time) {
                    _ = queues[priority]?.popFirst()
                    turnedAway.append((first.id, turnAway(now: now)))
                } else if time <= now {
                    _ = queues[priority]?.popFirst()
                    started(now: now)
                    start.append(first.id)
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
            var kept = Queue<Waiting>()
            while let waiting = queues[priority]?.popFirst() {
                if turn(of: position, now: now) < waiting.deadline {
                    kept.append(waiting)
                    position += 1
                } else {
                    late.append(waiting.id)
                }
            }
            queues[priority] = kept
        }
        return late.map { ($0, turnAway(now: now)) }
    }

    /// Somebody does not wait any longer; its turn goes to the next.
    mutating func left(_ id: CallID) {
        for priority in queues.keys { queues[priority]?.removeAll { $0.id == id } }
    }

    private mutating func started(now: Duration) {
        starts.append(now)
        if starts.count > callsPerSecond { _ = starts.popFirst() }
        spread = max(spread, now) + interval
    }

    /// The server refused a call because there were too many.
    mutating func throttled(retryAfter: Duration?, now: Duration) {
        coolDown = max(coolDown, now + min(max(retryAfter ?? .seconds(1), .zero), .seconds(300)))
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
}

/// First in, first out, in constant time on average.
struct Queue<Element: Sendable>: Sendable {
    private var elements: [Element] = []
    private var head = 0

    var count: Int { elements.count - head }
    var first: Element? { head < elements.count ? elements[head] : nil }
    subscript(position: Int) -> Element { elements[head + position] }

    mutating func append(_ element: Element) { elements.append(element) }

    mutating func popFirst() -> Element? {
        guard let first else { return nil }
        head += 1
        if head > 64, head > elements.count / 2 {
            elements.removeFirst(head)
            head = 0
        }
        return first
    }

    mutating func removeAll(where isOut: (Element) -> Bool) {
        elements.removeFirst(head)
        head = 0
        elements.removeAll(where: isOut)
    }
}

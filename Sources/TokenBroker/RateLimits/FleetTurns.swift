/// The turns that a fleet's shared rate limit gives to this process, and what the process does without it.
///
/// The type has no tasks, clocks or locks. ``Pacer`` asks it when the head of its queue may start.
///
/// - While the store is connected, the head needs a turn. A turn lies at most one window ahead. It is void
///   when its time has passed by more than ``lateness``, because the other processes count on it.
/// - When the store is lost, turns that have not been used are void. Until every process has noticed, and the calls
///   before have gone out of the window, there is no call. Then each process has its share of the calls in any window;
///   or, if there are more processes than calls, one call in several windows, at a random phase.
/// - When the store is back, there is no call until every process has noticed, and no other process has calls of its
///   own in the window. Then the store decides again.
struct FleetTurns: Sendable {
    /// A turn that a call has used.
    struct Turn: Sendable {
        var number: Int
        /// The earliest time at which the store may expect the call.
        var planned: Duration
        /// How much later than planned the call may start. The store was told.
        var lateness: Duration
    }

    private struct Grant {
        var turn: Turn
        /// When the call may start.
        var start: Duration
    }

    private enum Mode {
        case shared, alone
    }

    /// How much later than planned a call may start, unless the way to the store turns out to be slower.
    private static let usualLateness = Duration.milliseconds(125)
    private static let longestLateness = Duration.seconds(2)

    let processes: Int
    private let detection: Duration
    private let calls: Int
    private let window: Duration
    private var mode = Mode.alone
    private var grant: Grant?
    /// Whether the store has been asked and has not answered.
    private(set) var isAsking = false
    /// There is no call before. A new process waits for the store as long as it may take to find it.
    private var closed: Duration
    /// Whether this process is new: it has made no call, and no other process has counted on it.
    private var isNew = true
    /// The store said that there is no turn before.
    private var nextTurn: Duration = .zero
    /// The measured time that it takes to get a turn.
    private var pace: Duration
    /// How much later than planned the next call may start. It grows when turns come too late, so that a slow way to
    /// the store costs calls but does not stop them.
    private(set) var lateness = usualLateness
    /// When the store came back last.
    private var returnedAt = Duration.zero

    /// - Parameters:
    ///   - processes: The number of processes.
    ///   - detection: The longest time that a process takes to notice that the store is lost or back.
    init(processes: Int, detection: Duration, calls: Int, window: Duration) {
        self.processes = max(1, processes)
        self.detection = detection
        self.calls = max(1, calls)
        self.window = window
        pace = window * Double(self.processes) / Double(self.calls)
        closed = detection
    }

    /// The time between two calls of this process that it can count on, whatever the other processes do. The rest is
    /// for what the shared limit loses to delays.
    var certainPace: Duration { window * Double(processes) / Double(calls) * 1.1 }

    /// Whether the store decides when a call starts.
    var isShared: Bool { mode == .shared }

    /// Returns the number of calls that this process may start in any window, and the window's length.
    var share: (calls: Int, window: Duration) {
        guard mode == .alone else { return (calls, window) }
        let share = calls / processes
        return share > 0 ? (share, window) : (1, window * Double((processes + calls - 1) / calls))
    }

    /// Returns when a call may start that has `position` others before it, as far as the fleet is concerned.
    func turn(of position: Int, now: Duration) -> Duration {
        let open = max(now, closed)
        guard mode == .shared else { return open }
        return max(open, grant?.start ?? nextTurn) + pace * Double(position)
    }

    /// Whether the store is to be asked for a turn.
    func wantsTurn(now: Duration) -> Bool {
        mode == .shared && grant == nil && !isAsking && now >= closed && now >= nextTurn
    }

    /// When to ask the store for a turn; `nil` while it is being asked.
    var nextQuestion: Duration? { isAsking ? nil : max(closed, nextTurn) }

    /// Uses the turn that the call at the head needs.
    /// - Returns: Whether the call may start, and the turn that it uses, if it needs one.
    mutating func start(now: Duration) -> (mayStart: Bool, turn: Turn?) {
        guard now >= closed else { return (false, nil) }
        guard mode == .shared else {
            isNew = false
            return (true, nil)
        }
        guard let grant, now >= grant.start else { return (false, nil) }
        self.grant = nil
        guard now - grant.turn.planned <= grant.turn.lateness else {
            lateness = min(lateness * 2, Self.longestLateness)
            return (false, nil)
        }
        lateness = max(Self.usualLateness, lateness * 0.9)
        return (true, grant.turn)
    }

    // MARK: What the store says

    mutating func asked() { isAsking = true }

    /// Takes the store's answer.
    /// - Parameters:
    ///   - asked: When the store was asked.
    ///   - lateness: How late the call may start, as the store was told.
    mutating func answered(_ answer: SharedTurn, asked: Duration, lateness: Duration, now: Duration) {
        isAsking = false
        guard mode == .shared, asked >= closed else { return }
        switch answer {
        case .start(let number, let pause):
            let turn = Turn(number: number, planned: asked + pause, lateness: lateness)
            grant = Grant(turn: turn, start: now + pause)
            nextTurn = .zero
            let measured = min(
                max(now + pause - asked, window / Double(calls)), window * Double(processes) / Double(calls))
            pace = pace * 0.7 + measured * 0.3
        case .later(let pause):
            // Asks again when the turn is no more than a window ahead.
            nextTurn = now + max(pause - window, .milliseconds(20))
        }
    }

    /// - Parameter asked: When the store was asked. If it has come back since, the failure is an old one.
    mutating func failed(asked: Duration, now: Duration, chance: Double) {
        isAsking = false
        if asked >= returnedAt { lost(now: now, chance: chance) }
    }

    /// Makes all unused turns void.
    mutating func void() { grant = nil }

    mutating func returned(now: Duration) {
        guard mode == .alone else { return }
        mode = .shared
        (grant, nextTurn, returnedAt) = (nil, .zero, now)
        // A new process that finds the store only now may have been started while the others were without it, too.
        let foundAtOnce = isNew && now <= detection
        closed = foundAtOnce ? now : max(closed, now + window * 2 + .milliseconds(500))
        isNew = false
    }

    /// - Parameter chance: Sets the phase of a process that has less than one call in a window.
    mutating func lost(now: Duration, chance: Double) {
        guard mode == .shared else { return }
        mode = .alone
        grant = nil
        let share = share
        let phase = share.window > window ? share.window * chance : .zero
        closed = max(closed, now + window + detection + Pacer.longestDelay + phase)
    }
}

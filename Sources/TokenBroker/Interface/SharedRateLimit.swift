/// A rate limit that the processes of a fleet share.
///
/// **Write one.** Keep the times at which the last ``SharedLimit/calls`` calls have been counted at the latest. A call
/// starts at the earliest one window after the call that was that many calls before it. Count a call that has just been
/// given a turn as late as its start and ``SharedLimit/delay``, until it is settled. Every answer is by the store's own
/// clock. A store that knows nothing of a limit, because it is new or has lost its content, gives no turn for
/// ``SharedLimit/quarantine``.
public protocol SharedRateLimit: Sendable {
    /// Asks for a turn.
    ///
    /// - Parameters:
    ///   - limit: The limit.
    ///   - patience: How far ahead the turn may be.
    func turn(_ limit: SharedLimit, patience: Duration) async throws(SharedStoreError) -> SharedTurn

    /// Tells when a call was counted, once that is known.
    ///
    /// - Parameters:
    ///   - limit: The limit.
    ///   - number: The number of the turn.
    ///   - earlier: How much earlier the call was counted at the latest than its start and ``SharedLimit/delay``.
    func settle(_ limit: SharedLimit, number: Int, earlier: Duration) async throws(SharedStoreError)

    /// Stops all calls for a time, and tells all observers with ``SharedStoreEvent/coolDown(limit:time:)``. A longer
    /// time that is under way goes on.
    func coolDown(_ limit: SharedLimit, for time: Duration) async throws(SharedStoreError)
}

/// A limit of calls in any window of time.
public struct SharedLimit: Sendable, Hashable {
    /// The name of the limit in the store.
    public var name: String
    /// The number of calls in any window, at least 1.
    public var calls: Int
    /// The length of the window.
    public var window: Duration
    /// How much later than at its start the server may count a call.
    public var delay: Duration

    /// Creates a limit.
    ///
    /// - Parameters:
    ///   - name: The name of the limit in the store.
    ///   - calls: The number of calls in any window.
    ///   - window: The length of the window.
    ///   - delay: How much later than at its start the server may count a call.
    public init(name: String, calls: Int, window: Duration, delay: Duration) {
        self.name = name
        self.calls = max(1, calls)
        self.window = window
        self.delay = delay
    }

    /// How long there is no turn after the store has lost its content. Turns that were given before may lie one window
    /// ahead, and calls count for a window.
    public var quarantine: Duration { window * 2 + .milliseconds(500) }
}

/// The answer to a process that asks for a turn.
public enum SharedTurn: Sendable, Hashable {
    /// The call may start after this time.
    case start(number: Int, after: Duration)
    /// There is no turn within the time that the process would wait. The next one comes after this time.
    case later(Duration)
}

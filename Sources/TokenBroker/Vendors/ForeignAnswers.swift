import Synchronization

/// Counts consecutive responses from something in front of the vendor.
final class ForeignAnswers: Sendable {
    private let state = Mutex<(count: Int, told: Duration?)>((0, nil))

    var count: Int { state.withLock { $0.count } }

    /// Counts a response.
    /// - Returns: Whether to log a warning: from the third in a row on, at most once a minute.
    func note(now: Duration) -> Bool {
        state.withLock { state in
            state.count += 1
            guard state.count >= 3, state.told.map({ now - $0 >= .seconds(60) }) ?? true else { return false }
            state.told = now
            return true
        }
    }

    /// Ends the row, because the vendor itself answered.
    func end() { state.withLock { $0.count = 0 } }
}

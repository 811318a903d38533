import FoundationEssentials
import Synchronization

/// By how much a vendor's clock and ours differ, as its latest answer told.
final class VendorClock: Sendable {
    private struct State {
        var difference = 0.0
        var isFarOff = false
    }

    private let state = Mutex(State())
    /// From here on it is worth a warning.
    private static let far = 60.0

    /// The vendor's time less ours, in seconds; 0 until it is known.
    var difference: Double { state.withLock { $0.difference } }

    /// Takes note of the vendor's time in an answer.
    /// - Parameters:
    ///   - date: The vendor's time, at any moment between the request and now.
    ///   - now: Our time.
    /// - Returns: The vendor's time less ours, in seconds, and whether it has just become large.
    func note(_ date: Date, elapsed: Duration, now: Date) -> (difference: Double, hasBecomeLarge: Bool) {
        // What may be due to the way is no difference.
        let ahead = date.timeIntervalSince(now)
        let difference = ahead > 0 ? ahead : min(0, ahead + elapsed / .seconds(1))
        return state.withLock { state in
            let wasFarOff = state.isFarOff
            state = State(difference: difference, isFarOff: abs(difference) > Self.far)
            return (difference, state.isFarOff && !wasFarOff)
        }
    }
}

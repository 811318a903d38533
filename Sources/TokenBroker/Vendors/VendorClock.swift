import FoundationEssentials
import Synchronization

/// The difference between a vendor's clock and the local one, as of the latest response.
final class VendorClock: Sendable {
    private struct State {
        var difference = 0.0
        var isFarOff = false
    }

    private let state = Mutex(State())
    /// The difference beyond which a warning is logged, in seconds.
    private static let far = 60.0

    /// The vendor's time minus the local time, in seconds; 0 until it is known.
    var difference: Double { state.withLock { $0.difference } }

    /// Records the vendor's time from a response.
    /// - Parameters:
    ///   - date: The vendor's time, at some moment between the sending of the request and now.
    ///   - elapsed: The time since the request was sent.
    ///   - now: The local time.
    /// - Returns: The vendor's time minus the local time, in seconds, and whether the difference has just become large.
    func note(_ date: Date, elapsed: Duration, now: Date) -> (difference: Double, hasBecomeLarge: Bool) {
        // A difference that the time in transit explains does not count.
        let ahead = date.timeIntervalSince(now)
        let difference = ahead > 0 ? ahead : min(0, ahead + elapsed / .seconds(1))
        return state.withLock { state in
            let wasFarOff = state.isFarOff
            state = State(difference: difference, isFarOff: abs(difference) > Self.far)
            return (difference, state.isFarOff && !wasFarOff)
        }
    }
}

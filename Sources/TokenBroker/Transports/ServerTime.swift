package import FoundationEssentials
import HTTPTypes
import Synchronization

/// No server is obeyed for longer than this when it says when to come back, and nobody is told to wait longer.
package let longestRetryAfter = Duration.seconds(300)

extension TransportResponse {
    /// The time by the server's clock when this was sent: its `Date`, and its `Age` if a cache kept it (RFC 9110, section 6.6.1, and RFC 9111,
    /// section 5.1); `nil` without a readable `Date`.
    package var date: Date? {
        guard let date = headerFields[.date].flatMap({ httpDate($0) }) else { return nil }
        let age = headerFields[.age].flatMap { Double($0.trimmingWhiteSpace) } ?? 0
        return (0...Double(Int32.max)).contains(age) ? date.addingTimeInterval(age) : date
    }

    /// When the server wants the next call, at most ``longestRetryAfter``; `nil` if it does not say.
    /// - Parameter now: What a date is compared with if the server does not tell its own time.
    package func retryAfter(now: Date) -> Duration? {
        headerFields[.retryAfter].flatMap { TokenBroker.retryAfter($0, now: date ?? now) }
            .map { min($0, longestRetryAfter) }
    }
}

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

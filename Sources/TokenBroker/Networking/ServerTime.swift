package import FoundationEssentials
import HTTPTypes

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

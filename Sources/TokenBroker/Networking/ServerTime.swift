package import FoundationEssentials
import HTTPTypes

/// The longest pause that is accepted from a server, and the longest that a caller is told.
package let longestRetryAfter = Duration.seconds(300)

extension TransportResponse {
    /// The server's time when the response was sent: its `Date`, plus its `Age` if a cache kept the response (RFC 9110,
    /// section 6.6.1, and RFC 9111, section 5.1); `nil` without a readable `Date`.
    package var date: Date? {
        guard let date = headerFields[.date].flatMap({ httpDate($0) }) else { return nil }
        let age = headerFields[.age].flatMap { Double($0.trimmingWhiteSpace) } ?? 0
        return (0...Double(Int32.max)).contains(age) ? date.addingTimeInterval(age) : date
    }

    /// Returns the time until the server wants the next call, at most ``longestRetryAfter``; `nil` if it does not say.
    /// - Parameter now: The time that a date is compared with, if the response does not tell the server's time.
    package func retryAfter(now: Date) -> Duration? {
        headerFields[.retryAfter].flatMap { TokenBroker.retryAfter($0, now: date ?? now) }
            .map { min($0, longestRetryAfter) }
    }
}

/// How long to rest after failures in a row: a pause that doubles with each, up to a longest.
package struct Backoff: Sendable {
    package let first: Duration
    package let longest: Duration

    /// - Parameters:
    ///   - first: The pause after the first failure.
    ///   - longest: The longest pause.
    package init(first: Duration, longest: Duration) {
        self.first = first
        self.longest = longest
    }

    /// The pause after so many failures in a row; zero after none.
    package func pause(after failures: Int) -> Duration {
        guard failures > 0 else { return .zero }
        // Beyond that the longest is reached, whatever the first.
        return min(first * (1 << min(failures - 1, 20)), longest)
    }
}

/// The pause after consecutive failures, which doubles with each failure up to a limit.
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

    /// Returns the pause after a number of consecutive failures; zero after none.
    package func pause(after failures: Int) -> Duration {
        guard failures > 0 else { return .zero }
        // By then the longest pause is reached, whatever the first one is.
        return min(first * (1 << min(failures - 1, 20)), longest)
    }
}

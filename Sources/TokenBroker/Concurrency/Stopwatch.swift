/// The time since some beginning, on any clock.
package struct Stopwatch: Sendable {
    private let elapsed: @Sendable () -> Duration

    package init(_ clock: some Clock<Duration>) {
        // The usual one is read directly, since a cached token is handed out in about the time that going through the protocol takes.
        if clock is ContinuousClock {
            let origin = ContinuousClock.now
            elapsed = { origin.duration(to: ContinuousClock.now) }
        } else {
            let origin = clock.now
            elapsed = { origin.duration(to: clock.now) }
        }
    }

    /// Since the stopwatch was made.
    package var now: Duration { elapsed() }
}

/// The time since some origin, on any clock.
package struct Stopwatch: Sendable {
    private let elapsed: @Sendable () -> Duration

    package init(_ clock: some Clock<Duration>) {
        // The usual clock is read directly, because reading it through the protocol takes about as long as handing out
        // a cached token.
        if clock is ContinuousClock {
            let origin = ContinuousClock.now
            elapsed = { origin.duration(to: ContinuousClock.now) }
        } else {
            let origin = clock.now
            elapsed = { origin.duration(to: clock.now) }
        }
    }

    /// The time since the stopwatch was created.
    package var now: Duration { elapsed() }
}

/// Waits until `condition` holds. This is for tests whose time a `ManualClock` moves, where the condition depends on
/// other tasks but not on real time.
///
/// - Throws: ``TimedOut`` after half a minute of real time.
public func waitUntil(
    _ what: String = #function, isolation: isolated (any Actor)? = #isolation, _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + .seconds(30)
    while try await !condition() {
        guard ContinuousClock.now < deadline else { throw TimedOut(what: what) }
        await Task.yield()
    }
}

/// The condition that ``waitUntil(_:isolation:_:)`` waited for never held.
public struct TimedOut: Error, CustomStringConvertible {
    var what: String
    /// The description of the condition.
    public var description: String { "expected within 30 seconds, in \(what); it did not happen" }
}

import Synchronization

/// A flag that is true only the first time it is read.
final class Once: Sendable {
    private let done = Atomic(false)
    func first() -> Bool { !done.exchange(true, ordering: .relaxed) }
}

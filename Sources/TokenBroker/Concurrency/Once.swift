import Synchronization

/// True the first time it is asked.
final class Once: Sendable {
    private let done = Atomic(false)
    func first() -> Bool { !done.exchange(true, ordering: .relaxed) }
}

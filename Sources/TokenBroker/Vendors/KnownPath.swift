import Synchronization

/// Remembers which of the alternative paths the vendor answered last.
final class KnownPath: Sendable {
    private let index = Atomic(-1)

    func remember(_ newIndex: Int) { index.store(newIndex, ordering: .relaxed) }

    var hasAnswered: Bool { index.load(ordering: .relaxed) >= 0 }

    func inOrder(_ paths: [String]) -> [(Int, String)] {
        let known = index.load(ordering: .relaxed)
        let all = Array(paths.enumerated())
        return all.filter { $0.offset == known } + all.filter { $0.offset != known }
    }
}

import Synchronization

/// The progress of a request, for the response when time runs out, and for the log.
final class RequestProgress: Sendable {
    enum Stage { case authenticating, readingBody, checking, gettingToken }

    private struct State {
        var stage = Stage.authenticating
        var isAbandoned = false
        var facts = Audit.Facts()
    }
    private let state = Mutex(State())

    var stage: Stage { state.withLock { $0.stage } }
    var facts: Audit.Facts { state.withLock { $0.facts } }
    func note(_ change: (inout Audit.Facts) -> Void) { state.withLock { change(&$0.facts) } }

    /// Begins a stage.
    /// - Throws: ``RequestRefusal`` if the request was abandoned.
    func begin(_ stage: Stage) throws(RequestRefusal) {
        let isAbandoned = state.withLock { state in
            state.stage = stage
            return state.isAbandoned
        }
        if isAbandoned { throw RequestRefusal(.accessUnavailable, .policyTimedOut) }
    }

    /// Returns whether the current stage may be abandoned. Reading the body may not: the host may continue to read it,
    /// and there must never be two readers.
    func abandon() -> Bool {
        state.withLock { state in
            guard state.stage != .readingBody else { return false }
            state.isAbandoned = true
            return true
        }
    }
}

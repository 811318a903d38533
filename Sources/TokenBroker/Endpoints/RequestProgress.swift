import Synchronization

/// How far a request has come; for the answer when time runs out, and for the log.
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

    /// - Throws: If nobody waits for it any more.
    func begin(_ stage: Stage) throws(RequestRefusal) {
        let isAbandoned = state.withLock { state in
            state.stage = stage
            return state.isAbandoned
        }
        if isAbandoned { throw RequestRefusal(.accessUnavailable, .policyTimedOut) }
    }

    /// Whether to leave what is being done to itself. A body is not: the host may go on reading it, and there
    /// must never be two who do.
    func abandon() -> Bool {
        state.withLock { state in
            guard state.stage != .readingBody else { return false }
            state.isAbandoned = true
            return true
        }
    }
}

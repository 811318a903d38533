#if NIOSupport
import NIOCore
import NIOPosix
import Synchronization

/// A queue that lets an event loop work on one pipelined request at a time.
///
/// An event loop does not check its sockets while it has tasks to run, and a response from an endpoint is such a task.
/// A few hundred clients that pipeline endlessly would always have a task ready, and no other client would be served.
/// So requests that wait on a connection take turns in a queue of the whole loop. Requests that have just been read do
/// not.
final class TurnQueue: Sendable {
    private static let ofThread = ThreadSpecificVariable<TurnQueue>()
    // Locked, because an event loop for tests may move from one thread to another.
    private let state = Mutex<(isTaken: Bool, waiting: CircularBuffer<@Sendable () -> Void>)>((false, []))

    /// The queue of the calling event loop.
    static var current: TurnQueue {
        if let queue = ofThread.currentValue { return queue }
        let queue = TurnQueue()
        ofThread.currentValue = queue
        return queue
    }

    /// Returns whether the turn has come. If not, `whenItHas` is called once it has. In either case, a call to
    /// ``leave()`` must follow.
    func enter(_ whenItHas: @escaping @Sendable () -> Void) -> Bool {
        state.withLock { state in
            if state.isTaken {
                state.waiting.append(whenItHas)
                return false
            }
            state.isTaken = true
            return true
        }
    }

    func leave() {
        let next: (@Sendable () -> Void)? = state.withLock { state in
            let next = state.waiting.popFirst()
            state.isTaken = next != nil
            return next
        }
        next?()
    }
}
#endif

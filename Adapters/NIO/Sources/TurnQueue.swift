#if NIOSupport
import NIOCore
import NIOPosix
import Synchronization

/// Lets one pipelined request at a time be worked on in an event loop.
///
/// A loop does not look at its sockets while it has tasks to run, and an answer that comes from an endpoint is such a
/// task. A few hundred clients that pipeline without end would have one ready at any time, and nobody else would be
/// served. So what waits on a connection takes its turn in a queue of the whole loop. What has just been read does not.
final class TurnQueue: Sendable {
    private static let ofThread = ThreadSpecificVariable<TurnQueue>()
    // A loop for tests may move from one thread to another, so this is locked.
    private let state = Mutex<(isTaken: Bool, waiting: CircularBuffer<@Sendable () -> Void>)>((false, []))

    /// The one of the loop that calls.
    static var current: TurnQueue {
        if let queue = ofThread.currentValue { return queue }
        let queue = TurnQueue()
        ofThread.currentValue = queue
        return queue
    }

    /// Whether the turn has come. If not, `whenItHas` is called once it has. ``leave()`` has to follow in either case.
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

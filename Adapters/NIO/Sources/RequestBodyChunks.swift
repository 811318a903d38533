#if NIOSupport
import NIOCore
import Synchronization

/// The body of a request as it arrives, for a single reader. It asks for a chunk only when the reader waits for one.
final class RequestBodyChunks: AsyncSequence, Sendable {
    typealias Element = ByteBufferView

    private let ask: @Sendable () -> Void
    private let state: Mutex<State>

    private struct State {
        var chunks: CircularBuffer<ByteBuffer>
        var end: Result<Void, Interrupted>?
        var reader: CheckedContinuation<ByteBuffer?, any Error>?
    }

    /// The client disconnected, or the reader's task was cancelled.
    struct Interrupted: Error {}

    /// Creates a body.
    ///
    /// - Parameters:
    ///   - chunks: The chunks that have already arrived.
    ///   - ask: Called when the reader waits for a chunk.
    init(_ chunks: [ByteBuffer], ask: @escaping @Sendable () -> Void) {
        self.ask = ask
        self.state = Mutex(State(chunks: CircularBuffer(chunks)))
    }

    func append(_ chunk: ByteBuffer) {
        let reader = state.withLock { state in
            if state.reader == nil { state.chunks.append(chunk) }
            return state.reader.take()
        }
        reader?.resume(returning: chunk)
    }

    func finish() { end(.success(())) }
    func interrupt() { end(.failure(Interrupted())) }

    private func end(_ result: Result<Void, Interrupted>) {
        let reader = state.withLock { state in
            state.end = state.end ?? result
            return state.reader.take()
        }
        reader?.resume(with: Self.last(result))
    }

    private static func last(_ end: Result<Void, Interrupted>) -> Result<ByteBuffer?, any Error> {
        end.map { nil }.mapError { $0 }
    }

    func makeAsyncIterator() -> Iterator { Iterator(body: self) }

    struct Iterator: AsyncIteratorProtocol {
        let body: RequestBodyChunks
        func next() async throws -> ByteBufferView? { try await body.next()?.readableBytesView }
    }

    private func next() async throws -> ByteBuffer? {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let (result, mustAsk): (Result<ByteBuffer?, any Error>?, Bool) = state.withLock { state in
                    if let chunk = state.chunks.popFirst() { return (.success(chunk), false) }
                    if let end = state.end { return (Self.last(end), false) }
                    state.reader = continuation
                    return (nil, true)
                }
                if let result { continuation.resume(with: result) }
                if mustAsk { ask() }
            }
        } onCancel: {
            interrupt()
        }
    }
}
#endif

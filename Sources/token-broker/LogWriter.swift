#if CommandLineSupport
import Dispatch
import Metrics
import Synchronization
import TokenBroker

/// Writes lines to a stream without ever waiting for its reader.
///
/// Lines are buffered, and one thread at a time writes them. When the buffer is full, or writing fails, lines are
/// dropped and counted. As soon as there is room again, a line in their place says how many were dropped.
final class LogWriter: Sendable {
    /// The number of bytes that may be buffered. As many again may be on their way to the reader.
    static let bytes = 512 << 10

    private struct State {
        var waiting: [UInt8] = []
        var count = 0
        /// The number of lines that were dropped before those in the buffer.
        var lost = 0
        /// The number of lines that were dropped after those in the buffer. While it is not 0, no line is accepted, so
        /// that the order is preserved.
        var dropped = 0
        var isWriting = false
        var flushes: [DispatchSemaphore] = []
        var notice: @Sendable (Int) -> [UInt8] = { Array("token-broker: \($0) lines were dropped\n".utf8) }

        /// Ends writing.
        /// - Returns: The semaphores to signal, because nothing is being written anymore.
        mutating func end() -> [DispatchSemaphore] {
            defer { (isWriting, flushes) = (false, []) }
            return flushes
        }
    }

    private let stream: StandardStream
    private let limit: Int
    private let state = Mutex(State())
    private let droppedLines: Counter
    // The queue's thread may block forever in a write. Neither another queue nor the end of the process waits for it.
    private let queue = DispatchQueue(label: "token-broker.log")

    init(
        _ stream: StandardStream, limit: Int = LogWriter.bytes,
        droppedLines: Counter = Counter(.logLinesDropped)
    ) {
        self.stream = stream
        self.limit = limit
        self.droppedLines = droppedLines
    }

    /// - Parameter notice: Returns the line that says how many lines were dropped.
    func describeDropped(_ notice: @escaping @Sendable (Int) -> [UInt8]) { state.withLock { $0.notice = notice } }

    /// Accepts whole lines, which are either written or dropped together.
    func write(_ lines: [UInt8]) {
        let (isTaken, wakes) = state.withLock { state in
            let isTaken = state.dropped == 0 && state.waiting.count + lines.count <= limit
            if isTaken {
                state.waiting += lines
                state.count += 1
            } else {
                state.dropped += 1
            }
            defer { state.isWriting = true }
            return (isTaken, !state.isWriting)
        }
        if !isTaken { droppedLines.increment() }
        if wakes { queue.async { self.drain() } }
    }

    func line(_ text: String) { write(Array("\(text)\n".utf8)) }

    /// Waits until everything is written, but no longer than `duration`.
    func flush(within duration: Duration) {
        let isWritten = DispatchSemaphore(value: 0)
        let isWriting = state.withLock { state in
            if state.isWriting { state.flushes.append(isWritten) }
            return state.isWriting
        }
        guard isWriting else { return }
        _ = isWritten.wait(timeout: .now() + .milliseconds(Int(duration / .milliseconds(1))))
    }

    private struct Batch {
        var lines: [UInt8]
        var count: Int
        var lost: Int
        var notice: @Sendable (Int) -> [UInt8]
    }

    private func drain() {
        while let batch = next() {
            // Reports the lost lines first. If the report cannot be written, a later one includes them.
            let isTold = batch.lost == 0 || stream.write(batch.notice(batch.lost)) == 0
            if isTold, stream.write(batch.lines) == 0 { continue }
            return giveUp(batch, isTold: isTold)
        }
    }

    private func next() -> Batch? {
        let (batch, flushes) = state.withLock { state -> (Batch?, [DispatchSemaphore]) in
            guard !state.waiting.isEmpty || state.lost + state.dropped > 0 else { return (nil, state.end()) }
            let batch = Batch(lines: state.waiting, count: state.count, lost: state.lost, notice: state.notice)
            (state.waiting, state.count, state.lost, state.dropped) = ([], 0, state.dropped, 0)
            return (batch, [])
        }
        for flush in flushes { flush.signal() }
        return batch
    }

    /// Drops the batch and the buffer, because there is no reader or the disk is full. The next line is another
    /// attempt.
    private func giveUp(_ batch: Batch, isTold: Bool) {
        let (untold, flushes) = state.withLock { state in
            let untold = batch.count + state.count
            state.lost += (isTold ? 0 : batch.lost) + untold + state.dropped
            (state.waiting, state.count, state.dropped) = ([], 0, 0)
            return (untold, state.end())
        }
        droppedLines.increment(by: untold)
        for flush in flushes { flush.signal() }
    }
}
#endif

/// A host's request body for a route adapter: all readers share one iterator, and the body knows whether its end was
/// reached.
public actor WatchedBody<Base: AsyncSequence & Sendable>: AsyncSequence
where Base.Element: Collection & Sendable, Base.Element.Element == UInt8 {
    /// A chunk of the body.
    public typealias Element = Base.Element

    private var iterator: Base.AsyncIterator
    /// A Boolean value that indicates whether the end of the body was reached.
    public private(set) var isFinished = false

    /// Creates a watched body.
    ///
    /// - Parameter base: The host's chunks.
    public init(_ base: Base) { self.iterator = base.makeAsyncIterator() }

    /// Returns an iterator. All iterators share one position.
    public nonisolated func makeAsyncIterator() -> Iterator { Iterator(body: self) }

    /// An iterator over the chunks of the body.
    public struct Iterator: AsyncIteratorProtocol {
        let body: WatchedBody
        /// Returns the next chunk; `nil` at the end.
        public func next() async throws -> Element? { try await body.next() }
    }

    private func next() async throws -> Element? {
        guard !isFinished else { return nil }
        var iterator = iterator
        defer { self.iterator = iterator }
        let chunk = try await iterator.next(isolation: self)
        if chunk == nil { isFinished = true }
        return chunk
    }

    /// Reads a limited amount of the unread body, so that the client sees the response instead of a connection reset.
    ///
    /// - Parameters:
    ///   - limit: The number of bytes after which to stop.
    ///   - time: How long to read.
    /// - Returns: Whether the end was reached, so that the connection can serve another request.
    public func drain(upTo limit: Int = 1 << 20, within time: Duration = .seconds(2)) async -> Bool {
        _ = try? await withTimeLimit(time, Alarm(ContinuousClock())) { [self] in
            var count = 0
            for try await chunk in self {
                count += chunk.count
                if count > limit { break }
            }
        }
        return isFinished
    }
}

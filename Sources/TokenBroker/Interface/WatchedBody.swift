/// A host's request body as a route adapter needs it: read through one iterator, whoever reads, and it is known
/// whether the end was reached.
public actor WatchedBody<Base: AsyncSequence & Sendable>: AsyncSequence
where Base.Element: Collection & Sendable, Base.Element.Element == UInt8 {
    /// A chunk.
    public typealias Element = Base.Element

    private var iterator: Base.AsyncIterator
    /// Whether the end was reached.
    public private(set) var isFinished = false

    /// - Parameter base: The host's chunks.
    public init(_ base: Base) { self.iterator = base.makeAsyncIterator() }

    /// All iterators share one position.
    public nonisolated func makeAsyncIterator() -> Iterator { Iterator(body: self) }

    /// Reads the body.
    public struct Iterator: AsyncIteratorProtocol {
        let body: WatchedBody
        /// The next chunk; `nil` at the end.
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

    /// Reads a little of what nobody read, so that the client sees the answer rather than a reset.
    /// - Returns: Whether that was all, and the connection can be used for another request.
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

/// A request body that is read on demand, once.
public struct EndpointBody: Sendable {
    private let read: @Sendable (Int, _ progress: @Sendable (Int) -> Void) async throws(Failure) -> [UInt8]

    /// Creates a body from bytes that have already been received.
    public init(_ bytes: [UInt8] = []) {
        self.read = { (limit, _) throws(Failure) in
            guard bytes.count <= limit else { throw Failure.tooLarge }
            return bytes
        }
    }

    /// Creates a body that arrives in chunks.
    ///
    /// - Parameters:
    ///   - chunks: The chunks. The sequence must stop waiting when the reading task is cancelled.
    ///   - announcedLength: The value of `Content-Length`. A body whose announced length exceeds the limit is refused
    ///     unread.
    public init<Chunks: AsyncSequence & Sendable>(_ chunks: Chunks, announcedLength: Int? = nil)
    where Chunks.Element: Collection, Chunks.Element.Element == UInt8 {
        self.read = { (limit, progress) throws(Failure) in
            if let announcedLength, announcedLength > limit { throw Failure.tooLarge }
            var bytes: [UInt8] = []
            bytes.reserveCapacity(min(announcedLength ?? 0, limit))
            do {
                for try await chunk in chunks {
                    guard chunk.count <= limit - bytes.count else { throw Failure.tooLarge }
                    bytes.append(contentsOf: chunk)
                    progress(bytes.count)
                }
            } catch let failure as Failure {
                throw failure
            } catch {
                throw Failure.interrupted
            }
            return bytes
        }
    }

    /// Reads the whole body. Call this once.
    ///
    /// - Parameter limit: The largest size that is accepted, in bytes.
    /// - Throws: ``Failure/tooLarge`` as soon as the body exceeds `limit`; ``Failure/interrupted`` if it ends early.
    public func collect(upTo limit: Int) async throws(Failure) -> [UInt8] { try await read(limit) { _ in } }

    /// Reads the whole body, and reports the number of bytes received so far after each chunk.
    func collect(upTo limit: Int, progress: @Sendable (Int) -> Void) async throws(Failure) -> [UInt8] {
        try await read(limit, progress)
    }

    /// Why a body could not be read.
    public struct Failure: SafeToLog, Sendable, Hashable {
        private enum Value: String { case tooLarge, interrupted }
        private let value: Value
        private init(_ value: Value) { self.value = value }
        /// The name of the failure. Safe to log.
        public var description: String { value.rawValue }

        /// The body is larger than the reader accepts.
        public static let tooLarge = Self(.tooLarge)
        /// The body ended early.
        public static let interrupted = Self(.interrupted)
    }
}

/// A request body that is read when it is asked for, once.
public struct EndpointBody: Sendable {
    private let read: @Sendable (Int, _ progress: @Sendable (Int) -> Void) async throws(Failure) -> [UInt8]

    /// A body that is already there.
    public init(_ bytes: [UInt8] = []) {
        self.read = { (limit, _) throws(Failure) in
            guard bytes.count <= limit else { throw Failure.tooLarge }
            return bytes
        }
    }

    /// A body that arrives in chunks. The sequence must end its wait when the reading task is cancelled.
    /// - Parameter announcedLength: The value of `Content-Length`, so that an over-long body is refused unread.
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

    /// The whole body. Call it once.
    /// - Throws: ``Failure/tooLarge`` as soon as it is over `limit` bytes; ``Failure/interrupted`` if it ends early.
    public func collect(upTo limit: Int) async throws(Failure) -> [UInt8] { try await read(limit) { _ in } }

    /// The same, telling after each chunk how many bytes have come.
    func collect(upTo limit: Int, progress: @Sendable (Int) -> Void) async throws(Failure) -> [UInt8] {
        try await read(limit, progress)
    }

    /// Why a body could not be read.
    public struct Failure: SafeToLog, Sendable, Hashable {
        private enum Value: String { case tooLarge, interrupted }
        private let value: Value
        private init(_ value: Value) { self.value = value }
        /// Safe to log.
        public var description: String { value.rawValue }

        /// The body is larger than the reader accepts.
        public static let tooLarge = Self(.tooLarge)
        /// The body ended early.
        public static let interrupted = Self(.interrupted)
    }
}

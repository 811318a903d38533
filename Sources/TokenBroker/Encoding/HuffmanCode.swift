/// Reads bits from bytes, the least significant bit first. If too few bits have arrived, the caller restores the cursor
/// and tries again later.
struct BitReader: Sendable {
    struct Cursor {
        var position = 0
        /// Bits taken from the bytes before the position.
        var buffer: UInt64 = 0
        var count = 0
    }

    private var bytes: [UInt8] = []
    var cursor = Cursor()

    var isEmpty: Bool { cursor.count == 0 && cursor.position == bytes.count }

    mutating func append(_ new: RawSpan) { new.withUnsafeBytes { bytes.append(contentsOf: $0) } }

    /// Discards the bytes before the cursor.
    mutating func compact() {
        bytes.removeFirst(cursor.position)
        cursor.position = 0
    }

    /// Takes bits; `nil` if there are too few.
    /// - Parameter count: The number of bits, at most 48.
    mutating func take(_ count: Int) -> UInt64? {
        while cursor.count < count {
            guard cursor.position < bytes.count else { return nil }
            cursor.buffer |= UInt64(bytes[cursor.position]) << cursor.count
            cursor.position += 1
            cursor.count += 8
        }
        defer {
            cursor.buffer >>= count
            cursor.count -= count
        }
        return cursor.buffer & (1 << count - 1)
    }

    mutating func skip(_ bytes: Int) -> Bool {
        for _ in 0..<bytes where take(8) == nil { return false }
        return true
    }

    mutating func alignToByte() { _ = take(cursor.count % 8) }

    /// Decodes the next symbol of a code; `nil` if it has not arrived completely.
    mutating func decode(_ code: HuffmanCode) throws(TransportError) -> Int? {
        // In canonical order, the codes of one length are consecutive, and follow the shorter ones.
        var (value, first, index) = (0, 0, 0)
        for count in code.counts {
            guard let bit = take(1) else { return nil }
            value |= Int(bit)
            if value - first < count { return code.symbols[index + value - first] }
            index += count
            first = (first + count) << 1
            value <<= 1
        }
        throw TransportError(.malformed, message: "the content coding is malformed")
    }
}

/// A canonical Huffman code: the number of codes of each length from 1 to 15 bits, and the symbols in order.
struct HuffmanCode: Sendable {
    let counts: [Int]
    let symbols: [Int]
    /// Whether every sequence of bits has a meaning.
    let isComplete: Bool

    /// - Parameter lengths: The length of each symbol's code; 0 for a symbol without one.
    /// - Returns: `nil` if the lengths are so short that the codes could not all be distinct.
    init?(_ lengths: some RandomAccessCollection<UInt8>) {
        var counts = [Int](repeating: 0, count: 15)
        for length in lengths where length > 0 { counts[Int(length) - 1] += 1 }
        var left = 1
        for count in counts {
            left = left << 1 - count
            guard left >= 0 else { return nil }
        }
        isComplete = left == 0
        var ends = [Int]()
        for count in counts { ends.append((ends.last ?? 0) + count) }
        var symbols = [Int](repeating: 0, count: ends.last ?? 0)
        // Backwards, so that each length's next free place is found from its end.
        for (symbol, length) in zip((0..<lengths.count).reversed(), lengths.reversed()) where length > 0 {
            ends[Int(length) - 1] -= 1
            symbols[ends[Int(length) - 1]] = symbol
        }
        (self.counts, self.symbols) = (counts, symbols)
    }

    private init(fixed lengths: [(UInt8, Int)]) {
        let lengths = lengths.flatMap { repeatElement($0.0, count: $0.1) }
        self = HuffmanCode(lengths) ?? HuffmanCode(none: ())
    }

    private init(none: Void) { (counts, symbols, isComplete) = ([], [], false) }

    static let fixedLengths = HuffmanCode(fixed: [(8, 144), (9, 112), (7, 24), (8, 8)])
    static let fixedDistances = HuffmanCode(fixed: [(5, 32)])
}

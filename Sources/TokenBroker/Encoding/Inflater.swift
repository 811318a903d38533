/// Removes one `gzip` (RFC 1952) or `deflate` (RFC 1950, or RFC 1951 without its wrapper) coding as its bytes arrive.
///
/// Each step of the format is taken as a whole. If its bytes have not all arrived, it is repeated when there are more.
struct Inflater: Sendable {
    enum Format: Sendable { case gzip, deflate }

    private enum State {
        case beginning
        /// The optional parts of a gzip header that are left, as flags.
        case gzipHeader(UInt8)
        case block
        case stored(left: Int)
        case compressed(lengths: HuffmanCode, distances: HuffmanCode)
        case trailer
        case ended
    }

    private enum Wrapper { case none, zlib, gzip }

    /// The output decoded so far.
    private(set) var output: [UInt8] = []
    private let format: Format
    private let maximumBytes: Int
    private var wrapper = Wrapper.none
    private var state = State.beginning
    private var isLastBlock = false
    private var bits = BitReader()
    /// Where the current member of a gzip stream begins in the output, and how far its checksum has been computed.
    private var memberStart = 0
    private var checked = 0
    private var checksum: UInt32 = 0

    init(_ format: Format, maximumBytes: Int) {
        self.format = format
        self.maximumBytes = maximumBytes
    }

    /// Whether the stream is complete. A stream without a single byte is an empty body.
    var isComplete: Bool {
        switch state {
        case .ended: true
        case .beginning: bits.isEmpty
        default: false
        }
    }

    /// Decodes as much as has arrived.
    /// - Throws: ``TransportError`` with the code `malformed`, or `tooLarge` if the output would exceed its limit.
    mutating func append(_ bytes: RawSpan) throws(TransportError) {
        bits.append(bytes)
        while try step() {}
        bits.compact()
    }

    private static let malformed = TransportError(.malformed, message: "the content coding is malformed")
    private static let tooLarge = TransportError(.tooLarge, message: "the decoded response body is too large")

    /// Takes one step.
    /// - Returns: Whether to continue; `false` if the next step needs more bytes.
    private mutating func step() throws(TransportError) -> Bool {
        let start = bits.cursor
        switch state {
        case .beginning: return try begin() || stop(at: start)
        case .gzipHeader(let flags): return readGzipHeader(flags) || stop(at: start)
        case .block: return try beginBlock() || stop(at: start)
        case .trailer: return try readTrailer() || stop(at: start)
        case .ended: return try readOn()
        case .stored(let left): return try copy(left)
        case .compressed(let lengths, let distances): return try inflate(lengths, distances)
        }
    }

    /// Resets the cursor to the start of a step that needs more bytes.
    private mutating func stop(at start: BitReader.Cursor) -> Bool {
        bits.cursor = start
        return false
    }

    // MARK: Wrappers

    private mutating func begin() throws(TransportError) -> Bool {
        (memberStart, checked) = (output.count, output.count)
        if format == .gzip {
            guard let start = bits.take(32), let _ = bits.take(48) else { return false }
            // The magic bytes 31 and 139, the method deflate, and no reserved flag.
            guard start & 0xff_ffff == 0x08_8b1f, start >> 29 == 0 else { throw Self.malformed }
            (wrapper, checksum) = (.gzip, 0)
            state = .gzipHeader(UInt8(truncatingIfNeeded: start >> 24))
            return true
        }
        let start = bits.cursor
        guard let header = bits.take(16) else { return false }
        let (method, flags) = (header & 0xff, header >> 8)
        if method & 0xf == 8, (method << 8 | flags) % 31 == 0 {
            // HTTP knows no preset dictionary.
            guard flags & 0x20 == 0 else { throw Self.malformed }
            (wrapper, checksum) = (.zlib, 1)
        } else {
            bits.cursor = start
            wrapper = .none
        }
        state = .block
        return true
    }

    /// Skips the optional parts of the header, such as a file name.
    private mutating func readGzipHeader(_ flags: UInt8) -> Bool {
        if flags & 4 != 0 {
            guard let length = bits.take(16), bits.skip(Int(length)) else { return false }
            state = .gzipHeader(flags & ~4)
        } else if flags & 0x18 != 0 {
            // A zero-terminated text: the file name, then the comment.
            guard let byte = bits.take(8) else { return false }
            if byte == 0 { state = .gzipHeader(flags & 8 != 0 ? flags & ~8 : flags & ~0x10) }
        } else if flags & 2 != 0 {
            guard let _ = bits.take(16) else { return false }
            state = .gzipHeader(flags & ~2)
        } else {
            state = .block
        }
        return true
    }

    /// Reads what follows the end: another member of a gzip stream, or zeros as padding.
    private mutating func readOn() throws(TransportError) -> Bool {
        let start = bits.cursor
        guard let next = bits.take(8) else { return false }
        if next != 0 {
            guard format == .gzip else { throw Self.malformed }
            bits.cursor = start
            state = .beginning
        }
        return true
    }

    private mutating func readTrailer() throws(TransportError) -> Bool {
        bits.alignToByte()
        updateChecksum()
        switch wrapper {
        case .none: break
        case .zlib:
            guard let sum = bits.take(32) else { return false }
            guard UInt32(truncatingIfNeeded: sum).byteSwapped == checksum else { throw Self.malformed }
        case .gzip:
            guard let sum = bits.take(32), let count = bits.take(32) else { return false }
            let length = UInt32(truncatingIfNeeded: output.count - memberStart)
            guard UInt32(truncatingIfNeeded: sum) == checksum, UInt32(truncatingIfNeeded: count) == length else {
                throw Self.malformed
            }
        }
        state = .ended
        return true
    }

    private mutating func updateChecksum() {
        let new = output[checked...]
        checked = output.count
        switch wrapper {
        case .none: break
        case .gzip:
            checksum = ~new.reduce(~checksum) { Self.crcTable[Int(($0 ^ UInt32($1)) & 0xff)] ^ ($0 >> 8) }
        case .zlib:
            let (low, high) = new.reduce((checksum & 0xffff, checksum >> 16)) { sums, byte in
                let low = (sums.0 + UInt32(byte)) % 65_521
                return (low, (sums.1 + low) % 65_521)
            }
            checksum = high << 16 | low
        }
    }

    private static let crcTable: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { sum, _ in sum & 1 == 0 ? sum >> 1 : 0xedb8_8320 ^ (sum >> 1) }
    }

    // MARK: Blocks

    private mutating func beginBlock() throws(TransportError) -> Bool {
        guard let header = bits.take(3) else { return false }
        switch header >> 1 {
        case 0:
            bits.alignToByte()
            guard let lengths = bits.take(32) else { return false }
            guard lengths & 0xffff == ~lengths >> 16 & 0xffff else { throw Self.malformed }
            state = .stored(left: Int(lengths & 0xffff))
        case 1: state = .compressed(lengths: .fixedLengths, distances: .fixedDistances)
        case 2:
            guard let (lengths, distances) = try readCodes() else { return false }
            state = .compressed(lengths: lengths, distances: distances)
        default: throw Self.malformed
        }
        isLastBlock = header & 1 == 1
        return true
    }

    private mutating func endBlock() { state = isLastBlock ? .trailer : .block }

    private mutating func copy(_ left: Int) throws(TransportError) -> Bool {
        for copied in 0..<left {
            guard let byte = bits.take(8) else {
                state = .stored(left: left - copied)
                return false
            }
            try emit(UInt8(byte))
        }
        endBlock()
        return true
    }

    private mutating func emit(_ byte: UInt8) throws(TransportError) {
        guard output.count < maximumBytes else { throw Self.tooLarge }
        output.append(byte)
    }

    /// Reads the two codes of a block that brings its own; `nil` if they have not arrived completely.
    private mutating func readCodes() throws(TransportError) -> (HuffmanCode, HuffmanCode)? {
        guard let counts = bits.take(14) else { return nil }
        let (lengthCount, distanceCount) = (Int(counts & 31) + 257, Int(counts >> 5 & 31) + 1)
        guard lengthCount <= 286, distanceCount <= 30 else { throw Self.malformed }
        var lengths = [UInt8](repeating: 0, count: 19)
        for symbol in Self.codeLengthOrder.prefix(Int(counts >> 10) + 4) {
            guard let length = bits.take(3) else { return nil }
            lengths[symbol] = UInt8(length)
        }
        guard let code = HuffmanCode(lengths[...]), code.isComplete else { throw Self.malformed }
        lengths = []
        while lengths.count < lengthCount + distanceCount {
            guard let symbol = try bits.decode(code) else { return nil }
            guard symbol > 15 else {
                lengths.append(UInt8(symbol))
                continue
            }
            let (width, base) = symbol == 16 ? (2, 3) : symbol == 17 ? (3, 3) : (7, 11)
            guard let more = bits.take(width) else { return nil }
            guard let repeated = symbol == 16 ? lengths.last : 0 else { throw Self.malformed }
            lengths.append(contentsOf: repeatElement(repeated, count: base + Int(more)))
        }
        // A block without an end symbol could never end. A block with a single distance may have an incomplete code for
        // it.
        guard lengths.count == lengthCount + distanceCount, lengths[256] > 0,
            let literals = HuffmanCode(lengths[..<lengthCount]), literals.isComplete,
            let distances = HuffmanCode(lengths[lengthCount...]), distances.isComplete || distances.symbols.count <= 1
        else { throw Self.malformed }
        return (literals, distances)
    }

    private mutating func inflate(_ lengths: HuffmanCode, _ distances: HuffmanCode) throws(TransportError) -> Bool {
        while true {
            let start = bits.cursor
            guard let symbol = try bits.decode(lengths) else { return stop(at: start) }
            if symbol < 256 {
                try emit(UInt8(symbol))
                continue
            }
            if symbol == 256 {
                endBlock()
                return true
            }
            guard symbol - 257 < Self.lengths.count else { throw Self.malformed }
            let (lengthBase, lengthBits) = Self.lengths[symbol - 257]
            guard let more = bits.take(lengthBits), let code = try bits.decode(distances) else {
                return stop(at: start)
            }
            guard code < Self.distances.count else { throw Self.malformed }
            let (distanceBase, distanceBits) = Self.distances[code]
            guard let further = bits.take(distanceBits) else { return stop(at: start) }
            let (length, distance) = (lengthBase + Int(more), distanceBase + Int(further))
            guard distance <= output.count - memberStart else { throw Self.malformed }
            guard length <= maximumBytes - output.count else { throw Self.tooLarge }
            for _ in 0..<length { output.append(output[output.count - distance]) }
        }
    }

    private static let codeLengthOrder = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]

    /// The meaning of a symbol from 257 on, or of a distance code: its base value, and the number of bits that are
    /// added to it.
    private static let lengths =
        (0..<8).map { (base: $0 + 3, bits: 0) }
        + ranges(from: 11, bits: (1...5).flatMap { [$0, $0, $0, $0] })
        + [(258, 0)]
    private static let distances =
        (0..<4).map { (base: $0 + 1, bits: 0) } + ranges(from: 5, bits: (1...13).flatMap { [$0, $0] })

    private static func ranges(from start: Int, bits: [Int]) -> [(base: Int, bits: Int)] {
        var base = start
        return bits.map { bits in
            defer { base += 1 << bits }
            return (base, bits)
        }
    }
}

#if RedisSupport
import NIOCore

/// A value of RESP2, the protocol of Redis.
enum RESPValue: Sendable, Equatable {
    case text(String)
    /// An error reply: its first word only, since the rest may repeat what was sent.
    case error(String)
    case integer(Int)
    case bytes([UInt8])
    case null
    case array([RESPValue])

    var integer: Int? { if case .integer(let value) = self { value } else { nil } }
    var array: [RESPValue]? { if case .array(let values) = self { values } else { nil } }
    /// The text of a simple or of a bulk string.
    var string: String? {
        switch self {
        case .text(let text): text
        case .bytes(let bytes): String(decoding: bytes, as: UTF8.self)
        default: nil
        }
    }
    var byteString: [UInt8]? {
        switch self {
        case .text(let text): Array(text.utf8)
        case .bytes(let bytes): bytes
        default: nil
        }
    }
}

/// Parses RESP2 as it arrives. It reads each byte once, however the bytes are divided, and bounds what a reply may
/// hold.
struct RESPParser {
    /// The reply is malformed or too large. The connection is of no use after that.
    struct Malformed: Error {}

    static let longestLine = 4096
    static let longestReply = 4 << 20
    static let mostElements = 4096
    static let deepest = 4

    private var buffer = ByteBuffer()
    /// The arrays that are not complete, the outermost first.
    private var open: [(missing: Int, elements: [RESPValue])] = []
    /// The length of the bulk string that is being read.
    private var length: Int?
    /// The number of bytes that were searched for the end of a line.
    private var searched = 0
    /// The size of the reply so far.
    private var size = 0

    mutating func append(_ bytes: inout ByteBuffer) { buffer.writeBuffer(&bytes) }

    /// Returns the next complete reply; `nil` if there is none yet.
    mutating func next() throws(Malformed) -> RESPValue? {
        while let value = try element() {
            var value = value
            while true {
                guard var array = open.popLast() else {
                    size = 0
                    buffer.discardReadBytes()
                    return value
                }
                array.elements.append(value)
                array.missing -= 1
                if array.missing > 0 {
                    open.append(array)
                    break
                }
                value = .array(array.elements)
            }
        }
        return nil
    }

    /// Returns the next value that is not an array with elements.
    private mutating func element() throws(Malformed) -> RESPValue? {
        while true {
            if let length {
                guard buffer.readableBytes >= length + 2 else { return nil }
                guard let bytes = buffer.readBytes(length: length), buffer.readBytes(length: 2) == [13, 10] else {
                    throw Malformed()
                }
                self.length = nil
                return .bytes(bytes)
            }
            guard let line = try line(), let type = line.first else { return nil }
            let rest = line.dropFirst()
            switch type {
            case UInt8(ascii: "+"): return .text(String(decoding: rest, as: UTF8.self))
            case UInt8(ascii: "-"): return .error(Self.code(rest))
            case UInt8(ascii: ":"): return .integer(try Self.integer(rest))
            case UInt8(ascii: "$"):
                let count = try Self.integer(rest)
                if count == -1 { return .null }
                guard count >= 0 else { throw Malformed() }
                try grow(by: count)
                length = count
            case UInt8(ascii: "*"):
                let count = try Self.integer(rest)
                if count == -1 { return .null }
                if count == 0 { return .array([]) }
                guard 1...Self.mostElements ~= count, open.count < Self.deepest else { throw Malformed() }
                open.append((count, []))
            default: throw Malformed()
            }
        }
    }

    /// Returns the next line without its end. It is not empty.
    private mutating func line() throws(Malformed) -> [UInt8]? {
        let view = buffer.readableBytesView
        guard let end = view.dropFirst(searched).firstIndex(of: 10) else {
            searched = view.count
            guard searched <= Self.longestLine else { throw Malformed() }
            return nil
        }
        searched = 0
        let count = end - view.startIndex
        guard (2...Self.longestLine).contains(count), let line = buffer.readBytes(length: count + 1),
            line.dropLast().last == 13
        else { throw Malformed() }
        try grow(by: line.count)
        return Array(line.dropLast(2))
    }

    private mutating func grow(by count: Int) throws(Malformed) {
        guard count <= Self.longestReply, size + count <= Self.longestReply else { throw Malformed() }
        size += count
    }

    private static func integer(_ digits: ArraySlice<UInt8>) throws(Malformed) -> Int {
        guard digits.count <= 20, let value = Int(String(decoding: digits, as: UTF8.self)) else { throw Malformed() }
        return value
    }

    /// Returns the code of an error, which is its first word in capitals; `ERR` if there is none.
    private static func code(_ text: ArraySlice<UInt8>) -> String {
        let word = text.prefix { UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0 }
        return (1...20).contains(word.count) ? String(decoding: word, as: UTF8.self) : "ERR"
    }
}
#endif

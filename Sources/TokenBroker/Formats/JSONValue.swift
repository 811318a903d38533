import FoundationEssentials

/// Any JSON value (RFC 8259).
public enum JSONValue: Sendable, Hashable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// The member of an object; `nil` if this is no object or has none of that name.
    public subscript(name: String) -> JSONValue? {
        if case .object(let members) = self { members[name] } else { nil }
    }

    /// The text of a string; otherwise `nil`.
    public var string: String? { if case .string(let value) = self { value } else { nil } }
    /// The value of a number; otherwise `nil`.
    public var number: Double? { if case .number(let value) = self { value } else { nil } }
}

extension JSONValue: Codable {
    /// Reads any JSON value.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode([String: JSONValue].self) {
            self = .object(value)
        } else {
            self = .array(try container.decode([JSONValue].self))
        }
    }

    /// Writes the same JSON value.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }
}

extension JSONValue {
    /// Parses a whole JSON text in UTF-8. Stricter than the decoder underneath: a key that stands twice in an object, and nesting deeper
    /// than `maximumDepth`, are errors.
    /// - Throws: ``JSONError``, without any of the content.
    package static func parse(_ bytes: [UInt8], maximumDepth: Int = 32) throws(JSONError) -> JSONValue {
        // The decoder also reads UTF-16 and UTF-32, in which the scanner would see other quotes and brackets. Either has a NUL in
        // each JSON text, and UTF-8 in none (RFC 8259, sections 7 and 8.1).
        guard !bytes.contains(0) else { throw .malformed }
        var scanner = JSONScanner(bytes, maximumDepth: maximumDepth)
        try scanner.scan()
        do {
            return try JSONDecoder().decode(JSONValue.self, from: Data(bytes))
        } catch {
            throw .malformed
        }
    }

    /// This value as compact JSON text with sorted keys.
    package var serialized: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Encoding fails only for numbers JSON has no form for; those are `null` (as in ECMAScript).
        return (try? encoder.encode(self)).map(Array.init) ?? Array("null".utf8)
    }
}

/// Why a JSON text was not accepted.
package enum JSONError: Error, Sendable {
    case malformed, duplicateKey, tooDeep
}

/// Walks over a JSON text to find what a decoder does not tell: duplicate keys and excessive depth. It checks
/// structure only as far as that needs; the decoder that runs afterwards checks the rest.
struct JSONScanner {
    private let bytes: [UInt8]
    private let maximumDepth: Int
    private var position = 0
    /// One entry for each open container: the keys seen in an object, `nil` for an array.
    private var open: [Set<String>?] = []
    private var expectsKey = false
    /// The decoder lets a comma before a closing bracket pass; JSON does not.
    private var isAfterComma = false

    init(_ bytes: [UInt8], maximumDepth: Int) {
        self.bytes = bytes
        self.maximumDepth = maximumDepth
    }

    mutating func scan() throws(JSONError) {
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if byte == UInt8(ascii: " ") || (UInt8(ascii: "\t")...UInt8(ascii: "\r")).contains(byte) { continue }
            let closesAfterComma = isAfterComma && (byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]"))
            guard !closesAfterComma else { throw .malformed }
            isAfterComma = byte == UInt8(ascii: ",")
            switch byte {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                guard open.count < maximumDepth else { throw .tooDeep }
                expectsKey = byte == UInt8(ascii: "{")
                open.append(expectsKey ? [] : nil)
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                guard open.popLast() != nil else { throw .malformed }
                expectsKey = false
            case UInt8(ascii: ","):
                expectsKey = open.last.flatMap { $0 } != nil
            case UInt8(ascii: "\""):
                let start = position - 1
                try skipString()
                guard expectsKey, let last = open.indices.last else { continue }
                expectsKey = false
                let key = try key(start..<position)
                guard open[last]?.insert(key).inserted != false else { throw .duplicateKey }
            default:
                continue
            }
        }
        guard open.isEmpty else { throw .malformed }
    }

    private mutating func skipString() throws(JSONError) {
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if byte == UInt8(ascii: "\"") { return }
            if byte == UInt8(ascii: "\\") { position += 1 }
        }
        throw .malformed
    }

    /// The key between quotes, escapes resolved, so that two spellings of one key are seen to be one.
    private func key(_ range: Range<Int>) throws(JSONError) -> String {
        let quoted = bytes[range]
        if !quoted.contains(UInt8(ascii: "\\")) {
            guard let key = String(validating: quoted.dropFirst().dropLast(), as: UTF8.self) else { throw .malformed }
            return key
        }
        do {
            return try JSONDecoder().decode(String.self, from: Data(quoted))
        } catch {
            throw .malformed
        }
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByDictionaryLiteral {
    /// A JSON string.
    public init(stringLiteral value: String) { self = .string(value) }

    /// A JSON object; of a key that stands twice the last value counts.
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(Dictionary(elements) { $1 })
    }
}

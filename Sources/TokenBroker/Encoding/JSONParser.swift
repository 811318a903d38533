extension JSONValue {
    /// Parses a whole JSON text in one pass, in time linear in its length.
    ///
    /// The grammar is that of RFC 8259, without extensions. The text is UTF-8, with or without a byte order mark; a
    /// lone surrogate is malformed. A repeated name in an object, however it is escaped, and nesting deeper than
    /// `maximumDepth` are errors. Numbers keep their digits.
    ///
    /// - Parameters:
    ///   - bytes: The JSON text in UTF-8.
    ///   - maximumDepth: The maximum nesting of arrays and objects.
    /// - Throws: ``JSONError``, which names the kind of error and contains nothing of the text.
    public static func parse(_ bytes: [UInt8], maximumDepth: Int = 32) throws(JSONError) -> JSONValue {
        var parser = JSONParser(bytes: bytes, maximumDepth: maximumDepth)
        return try parser.document()
    }
}

/// Reads a JSON text from start to end, each byte once.
private struct JSONParser {
    let bytes: [UInt8]
    let maximumDepth: Int
    private var position = 0
    private var depth = 0

    init(bytes: [UInt8], maximumDepth: Int) {
        self.bytes = bytes
        self.maximumDepth = maximumDepth
    }

    mutating func document() throws(JSONError) -> JSONValue {
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
        skipWhiteSpace()
        let value = try value()
        skipWhiteSpace()
        guard position == bytes.count else { throw .malformed }
        return value
    }

    private mutating func value() throws(JSONError) -> JSONValue {
        switch peek {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        default: return .number(try number())
        }
    }

    // MARK: Containers

    private mutating func object() throws(JSONError) -> JSONValue {
        try enter()
        var members: [ExactString: JSONValue] = [:]
        if !closes(UInt8(ascii: "}")) {
            repeat {
                skipWhiteSpace()
                guard peek == UInt8(ascii: "\"") else { throw .malformed }
                let name = try string()
                skipWhiteSpace()
                guard peek == UInt8(ascii: ":") else { throw .malformed }
                position += 1
                skipWhiteSpace()
                let value = try value()
                guard members.updateValue(value, forKey: name) == nil else { throw .duplicateKey }
            } while try continues(until: UInt8(ascii: "}"))
        }
        depth -= 1
        return .object(members)
    }

    private mutating func array() throws(JSONError) -> JSONValue {
        try enter()
        var elements: [JSONValue] = []
        if !closes(UInt8(ascii: "]")) {
            repeat {
                skipWhiteSpace()
                elements.append(try value())
            } while try continues(until: UInt8(ascii: "]"))
        }
        depth -= 1
        return .array(elements)
    }

    private mutating func enter() throws(JSONError) {
        guard depth < maximumDepth else { throw .tooDeep }
        depth += 1
        position += 1
    }

    /// Whether a container that has just begun is empty and ends here.
    private mutating func closes(_ bracket: UInt8) -> Bool {
        skipWhiteSpace()
        guard peek == bracket else { return false }
        position += 1
        return true
    }

    /// Whether another element follows the one that was read.
    private mutating func continues(until bracket: UInt8) throws(JSONError) -> Bool {
        skipWhiteSpace()
        let next = peek
        guard next == UInt8(ascii: ",") || next == bracket else { throw .malformed }
        position += 1
        return next != bracket
    }

    // MARK: Strings

    private mutating func string() throws(JSONError) -> ExactString {
        position += 1
        let start = position
        while let byte = peek {
            switch byte {
            case UInt8(ascii: "\""):
                defer { position += 1 }
                return try text(bytes[start..<position])
            case UInt8(ascii: "\\"): return try stringWithEscapes(from: start)
            case ..<0x20: throw .malformed
            default: position += 1
            }
        }
        throw .malformed
    }

    private mutating func stringWithEscapes(from start: Int) throws(JSONError) -> ExactString {
        var content = Array(bytes[start..<position])
        while let byte = peek {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return try text(content[...])
            case UInt8(ascii: "\\"): try appendEscape(to: &content)
            case ..<0x20: throw .malformed
            default: content.append(byte)
            }
        }
        throw .malformed
    }

    private mutating func appendEscape(to content: inout [UInt8]) throws(JSONError) {
        guard let byte = peek else { throw .malformed }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(byte)
        case UInt8(ascii: "b"): content.append(0x08)
        case UInt8(ascii: "f"): content.append(0x0C)
        case UInt8(ascii: "n"): content.append(0x0A)
        case UInt8(ascii: "r"): content.append(0x0D)
        case UInt8(ascii: "t"): content.append(0x09)
        case UInt8(ascii: "u"):
            content.append(contentsOf: UTF8.encode(try escapedScalar()) ?? UTF8.encodedReplacementCharacter)
        default: throw .malformed
        }
    }

    /// Returns the scalar of `\uXXXX`, or of two escapes that form a surrogate pair.
    private mutating func escapedScalar() throws(JSONError) -> Unicode.Scalar {
        let first = try codeUnit()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard 0xD800...0xDBFF ~= first, peek == UInt8(ascii: "\\") else { throw .malformed }
        position += 1
        guard peek == UInt8(ascii: "u") else { throw .malformed }
        position += 1
        let second = try codeUnit()
        guard 0xDC00...0xDFFF ~= second,
            let scalar = Unicode.Scalar(0x10000 + (UInt32(first) - 0xD800) << 10 + (UInt32(second) - 0xDC00))
        else { throw .malformed }
        return scalar
    }

    private mutating func codeUnit() throws(JSONError) -> UInt16 {
        var unit: UInt16 = 0
        for _ in 0..<4 {
            guard let digit = peek.flatMap(hexDigitValue) else { throw .malformed }
            unit = unit << 4 | UInt16(digit)
            position += 1
        }
        return unit
    }

    private func text(_ bytes: ArraySlice<UInt8>) throws(JSONError) -> ExactString {
        // Decoding would replace invalid UTF-8. ASCII is always valid, and validating costs four times as much.
        if bytes.allSatisfy({ $0 < 0x80 }) { return ExactString(String(decoding: bytes, as: UTF8.self)) }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw .malformed }
        return ExactString(text)
    }

    // MARK: Numbers and literals

    private mutating func number() throws(JSONError) -> JSONNumber {
        let start = position
        if peek == UInt8(ascii: "-") { position += 1 }
        if peek == UInt8(ascii: "0") { position += 1 } else { try skipDigits() }
        if peek == UInt8(ascii: ".") {
            position += 1
            try skipDigits()
        }
        if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
            position += 1
            if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { position += 1 }
            try skipDigits()
        }
        return JSONNumber(checked: String(decoding: bytes[start..<position], as: UTF8.self))
    }

    private mutating func skipDigits() throws(JSONError) {
        let start = position
        while let byte = peek, 0x30...0x39 ~= byte { position += 1 }
        guard position > start else { throw .malformed }
    }

    private mutating func literal(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        for expected in "\(word)".utf8 {
            guard peek == expected else { throw .malformed }
            position += 1
        }
        return value
    }

    // MARK: Bytes

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipWhiteSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }
}

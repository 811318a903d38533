/// An element of the field `Accept`.
struct MediaRange {
    /// The specificity of a range with a type and a subtype, without parameters.
    static let namedSpecificity = 2

    private var type = ""
    private var subtype = ""
    private var parameters: [String: String] = [:]
    /// The weight in thousandths.
    private(set) var quality = 1_000

    /// Reads the field; `nil` if any part of it is malformed.
    static func list(_ field: String) -> [MediaRange]? {
        var parser = FieldParser(field)
        var ranges: [MediaRange] = []
        repeat {
            parser.skipSpace()
            // Empty elements are allowed.
            if parser.isAtEnd || parser.next == UInt8(ascii: ",") { continue }
            guard let range = MediaRange(&parser) else { return nil }
            ranges.append(range)
        } while parser.skip(UInt8(ascii: ","))
        return parser.isAtEnd ? ranges : nil
    }

    private init?(_ parser: inout FieldParser) {
        guard let type = parser.token(), parser.skip(UInt8(ascii: "/")), let subtype = parser.token() else {
            return nil
        }
        (self.type, self.subtype) = (type, subtype)
        parser.skipSpace()
        while parser.skip(UInt8(ascii: ";")) {
            parser.skipSpace()
            // Empty parameters are allowed.
            guard let name = parser.token() else { continue }
            guard parser.skip(UInt8(ascii: "=")), let value = parser.token() ?? parser.quotedString() else {
                return nil
            }
            if name == "q" {
                guard let quality = Self.quality(value) else { return nil }
                self.quality = quality
            } else {
                parameters[name] = value
            }
            parser.skipSpace()
        }
        if type == "*", subtype != "*" { return nil }
    }

    /// Returns how specific the range is about a format; `nil` if it does not match.
    func specificity(for type: String, _ subtype: String, version: String) -> Int? {
        if self.type == "*" { return parameters.isEmpty ? 0 : nil }
        guard self.type == type else { return nil }
        if self.subtype == "*" { return parameters.isEmpty ? 1 : nil }
        guard self.subtype == subtype else { return nil }
        for (name, value) in parameters {
            switch name {
            case "version": if value != version { return nil }
            case "charset": if value != "utf-8" { return nil }
            // All names are valid without escaping.
            case "escaping": break
            default: return nil
            }
        }
        return Self.namedSpecificity + parameters.count
    }

    /// Reads a weight, which has at most three decimals, in thousandths.
    private static func quality(_ text: String) -> Int? {
        let bytes = Array(text.utf8)
        guard let first = bytes.first, first == UInt8(ascii: "0") || first == UInt8(ascii: "1"), bytes.count <= 5 else {
            return nil
        }
        guard bytes.dropFirst().first ?? UInt8(ascii: ".") == UInt8(ascii: ".") else { return nil }
        var quality = first == UInt8(ascii: "1") ? 1_000 : 0
        var place = 100
        for byte in bytes.dropFirst(2) {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            quality += Int(byte - UInt8(ascii: "0")) * place
            place /= 10
        }
        return quality <= 1_000 ? quality : nil
    }
}

/// Reads the parts of a field (RFC 9110, section 5.6). Letters become lower case.
private struct FieldParser {
    private var rest: ArraySlice<UInt8>

    init(_ field: String) {
        rest = field.utf8.map { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 | 0x20 : $0 }[...]
    }

    var isAtEnd: Bool { rest.isEmpty }
    var next: UInt8? { rest.first }

    mutating func skip(_ byte: UInt8) -> Bool {
        guard rest.first == byte else { return false }
        rest.removeFirst()
        return true
    }

    mutating func skipSpace() { rest = rest.drop { $0 == 0x20 || $0 == 0x09 } }

    mutating func token() -> String? {
        let token = rest.prefix(while: Self.isTokenCharacter)
        guard !token.isEmpty else { return nil }
        rest = rest[token.endIndex...]
        return String(decoding: token, as: UTF8.self)
    }

    mutating func quotedString() -> String? {
        guard skip(UInt8(ascii: "\"")) else { return nil }
        var content: [UInt8] = []
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\"") { return String(decoding: content, as: UTF8.self) }
            guard byte == UInt8(ascii: "\\") else {
                content.append(byte)
                continue
            }
            guard let escaped = rest.popFirst() else { return nil }
            content.append(escaped)
        }
        return nil
    }

    private static func isTokenCharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}

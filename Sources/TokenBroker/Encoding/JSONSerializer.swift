extension JSONValue {
    /// The value as compact JSON text in UTF-8. Members are sorted by the bytes of their names.
    public var serialized: [UInt8] { serialized(indented: false) }

    /// Returns the value as JSON text in UTF-8.
    /// - Parameter isIndented: Whether each element is on a line of its own, for people to read.
    package func serialized(indented isIndented: Bool) -> [UInt8] {
        var serializer = JSONSerializer(isIndented: isIndented)
        serializer.append(self)
        return serializer.bytes
    }
}

/// Writes JSON text.
private struct JSONSerializer {
    let isIndented: Bool
    private(set) var bytes: [UInt8] = []
    private var depth = 0

    init(isIndented: Bool) { self.isIndented = isIndented }

    mutating func append(_ value: JSONValue) {
        switch value {
        case .null: bytes += "null".utf8
        case .bool(let value): bytes += value ? "true".utf8 : "false".utf8
        case .number(let value): bytes += value.description.utf8
        case .string(let value): append(value)
        case .array(let elements):
            appendContainer(UInt8(ascii: "["), UInt8(ascii: "]"), elements) { $0.append($1) }
        case .object(let members):
            appendContainer(UInt8(ascii: "{"), UInt8(ascii: "}"), members.sorted { $0.key < $1.key }) {
                serializer, member in
                serializer.append(member.key)
                serializer.bytes += (serializer.isIndented ? ": " : ":").utf8
                serializer.append(member.value)
            }
        }
    }

    private mutating func appendContainer<Element>(
        _ opening: UInt8, _ closing: UInt8, _ elements: [Element],
        _ append: (inout JSONSerializer, Element) -> Void
    ) {
        bytes.append(opening)
        depth += 1
        for (index, element) in elements.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            breakLine()
            append(&self, element)
        }
        depth -= 1
        if !elements.isEmpty { breakLine() }
        bytes.append(closing)
    }

    private mutating func breakLine() {
        guard isIndented else { return }
        bytes.append(UInt8(ascii: "\n"))
        bytes += repeatElement(UInt8(ascii: " "), count: depth * 2)
    }

    private mutating func append(_ text: ExactString) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): bytes += "\\\"".utf8
            case UInt8(ascii: "\\"): bytes += "\\\\".utf8
            case 0x0A: bytes += "\\n".utf8
            case 0x0D: bytes += "\\r".utf8
            case 0x09: bytes += "\\t".utf8
            case ..<0x20:
                bytes += (byte < 0x10 ? "\\u000" : "\\u00").utf8
                bytes += String(byte, radix: 16).utf8
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}

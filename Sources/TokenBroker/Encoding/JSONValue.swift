/// Any JSON value (RFC 8259). Strings and member names compare by their bytes.
public enum JSONValue: Sendable, Hashable {
    case null
    case bool(Bool)
    case number(JSONNumber)
    case string(ExactString)
    case array([JSONValue])
    case object([ExactString: JSONValue])

    /// The member of an object; `nil` if this is no object or has no such member.
    public subscript(name: ExactString) -> JSONValue? {
        if case .object(let members) = self { members[name] } else { nil }
    }

    /// The member of an object; `nil` if this is no object or has no such member.
    public subscript(name: String) -> JSONValue? { self[ExactString(name)] }

    /// The text of a string; otherwise `nil`.
    public var string: ExactString? { if case .string(let value) = self { value } else { nil } }
    /// The value of a number, rounded to the nearest floating-point number; otherwise `nil`.
    public var number: Double? { if case .number(let value) = self { value.double } else { nil } }
}

extension JSONValue {
    /// A JSON string.
    public static func string(_ text: String) -> JSONValue { .string(ExactString(text)) }

    /// A JSON number; `null` for infinities and NaN, as in ECMAScript.
    public static func number(_ value: Double) -> JSONValue { JSONNumber(value).map(JSONValue.number) ?? .null }

    /// A JSON number.
    public static func number(_ value: Int) -> JSONValue { .number(JSONNumber(value)) }

    /// A JSON object.
    public static func object(_ members: [String: JSONValue]) -> JSONValue {
        .object(Dictionary(members.map { (ExactString($0), $1) }) { $1 })
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByDictionaryLiteral {
    /// A JSON string.
    public init(stringLiteral value: String) { self = .string(ExactString(value)) }

    /// A JSON object; of a name that is repeated the last value counts.
    public init(dictionaryLiteral elements: (ExactString, JSONValue)...) {
        self = .object(Dictionary(elements) { $1 })
    }
}

/// Why a JSON text was not accepted. It holds none of the content.
public enum JSONError: Error, Sendable, Hashable {
    case malformed, duplicateKey, tooDeep
}

/// Any JSON value (RFC 8259). Strings and member names are compared by their bytes.
public enum JSONValue: Sendable, Hashable {
    case null
    case bool(Bool)
    case number(JSONNumber)
    case string(ExactString)
    case array([JSONValue])
    case object([ExactString: JSONValue])

    /// The member of an object; `nil` if this is not an object or has no such member.
    public subscript(name: ExactString) -> JSONValue? {
        if case .object(let members) = self { members[name] } else { nil }
    }

    /// The member of an object; `nil` if this is not an object or has no such member.
    public subscript(name: String) -> JSONValue? { self[ExactString(name)] }

    /// The text of a string; `nil` for any other value.
    public var string: ExactString? { if case .string(let value) = self { value } else { nil } }
    /// The value of a number, rounded to the nearest floating-point number; `nil` for any other value, or out of range.
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

    /// A JSON object. If a name is repeated, its last value counts.
    public init(dictionaryLiteral elements: (ExactString, JSONValue)...) {
        self = .object(Dictionary(elements) { $1 })
    }
}

/// The reason why a JSON text was refused. It contains nothing of the text.
public enum JSONError: Error, Sendable, Hashable {
    case malformed, duplicateKey, tooDeep
}

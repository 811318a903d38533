#if ConfigurationSupport
import Configuration
import TokenBroker

/// Why a value was not accepted.
struct Rejection: Error {
    /// What was found, to complete "found …".
    var found: String
    /// The value that was probably meant.
    var nearest: String?
    /// The index of the rejected element of a list.
    var element: Int?
    /// What makes the value acceptable, as a clause.
    var remedy: String?

    /// - Parameter isShown: Whether to show the value if it is short and plain. This is safe only where a choice, a
    ///   number, a duration, a Boolean or an origin is expected. Elsewhere, the value could be a misplaced secret.
    init(_ input: ConfigurationInput, isShown: Bool = false, nearest: String? = nil) {
        self.found = (isShown ? input.shown : nil) ?? input.kind
        self.nearest = nearest
    }
}

/// A value as it was found, before it is interpreted.
enum ConfigurationInput: Sendable {
    /// An unquoted value from the file. Quotes distinguish text from numbers.
    case plain(String)
    case quoted(String)
    /// From the environment, where every value is text, which the key interprets.
    case variable(String)
    case list([ConfigurationInput])
    case map([Member])

    struct Member: Sendable {
        var name: String
        var value: ConfigurationInput
    }

    init(_ node: ConfigurationNode) {
        switch node.content {
        case .scalar(let text, let isPlain): self = isPlain ? .plain(text) : .quoted(text)
        case .list(let elements): self = .list(elements.map(Self.init))
        case .map(let members): self = .map(members.map { Member(name: $0.name, value: Self($0.value)) })
        }
    }

    /// Reads a value from a reader, whatever its type; `nil` if the reader has none.
    init?(_ reader: ConfigReader, _ key: ConfigKey, isList: Bool) {
        // A reader throws the same error for a value of another type as for a missing key.
        if isList, let elements = try? reader.requiredStringArray(forKey: key) {
            self = .list(elements.map(ConfigurationInput.variable))
        } else if let text = try? reader.requiredString(forKey: key) {
            self =
                isList
                ? .list(text.split(separator: ",").map { .variable(String($0.trimmingWhiteSpace)) }) : .variable(text)
        } else if let number = try? reader.requiredInt(forKey: key) {
            self = .variable("\(number)")
        } else if let flag = try? reader.requiredBool(forKey: key) {
            self = .variable("\(flag)")
        } else if let number = try? reader.requiredDouble(forKey: key) {
            self = .variable("\(number)")
        } else if let elements = try? reader.requiredStringArray(forKey: key) {
            self = .list(elements.map(ConfigurationInput.variable))
        } else {
            return nil
        }
    }

    /// The value as text; `nil` for an unquoted number, Boolean or null.
    var text: String? {
        switch self {
        case .quoted(let text), .variable(let text): text
        case .plain(let text): isNothing || flag != nil || number != nil ? nil : text
        default: nil
        }
    }

    /// The value as the text of a decimal number.
    var number: String? {
        switch self {
        case .plain(let text), .variable(let text): isNumber(text) ? text : nil
        default: nil
        }
    }

    var flag: Bool? {
        switch self {
        case .plain("true"), .variable("true"): true
        case .plain("false"), .variable("false"): false
        default: nil
        }
    }

    /// The value as JSON. Plain text is interpreted as in YAML's JSON schema.
    var json: JSONValue {
        switch self {
        case .list(let elements): .array(elements.map(\.json))
        case .map(let members): .object(Dictionary(members.map { ($0.name, $0.value.json) }) { $1 })
        case .plain where isNothing: .null
        case .plain(let text), .quoted(let text), .variable(let text):
            flag.map(JSONValue.bool) ?? number.flatMap(Self.json(ofNumber:)) ?? .string(text)
        }
    }

    /// Returns a number with all its digits, unless it is in a notation that only YAML allows.
    private static func json(ofNumber text: String) -> JSONValue? {
        (try? JSONValue.parse(Array(text.utf8))) ?? Double(text).map { JSONValue.number($0) }
    }

    /// The value as written, if it consists of at most 64 characters from `[A-Za-z0-9._:/*-]`.
    var shown: String? {
        func plain(_ text: String) -> String? {
            let isPlain = text.utf8.allSatisfy { byte in
                UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20 || "0123456789._:/*-".utf8.contains(byte)
            }
            return isPlain && (1...64).contains(text.utf8.count) ? text : nil
        }
        switch self {
        case .plain where isNothing: return nil
        case .plain(let text), .variable(let text): return plain(text)
        // Shows the quotes: they are the mistake where a number or a Boolean is expected.
        case .quoted(let text): return plain(text).map { "\"\($0)\"" }
        case .list, .map: return nil
        }
    }

    /// The kind of value in words, without the value itself.
    var kind: String {
        switch self {
        case .plain where isNothing: "nothing"
        case .plain where flag != nil: "true or false"
        case .plain where number != nil: "a number"
        case .quoted(""), .variable(""): "empty text"
        case .plain, .quoted, .variable: "other text"
        case .list: "a list"
        case .map: "a map"
        }
    }

    private var isNothing: Bool {
        switch self {
        case .plain(""), .plain("~"), .plain("null"): true
        default: false
        }
    }
}

private func isNumber(_ text: String) -> Bool {
    let digits = text.drop { "+-".contains($0) }
    return text.count - digits.count <= 1 && digits.first?.isNumber == true && digits.allSatisfy(\.isASCII)
        && Double(digits) != nil && !digits.contains("x")
}
#endif

#if ConfigurationSupport
public import TokenBroker

/// One key that a plug-in reads: its name, its type with the range, its default.
///
/// The declaration drives everything: reading, the error when the value is of another type or out of range, the
/// refusal of keys that nobody declared, the environment variable that overrides it, and the documentation.
///
/// ```swift
/// ConfigurationKey("timeout", .duration(.zero ... .seconds(60)), default: .seconds(10), "For one call.")
/// ConfigurationKey("caFile", .optional(.text), default: nil, "PEM file of trusted certificates.")
/// ConfigurationKey("url", .text, "Where to ask. It has to be there.")
/// ```
public struct ConfigurationKey<Value: Sendable>: Sendable {
    /// Within its section, in camel case: `connectTimeout`.
    public let name: String
    /// What is accepted.
    public let type: ConfigurationType<Value>
    /// `nil` if the key has to be there.
    public let defaultValue: Value?
    /// What it is for, in a sentence or two.
    public let summary: String
    /// What it was called before. A file or a variable that still says that is answered with the new name.
    public let formerName: String?

    /// A key with a default.
    public init(
        _ name: String, _ type: ConfigurationType<Value>, default value: Value, formerly formerName: String? = nil,
        _ summary: String
    ) {
        self.name = name
        self.type = type
        self.defaultValue = value
        self.summary = summary
        self.formerName = formerName
    }

    /// A key that has to be there.
    public init(
        _ name: String, _ type: ConfigurationType<Value>, formerly formerName: String? = nil, _ summary: String
    ) {
        self.name = name
        self.type = type
        self.defaultValue = nil
        self.summary = summary
        self.formerName = formerName
    }

    /// The declaration as text.
    public var documentation: KeyDocumentation {
        KeyDocumentation(
            name: name, type: type.description, defaultText: defaultValue.map(type.text), summary: summary
        )
    }
}

/// What a key's declaration says, for a table or a help text.
public struct KeyDocumentation: Sendable, Hashable {
    /// Within its section.
    public var name: String
    /// In words, with the range: `a whole number from 0 to 65535`.
    public var type: String
    /// As it would be written in a file, `none` for nothing; `nil` if the key has to be there.
    public var defaultText: String?
    /// What it is for.
    public var summary: String
}

/// The type of a key: what is accepted, and how to say so.
public struct ConfigurationType<Value: Sendable>: Sendable, CustomStringConvertible {
    /// What is expected, so that "expected …" is a sentence: `a whole number from 0 to 65535`.
    public let description: String
    /// How it is spelled, for those who got it wrong.
    let example: String?
    let read: @Sendable (ConfigurationInput) throws(Rejection) -> Value
    /// A value as it would be written in a file.
    let text: @Sendable (Value) -> String
    /// Whether it is a list, which a variable spells with commas.
    let isList: Bool

    init(
        _ description: String, example: String? = nil, isList: Bool = false,
        text: @escaping @Sendable (Value) -> String,
        read: @escaping @Sendable (ConfigurationInput) throws(Rejection) -> Value
    ) {
        self.description = description
        self.example = example
        self.isList = isList
        self.text = text
        self.read = read
    }

    /// What is expected, with the example.
    var expectation: String { example.map { "\(description), as \($0)" } ?? description }

    /// Turns what was read into something else; what `transform` answers with `nil` is refused.
    /// - Parameters:
    ///   - description: What is expected then, to complete "expected …".
    ///   - text: The reverse of `transform`, for the documentation.
    public func map<Other: Sendable>(
        _ description: String, text: @escaping @Sendable (Other) -> String,
        _ transform: @escaping @Sendable (Value) -> Other?
    ) -> ConfigurationType<Other> {
        let read = read
        return ConfigurationType<Other>(description, isList: isList, text: text) { (input) throws(Rejection) in
            guard let value = transform(try read(input)) else { throw Rejection(input) }
            return value
        }
    }

    /// The same for fewer values.
    public func filter(
        _ description: String, _ accepts: @escaping @Sendable (Value) -> Bool
    ) -> ConfigurationType<Value> {
        map(description, text: text) { accepts($0) ? $0 : nil }
    }
}

extension ConfigurationType where Value == String {
    /// Any text but an empty one, and without control characters.
    public static var text: Self {
        Self("text", text: { $0 }) { (input) throws(Rejection) in
            guard let text = input.text, !text.isEmpty,
                !text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F })
            else { throw Rejection(input) }
            return text
        }
    }

    /// One of several words, such as the ids of plug-ins.
    public static func choice(_ choices: [String]) -> Self { choice(choices, withheld: [:]) }

    /// The id of a plug-in. One whose trait is off is answered with the trait.
    static func id<Context, Part>(of plugins: [String: Plugin<Context, Part>]) -> Self {
        choice(available(plugins), withheld: plugins.filter { $0.value.read == nil }.compactMapValues(\.trait))
    }

    private static func choice(_ choices: [String], withheld: [String: String]) -> Self {
        let names = choices.isEmpty ? "none, since none is registered" : choices.joined(separator: ", ")
        return Self("one of " + names, text: { $0 }) { (input) throws(Rejection) in
            guard let text = input.text, choices.contains(text) else {
                var rejection = Rejection(
                    input, isShown: true, nearest: input.text.flatMap { nearest(to: $0, among: choices) })
                if let text = input.text, let trait = withheld[text] {
                    rejection.found = "\(text), which this program was built without: it needs the trait \(trait)"
                    rejection.nearest = nil
                }
                throw rejection
            }
            return text
        }
    }
}

extension ConfigurationType where Value == IPAddressBlock {
    /// An IP address, or a block of them in CIDR notation.
    public static var addressBlock: Self {
        ConfigurationType<String>.text.map(
            "an IP address, or a block such as 10.0.0.0/8 or fd00::/8", text: { _ in "a block" },
            { IPAddressBlock($0) }
        )
    }
}

extension ConfigurationType where Value == Int {
    /// A whole number.
    public static func integer(_ range: ClosedRange<Int>) -> Self {
        let description = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        return Self(description, text: { "\($0)" }) { (input) throws(Rejection) in
            guard let value = input.number.flatMap({ Int($0) }), range.contains(value) else {
                throw Rejection(input, isShown: true)
            }
            return value
        }
    }
}

extension ConfigurationType where Value == Bool {
    /// `true` or `false`.
    public static var flag: Self {
        Self("true or false", text: { "\($0)" }) { (input) throws(Rejection) in
            guard let value = input.flag else { throw Rejection(input, isShown: true) }
            return value
        }
    }
}

extension ConfigurationType where Value == Duration {
    /// A number and its unit: `250ms`, `10s`, `2m`, `1h`.
    public static func duration(_ range: ClosedRange<Duration>) -> Self {
        let description =
            "a duration from \(range.lowerBound.configured) to \(range.upperBound.configured)"
        return Self(description, example: "250ms, 10s, 2m or 1h", text: { $0.configured }) {
            (input) throws(Rejection) in
            guard let value = input.text.flatMap({ Duration(configured: $0) }), range.contains(value) else {
                throw Rejection(input, isShown: true)
            }
            return value
        }
    }
}

extension ConfigurationType where Value == String {
    /// An origin as browsers send it (RFC 6454, section 6.2), since it is compared as a whole: another spelling would
    /// never match.
    static var origin: Self {
        Self("an exact origin: http(s)://host[:port] in lower case, without path, slash or *", text: { $0 }) {
            (input) throws(Rejection) in
            let text = input.text
            let origin = text.flatMap { normalizedOrigin($0) }
            guard let text, let origin, ExactString(text) == ExactString(origin) else {
                throw Rejection(input, isShown: true, nearest: origin)
            }
            return text
        }
    }
}

/// The origin of a URL or of an origin in another spelling; `nil` if it has none, or a name with a `*`.
private func normalizedOrigin(_ text: String) -> String? {
    guard let scheme = text.firstRange(of: "://"), !text.contains("*") else { return nil }
    let end = text[scheme.upperBound...].firstIndex(of: "/") ?? text.endIndex
    guard let origin = Origin(text[..<end].lowercased()),
        let defaultPort = ["https": UInt16(443), "http": 80][origin.scheme]
    else { return nil }
    return origin.authority.port == defaultPort
        ? "\(origin.scheme)://\(origin.authority.host)" : origin.description
}

extension ConfigurationType where Value == ServerURL {
    /// Where to reach a server.
    public static var url: Self {
        // What stands there is not shown: a query may hold a secret.
        Self("an https URL, or an http URL with a loopback host", text: { _ in "a URL" }) { (input) throws(Rejection) in
            guard let text = input.text, let url = try? ServerURL(text) else { throw Rejection(input) }
            return url
        }
    }
}

extension ConfigurationType where Value == JSONValue {
    /// A map, written out or as JSON in text.
    public static var object: Self {
        Self("a map, or a JSON object as text", text: { String(decoding: $0.serialized, as: UTF8.self) }) {
            (input) throws(Rejection) in
            if case .map = input { return input.json }
            guard let text = input.text, let value = try? JSONValue.parse(Array(text.utf8)), case .object = value else {
                throw Rejection(input)
            }
            return value
        }
    }
}

extension ConfigurationType {
    /// The same, but it may be left out: with `nil` as the default it need not be there.
    public static func optional<Wrapped: Sendable>(
        _ type: ConfigurationType<Wrapped>
    ) -> Self where Value == Wrapped? {
        Self(type.description, example: type.example, isList: type.isList, text: { $0.map(type.text) ?? "none" }) {
            (input) throws(Rejection) in try type.read(input)
        }
    }

    /// A list; as a variable, with commas between the elements.
    public static func list<Element: Sendable>(
        of element: ConfigurationType<Element>
    ) -> Self where Value == [Element] {
        Self(
            "a list, each element \(element)", isList: true,
            text: { "[" + $0.map(element.text).joined(separator: ", ") + "]" }
        ) { (input) throws(Rejection) in
            guard case .list(let inputs) = input else { throw Rejection(input) }
            var elements: [Element] = []
            for (index, input) in inputs.enumerated() {
                do throws(Rejection) {
                    elements.append(try element.read(input))
                } catch {
                    var rejection = error
                    rejection.element = index
                    throw rejection
                }
            }
            return elements
        }
    }
}

/// Why a value was not accepted.
struct Rejection: Error {
    /// What was found, to complete "found …".
    var found: String
    /// What may have been meant.
    var nearest: String?
    /// Which element of a list it is about.
    var element: Int?

    /// - Parameter isShown: Whether to show the value: that of a choice, a number, a duration, a flag or an origin, and
    ///   only if it is short and plain. Anything else that stands in the wrong place could be a secret.
    init(_ input: ConfigurationInput, isShown: Bool = false, nearest: String? = nil) {
        self.found = (isShown ? input.shown : nil) ?? input.kind
        self.nearest = nearest
    }
}

/// A value as it was found, before anybody knows what it should be.
enum ConfigurationInput: Sendable {
    /// From the file, where quotes tell text from numbers.
    case plain(String)
    case quoted(String)
    /// From the environment, where everything is text and is read as the key wants it.
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

    /// As text; a plain number, flag or nothing is none.
    var text: String? {
        switch self {
        case .quoted(let text), .variable(let text): text
        case .plain(let text): isNothing || flag != nil || number != nil ? nil : text
        default: nil
        }
    }

    /// As a decimal number.
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

    /// As JSON, with plain text read as YAML's JSON schema does.
    var json: JSONValue {
        switch self {
        case .list(let elements): .array(elements.map(\.json))
        case .map(let members): .object(Dictionary(members.map { ($0.name, $0.value.json) }) { $1 })
        case .plain where isNothing: .null
        case .plain(let text), .quoted(let text), .variable(let text):
            flag.map(JSONValue.bool) ?? number.flatMap(Self.json(ofNumber:)) ?? .string(text)
        }
    }

    /// A number with its digits, unless it is written as YAML alone allows.
    private static func json(ofNumber text: String) -> JSONValue? {
        (try? JSONValue.parse(Array(text.utf8))) ?? Double(text).map { JSONValue.number($0) }
    }

    /// The value as it was written, if it is at most 64 of `[A-Za-z0-9._:/*-]`.
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
        // Quotes are what is wrong where a number or a flag is expected.
        case .quoted(let text): return plain(text).map { "\"\($0)\"" }
        case .list, .map: return nil
        }
    }

    /// In words, without the value.
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

/// The candidate that `name` was most likely meant to be; `nil` if none is near. Case, `_` and `-` do not count.
package func nearest(to name: String, among candidates: some Sequence<String>) -> String? {
    func plain(_ text: String) -> [Character] { text.lowercased().filter { $0 != "_" && $0 != "-" } }
    guard name.count <= 64 else { return nil }
    let name = plain(name)
    return
        candidates
        .map { (candidate: $0, distance: editDistance(name, plain($0))) }
        .filter { $0.distance <= max(1, name.count / 3) }
        .min { $0.distance < $1.distance }?
        .candidate
}

/// How many insertions, deletions, substitutions and swaps of neighbours turn one into the other.
private func editDistance(_ left: [Character], _ right: [Character]) -> Int {
    var rows = [Array(0...right.count)]
    for (i, a) in left.enumerated() {
        var row = [i + 1]
        for (j, b) in right.enumerated() {
            var distance = min(rows[i][j] + (a == b ? 0 : 1), rows[i][j + 1] + 1, row[j] + 1)
            if i > 0, j > 0, a == right[j - 1], b == left[i - 1] {
                distance = min(distance, rows[i - 1][j - 1] + 1)
            }
            row.append(distance)
        }
        rows.append(row)
    }
    return rows[left.count][right.count]
}
#endif

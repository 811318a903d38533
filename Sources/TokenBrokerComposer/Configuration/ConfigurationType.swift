#if ConfigurationSupport
public import TokenBroker

/// The type of a key's value: the values that are accepted, and their description in errors.
public struct ConfigurationType<Value: Sendable>: Sendable, CustomStringConvertible {
    /// The accepted values, worded to complete "expected …": `a whole number from 0 to 65535`.
    public let description: String
    /// Examples of the notation, for error messages.
    let example: String?
    let read: @Sendable (ConfigurationInput) throws(Rejection) -> Value
    /// Returns a value as written in a file.
    let text: @Sendable (Value) -> String
    /// Whether the value is a list, whose elements are separated by commas in a variable.
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

    /// The description with the examples.
    var expectation: String { example.map { "\(description), such as \($0)" } ?? description }

    /// Returns a type that converts each value, and refuses values that cannot be converted.
    /// - Parameters:
    ///   - description: The accepted values, worded to complete "expected …".
    ///   - text: The reverse of `transform`, for the documentation.
    ///   - transform: Converts a value; returns `nil` to refuse it.
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

    /// Returns a type that accepts only values that satisfy a predicate.
    /// - Parameters:
    ///   - description: The accepted values, worded to complete "expected …".
    ///   - accepts: Returns whether a value is accepted.
    public func filter(
        _ description: String, _ accepts: @escaping @Sendable (Value) -> Bool
    ) -> ConfigurationType<Value> {
        map(description, text: text) { accepts($0) ? $0 : nil }
    }
}

extension ConfigurationType where Value == String {
    /// Text that is not empty and has no control characters.
    public static var text: Self {
        Self("text", text: { $0 }) { (input) throws(Rejection) in
            guard let text = input.text, !text.isEmpty,
                !text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F })
            else { throw Rejection(input) }
            return text
        }
    }

    /// One of several words.
    public static func choice(_ choices: [String]) -> Self { choice(choices, remedies: [:]) { _ in nil } }

    /// The id of a plug-in. If the plug-in belongs to an adapter that is missing, the error says how to add it.
    static func id<Context, Part>(of plugins: [String: Plugin<Context, Part>]) -> Self {
        choice(available(plugins), remedies: plugins.compactMapValues(\.remedy)) { _ in
            "a plug-in of your own has to be registered before the file is read"
        }
    }

    /// - Parameters:
    ///   - remedies: What makes certain other words acceptable.
    ///   - remedy: Returns what makes any other word acceptable, if it resembles none of the choices.
    private static func choice(
        _ choices: [String], remedies: [String: String], otherwise remedy: @escaping @Sendable (String) -> String?
    ) -> Self {
        let names =
            choices.isEmpty ? "a registered id, but none is registered" : "one of " + choices.joined(separator: ", ")
        return Self(names, text: { $0 }) { (input) throws(Rejection) in
            guard let text = input.text, choices.contains(text) else {
                var rejection = Rejection(
                    input, isShown: true, nearest: input.text.flatMap { nearest(to: $0, among: choices) })
                if let remedy = input.text.flatMap({ remedies[$0] }) {
                    rejection.nearest = nil
                    rejection.remedy = remedy
                } else if rejection.nearest == nil {
                    rejection.remedy = input.text.flatMap(remedy)
                }
                throw rejection
            }
            return text
        }
    }
}

extension ConfigurationType where Value == String {
    /// The name of an environment variable. Errors never show the text, which could be the variable's value, written
    /// here by mistake.
    public static var variableName: Self {
        text.filter("the name of an environment variable, not its value") { text in
            text.first?.isNumber == false && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
        }
    }
}

extension ConfigurationType where Value == IPAddressBlock {
    /// An IP address, or a block of addresses in CIDR notation.
    public static var addressBlock: Self {
        ConfigurationType<String>.text.map(
            "an IP address, or a block such as 10.0.0.0/8 or fd00::/8", text: { _ in "a block" },
            { IPAddressBlock($0) }
        )
    }
}

extension ConfigurationType where Value == Int {
    /// A whole number within a range.
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
    /// A duration within a range, written as a number and its unit: `250ms`, `10s`, `2m`, `1h`.
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
    /// An origin exactly as browsers send it (RFC 6454, section 6.2). Origins are compared as a whole, so another
    /// spelling would never match.
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

/// Returns the origin of a URL or of an origin in another spelling; `nil` if the text has none or contains a `*`.
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
    /// The URL of a server.
    public static var url: Self {
        // Errors do not show the text, because a query may hold a secret.
        Self("an https URL, or an http URL with a loopback host", text: { _ in "a URL" }) { (input) throws(Rejection) in
            guard let text = input.text, let url = try? ServerURL(text) else { throw Rejection(input) }
            return url
        }
    }
}

extension ConfigurationType where Value == JSONValue {
    /// A map, either written out or as text that holds JSON.
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
    /// A type for keys that may be omitted; use `nil` as the default.
    public static func optional<Wrapped: Sendable>(
        _ type: ConfigurationType<Wrapped>
    ) -> Self where Value == Wrapped? {
        Self(type.description, example: type.example, isList: type.isList, text: { $0.map(type.text) ?? "none" }) {
            (input) throws(Rejection) in try type.read(input)
        }
    }

    /// A list. In an environment variable, the elements are separated by commas.
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
#endif

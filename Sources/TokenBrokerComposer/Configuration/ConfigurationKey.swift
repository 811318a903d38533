#if ConfigurationSupport
/// A key that a plug-in reads, with its name, type and default.
///
/// The declaration drives everything: how the value is read, the error for a value that has the wrong type or is out of
/// range, the refusal of undeclared keys, the environment variable that overrides the key, and the documentation.
///
/// ```swift
/// ConfigurationKey("timeout", .duration(.zero ... .seconds(60)), default: .seconds(10), "The timeout of one call.")
/// ConfigurationKey("caFile", .optional(.text), default: nil, "A PEM file with trusted certificates.")
/// ConfigurationKey("url", .url, "The URL of the service. Required.")
/// ```
public struct ConfigurationKey<Value: Sendable>: Sendable {
    /// The name within its section, in camel case: `connectTimeout`.
    public let name: String
    /// The type of the value.
    public let type: ConfigurationType<Value>
    /// The default value; `nil` if the key is required.
    public let defaultValue: Value?
    /// A description of the value, in a sentence or two.
    public let summary: String
    /// The key's former name. If a file or a variable still uses it, the error states the new name.
    public let formerName: String?

    /// Creates a key with a default.
    /// - Parameters:
    ///   - name: The name within its section, in camel case.
    ///   - type: The type of the value.
    ///   - value: The default value.
    ///   - formerName: The key's former name, if any.
    ///   - summary: A description of the value, in a sentence or two.
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

    /// Creates a required key.
    /// - Parameters:
    ///   - name: The name within its section, in camel case.
    ///   - type: The type of the value.
    ///   - formerName: The key's former name, if any.
    ///   - summary: A description of the value, in a sentence or two.
    public init(
        _ name: String, _ type: ConfigurationType<Value>, formerly formerName: String? = nil, _ summary: String
    ) {
        self.name = name
        self.type = type
        self.defaultValue = nil
        self.summary = summary
        self.formerName = formerName
    }

    /// The declaration in words.
    public var documentation: KeyDocumentation {
        KeyDocumentation(
            name: name, type: type.description, defaultText: defaultValue.map(type.text), summary: summary
        )
    }
}

/// A key's declaration in words, for a table or a help text.
public struct KeyDocumentation: Sendable, Hashable {
    /// The name within its section.
    public var name: String
    /// The accepted values in words: `a whole number from 0 to 65535`.
    public var type: String
    /// The default value as written in a file, or `none` for no value; `nil` if the key is required.
    public var defaultText: String?
    /// A description of the value, in a sentence or two.
    public var summary: String
}
#endif

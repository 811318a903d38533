#if ConfigurationSupport
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
#endif

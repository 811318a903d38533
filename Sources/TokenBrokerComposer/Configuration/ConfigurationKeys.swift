#if ConfigurationSupport
/// The keys of a plug-in or of a section, each of them a stored property.
///
/// ```swift
/// struct Keys: ConfigurationKeys {
///     let url = ConfigurationKey("url", .url, "The service to ask.")
///     let timeout = ConfigurationKey("timeout", .duration(.zero ... .seconds(60)), default: .seconds(2), "For one call.")
/// }
/// ```
public protocol ConfigurationKeys: Sendable {}

/// No keys.
public struct NoKeys: ConfigurationKeys {
    /// Creates the empty set of keys.
    public init() {}
}

extension ConfigurationKeys {
    /// The keys in their order of declaration.
    var all: [any ReadableKey] { Mirror(reflecting: self).children.compactMap { $0.value as? any ReadableKey } }

    /// The declarations as text, in their order.
    var documentation: [KeyDocumentation] { all.map(\.documentation) }
}

/// The values of a ``ConfigurationKeys``, by the names of its properties: `values.timeout`.
@dynamicMemberLookup
public struct ConfigurationValues<Keys: ConfigurationKeys>: Sendable {
    private let keys: Keys
    private let values: [String: any Sendable]

    /// - Returns: `nil` after noting the problems, if a value cannot be used.
    init?(_ keys: Keys, in section: [String], _ reader: ConfigurationReader) {
        var values: [String: any Sendable] = [:]
        let all = keys.all
        // All of them before the first failure ends it, so that every problem is noted.
        for key in all { values[key.name] = key.value(in: section, reader) }
        guard values.count == all.count else { return nil }
        self.keys = keys
        self.values = values
    }

    /// The value of a key.
    public subscript<Value: Sendable>(dynamicMember path: KeyPath<Keys, ConfigurationKey<Value>>) -> Value {
        let key = keys[keyPath: path]
        guard let value = values[key.name] as? Found<Value> else {
            preconditionFailure("the key \(key.name) is no stored property of \(Keys.self)")
        }
        return value.value
    }
}

/// A value in a dictionary of values; an optional by itself would be flattened when it is taken out.
private struct Found<Value: Sendable>: Sendable { var value: Value }

/// A ``ConfigurationKey`` of any type.
protocol ReadableKey: Sendable {
    var name: String { get }
    var documentation: KeyDocumentation { get }
    /// `nil` after noting the problem, if the value cannot be used.
    func value(in section: [String], _ reader: ConfigurationReader) -> (any Sendable)?
}

extension ConfigurationKey: ReadableKey {
    func value(in section: [String], _ reader: ConfigurationReader) -> (any Sendable)? {
        reader.value(of: self, in: section).map(Found.init)
    }
}
#endif

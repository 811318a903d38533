#if ConfigurationSupport
/// The keys of a plug-in or of a section, each a stored property.
///
/// ```swift
/// struct Keys: ConfigurationKeys {
///     let url = ConfigurationKey("url", .url, "The URL of the service.")
///     let timeout = ConfigurationKey(
///         "timeout", .duration(.zero ... .seconds(60)), default: .seconds(2), "The timeout of one call.")
/// }
/// ```
public protocol ConfigurationKeys: Sendable {}

/// An empty set of keys.
public struct NoKeys: ConfigurationKeys {
    /// Creates an empty set of keys.
    public init() {}
}

extension ConfigurationKeys {
    /// The keys, in the order of their declarations.
    var all: [any ReadableKey] { Mirror(reflecting: self).children.compactMap { $0.value as? any ReadableKey } }

    /// The declarations in words, in the same order.
    var documentation: [KeyDocumentation] { all.map(\.documentation) }
}

/// The values of ``ConfigurationKeys``, accessed by the names of the key properties: `values.timeout`.
@dynamicMemberLookup
public struct ConfigurationValues<Keys: ConfigurationKeys>: Sendable {
    private let keys: Keys
    private let values: [String: any Sendable]

    /// Reads the values of all keys. If a value is unusable, records the problems and returns `nil`.
    init?(_ keys: Keys, in section: [String], _ reader: ConfigurationReader) {
        var values: [String: any Sendable] = [:]
        let all = keys.all
        // Reads all keys even after a failure, so that every problem is recorded.
        for key in all { values[key.name] = key.value(in: section, reader) }
        guard values.count == all.count else { return nil }
        self.keys = keys
        self.values = values
    }

    /// Returns the value of a key.
    public subscript<Value: Sendable>(dynamicMember path: KeyPath<Keys, ConfigurationKey<Value>>) -> Value {
        let key = keys[keyPath: path]
        guard let value = values[key.name] as? Found<Value> else {
            preconditionFailure("the key \(key.name) is not a stored property of \(Keys.self)")
        }
        return value.value
    }
}

/// A box for a value in a dictionary, because a bare optional would be flattened when it is looked up.
private struct Found<Value: Sendable>: Sendable { var value: Value }

/// A ``ConfigurationKey`` of any type.
protocol ReadableKey: Sendable {
    var name: String { get }
    var documentation: KeyDocumentation { get }
    /// Reads the value. If it is unusable, records the problem and returns `nil`.
    func value(in section: [String], _ reader: ConfigurationReader) -> (any Sendable)?
}

extension ConfigurationKey: ReadableKey {
    func value(in section: [String], _ reader: ConfigurationReader) -> (any Sendable)? {
        reader.value(of: self, in: section).map(Found.init)
    }
}
#endif

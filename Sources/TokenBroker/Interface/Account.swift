/// Whose credentials and rate limit: the id of a vendor's profile, such as `alternative-payments`.
public struct Account: RawRepresentable, Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The name as text.
    public var rawValue: ExactString
    /// Takes the name as it is.
    public init(rawValue: ExactString) { self.rawValue = rawValue }
    /// Takes the name as it is.
    public init(_ name: String) { self.init(rawValue: ExactString(name)) }
    /// Takes the name as it is.
    public init(stringLiteral value: String) { self.init(value) }
    /// Safe to log.
    public var description: String { rawValue.description }
}

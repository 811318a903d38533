/// An account at a vendor, which has its own credentials and rate limit: the id of the vendor's profile, such as
/// `alternative-payments`.
public struct Account: RawRepresentable, Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The id as text.
    public var rawValue: ExactString
    /// Creates an account from its id.
    public init(rawValue: ExactString) { self.rawValue = rawValue }
    /// Creates an account from its id.
    public init(_ name: String) { self.init(rawValue: ExactString(name)) }
    /// Creates an account from a literal id.
    public init(stringLiteral value: String) { self.init(value) }
    /// The id. Safe to log.
    public var description: String { rawValue.description }
}

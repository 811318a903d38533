/// A JSON number that keeps the digits it was written with, so that ids above 2^53 pass through unchanged.
///
/// Two numbers are equal if they are written alike: `1` and `1.0` are not equal.
public struct JSONNumber: Sendable, Hashable, CustomStringConvertible {
    /// The number as JSON text (RFC 8259, section 6).
    public let description: String

    /// Creates a number from text whose grammar the parser has checked.
    init(checked text: String) { description = text }

    /// Creates a number without a fraction.
    public init(_ value: some BinaryInteger) { description = String(value) }

    /// Creates the number with the shortest text that reads as `value`; `nil` for infinities and NaN, which JSON cannot
    /// represent.
    public init?(_ value: Double) {
        guard value.isFinite else { return nil }
        description = Int64(exactly: value).map(String.init) ?? value.description
    }

    /// The nearest floating-point number; `nil` if it is out of range.
    public var double: Double? { Double(description).flatMap { $0.isFinite ? $0 : nil } }
}

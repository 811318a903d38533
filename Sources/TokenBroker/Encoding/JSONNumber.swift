/// A JSON number with the digits that it was written with, so that ids above 2^53 pass through unchanged.
///
/// Two numbers are equal if they are written alike: `1` and `1.0` are not.
public struct JSONNumber: Sendable, Hashable, CustomStringConvertible {
    /// The number as JSON text (RFC 8259, section 6).
    public let description: String

    /// For the parser, which has checked the grammar.
    init(checked text: String) { description = text }

    /// Writes the number without a fraction.
    public init(_ value: some BinaryInteger) { description = String(value) }

    /// Writes the shortest text that reads as the same number; `nil` for infinities and NaN, which JSON has no form for.
    public init?(_ value: Double) {
        guard value.isFinite else { return nil }
        description = Int64(exactly: value).map(String.init) ?? value.description
    }

    /// The nearest floating-point number; `nil` beyond its range.
    public var double: Double? { Double(description).flatMap { $0.isFinite ? $0 : nil } }
}

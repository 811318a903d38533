/// A path of fixed segments and parameters, such as `/invoices/{id}`.
///
/// A parameter matches one whole, non-empty segment; its value is percent-decoded. Fixed segments are compared as they
/// are, byte by byte.
public struct RoutePath: Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The path as it was written.
    public let description: String
    private let segments: [Segment]

    private enum Segment: Sendable, Hashable {
        case fixed(ExactString)
        case parameter(String)
    }

    /// Creates a path from its text, such as `/invoices/{id}`.
    public init(_ text: String) {
        self.description = text
        self.segments = text.split(separator: "/", omittingEmptySubsequences: false).map { segment in
            if segment.hasPrefix("{"), segment.hasSuffix("}") {
                return .parameter(String(segment.dropFirst().dropLast()))
            }
            return .fixed(ExactString(segment))
        }
    }

    /// Creates a path from a literal.
    public init(stringLiteral value: String) { self.init(value) }

    /// Returns the parameters by name if `target` matches, and `nil` otherwise. A query is ignored.
    public func match(_ target: String) -> [String: String]? {
        // Split bytes, not characters: a separator and a combining mark after it form one character.
        let path = target.utf8.prefix { $0 != UInt8(ascii: "?") }
        let found = path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map { Substring($0) }
        guard found.count == segments.count else { return nil }
        var parameters: [String: String] = [:]
        for (expected, actual) in zip(segments, found) {
            switch expected {
            case .fixed(let text):
                guard text == ExactString(actual) else { return nil }
            case .parameter(let name):
                guard !actual.isEmpty, let decoded = percentDecoded(actual) else { return nil }
                parameters[name] = decoded
            }
        }
        return parameters
    }
}

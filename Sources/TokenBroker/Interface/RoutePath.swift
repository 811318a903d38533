/// A path of fixed segments and parameters: `/invoices/{id}`.
///
/// A parameter stands for one whole, non-empty segment, handed on with its percent-encoding removed. Fixed segments are
/// compared as they stand.
public struct RoutePath: Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// As it was written.
    public let description: String
    private let segments: [Segment]

    private enum Segment: Sendable, Hashable {
        case fixed(ExactString)
        case parameter(String)
    }

    /// Takes all members, in their order of declaration.
    public init(_ text: String) {
        self.description = text
        self.segments = text.split(separator: "/", omittingEmptySubsequences: false).map { segment in
            if segment.hasPrefix("{"), segment.hasSuffix("}") {
                return .parameter(String(segment.dropFirst().dropLast()))
            }
            return .fixed(ExactString(segment))
        }
    }

    /// Takes the literal as it is.
    public init(stringLiteral value: String) { self.init(value) }

    /// The parameters by name if `target` matches, otherwise `nil`. A query is passed over.
    public func match(_ target: String) -> [String: String]? {
        // Byte by byte, since a separator and a combining mark after it are one character.
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

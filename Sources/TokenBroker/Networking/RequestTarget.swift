/// The parsed target of a request line (RFC 9112, section 3.2).
public struct RequestTarget: Sendable, Hashable {
    /// The path and query. A target in neither origin form nor absolute form is kept as received.
    public let path: String
    /// The authority of a target in absolute form, which overrides `Host`; otherwise `nil`.
    public let authority: String?

    /// Parses a target.
    ///
    /// - Parameter target: The target as received.
    public init(_ target: String) {
        guard !target.hasPrefix("/"), let colon = target.firstIndex(of: ":"),
            ["http", "https"].contains(target[..<colon].lowercased()), target[colon...].hasPrefix("://")
        else {
            path = target
            authority = nil
            return
        }
        let rest = target[colon...].dropFirst(3)
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        path = rest[end...].hasPrefix("/") ? String(rest[end...]) : "/\(rest[end...])"
        authority = String(rest[..<end])
    }
}

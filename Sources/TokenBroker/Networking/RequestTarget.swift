/// The target of a request line, taken apart (RFC 9112, section 3.2).
public struct RequestTarget: Sendable, Hashable {
    /// Path and query. A target that is neither in origin form nor in absolute form is here as it was received.
    public let path: String
    /// The authority of a target in absolute form, where it counts more than `Host`; `nil` otherwise.
    public let authority: String?

    /// - Parameter target: As it was received.
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

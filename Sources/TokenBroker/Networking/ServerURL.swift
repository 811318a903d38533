public import HTTPTypes

/// The URL of a server: `https`, or `http` with a loopback host.
public struct ServerURL: Sendable, Hashable {
    /// The scheme: `https` or `http`.
    public let scheme: String
    /// The host and port, as written.
    public let authority: String
    /// The path and query; at least `/`.
    public let path: String

    /// Parses a URL.
    ///
    /// - Parameter text: `https://host[:port][/path][?query]`.
    /// - Throws: ``Invalid`` with the reason.
    public init(_ text: String) throws(Invalid) {
        guard let separator = text.firstRange(of: "://") else {
            throw Invalid(reason: "it has no scheme; expected https://host")
        }
        let rest = text[separator.upperBound...]
        let end = rest.utf8.firstIndex { "/?#".utf8.contains($0) } ?? rest.endIndex
        let authority = String(rest[..<end])
        guard let host = Authority(authority)?.host else {
            throw Invalid(reason: "its host is missing or malformed; expected https://host[:port]")
        }
        let scheme = text[..<separator.lowerBound].lowercased()
        guard scheme == "https" || (scheme == "http" && host.isLoopback) else {
            throw Invalid(reason: "only https is accepted, and http to a loopback host")
        }
        let path = rest[end...]
        guard !path.utf8.contains(UInt8(ascii: "#")), rest.utf8.allSatisfy({ 0x21...0x7e ~= $0 }) else {
            throw Invalid(reason: "it has a fragment or characters that are not allowed in a URL")
        }
        self.scheme = scheme
        self.authority = authority
        self.path = path.hasPrefix("/") ? String(path) : "/" + path
    }

    /// Returns a request to the URL.
    ///
    /// - Parameters:
    ///   - method: The method.
    ///   - fields: The header fields.
    public func request(_ method: HTTPRequest.Method, _ fields: HTTPFields = [:]) -> HTTPRequest {
        HTTPRequest(method: method, scheme: scheme, authority: authority, path: path, headerFields: fields)
    }

    /// The reason why a URL was refused.
    public struct Invalid: SafeToLog, Sendable {
        /// What is wrong, and what was expected.
        public var reason: String
        /// A message with the reason. Safe to log.
        public var description: String { "the URL cannot be used: \(reason)" }
    }
}

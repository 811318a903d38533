public import HTTPTypes

/// Where to reach a server: an `https` URL, or an `http` URL with a loopback host.
public struct ServerURL: Sendable, Hashable {
    /// `https`, or `http`.
    public let scheme: String
    /// Host and port, as they were written.
    public let authority: String
    /// Path and query; at least `/`.
    public let path: String

    /// - Parameter text: `https://host[:port][/path][?query]`.
    /// - Throws: ``Invalid``, which says what is wrong with it.
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
            throw Invalid(reason: "it has a fragment or characters that do not belong in a URL")
        }
        self.scheme = scheme
        self.authority = authority
        self.path = path.hasPrefix("/") ? String(path) : "/" + path
    }

    /// A request to it.
    /// - Parameters:
    ///   - method: The method.
    ///   - fields: The header fields.
    public func request(_ method: HTTPRequest.Method, _ fields: HTTPFields = [:]) -> HTTPRequest {
        HTTPRequest(method: method, scheme: scheme, authority: authority, path: path, headerFields: fields)
    }

    /// Why a URL was refused.
    public struct Invalid: SafeToLog, Sendable {
        /// What is wrong and what was expected.
        public var reason: String
        /// Safe to log.
        public var description: String { "the URL cannot be used: \(reason)" }
    }
}

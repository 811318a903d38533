/// An error about credentials that should exist but cannot be used. Safe to log: it names the source, never a value.
public struct CredentialError: SafeToLog, Sendable, Hashable {
    /// The kind of error.
    public var code: Code
    /// The source, in words that an operator recognizes, such as `file /run/secrets/vendor.json`.
    public var source: String
    /// What was expected and what was found instead, without values.
    public var message: String

    /// Creates a credential error.
    ///
    /// - Parameters:
    ///   - code: The kind of error.
    ///   - source: The source, in words that an operator recognizes.
    ///   - message: What was expected and what was found instead, without values.
    public init(_ code: Code, source: String, message: String) {
        self.code = code
        self.source = source
        self.message = message
    }

    /// The code, the source and the message. Safe to log.
    public var description: String { "\(code) credentials in \(source): \(message)" }

    /// The kind of credential error.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Value: String { case unreadable, malformed, incomplete }
        private let value: Value
        private init(_ value: Value) { self.value = value }
        /// The name of the code. Safe to log.
        public var description: String { value.rawValue }

        /// The source exists but cannot be read.
        public static let unreadable = Self(.unreadable)
        /// The source can be read but does not have the expected format.
        public static let malformed = Self(.malformed)
        /// The client id or the client secret is missing or empty.
        public static let incomplete = Self(.incomplete)
    }
}

/// Credentials that should be there and cannot be used. Safe to log: it names the source, never a value.
public struct CredentialError: SafeToLog, Sendable, Hashable {
    /// In which way it failed.
    public var code: Code
    /// Which source, in words a deployer recognizes: `file /run/secrets/vendor.json`.
    public var source: String
    /// What was expected and what was found instead, without values.
    public var message: String

    /// Takes all members, in their order of declaration.
    public init(_ code: Code, source: String, message: String) {
        self.code = code
        self.source = source
        self.message = message
    }

    /// Safe to log.
    public var description: String { "\(code) credentials in \(source): \(message)" }

    /// In which way they cannot be used.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Value: String { case unreadable, malformed, incomplete }
        private let value: Value
        private init(_ value: Value) { self.value = value }
        /// Safe to log.
        public var description: String { value.rawValue }

        /// The source exists and cannot be read.
        public static let unreadable = Self(.unreadable)
        /// The source can be read and is not in its format.
        public static let malformed = Self(.malformed)
        /// Half of a pair is missing or empty.
        public static let incomplete = Self(.incomplete)
    }
}

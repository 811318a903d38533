public import TokenBroker

/// An error that lists everything wrong with a configuration, not only the first problem.
///
/// The error is safe to print. It names keys and variables, what was expected, and the kind of value that was found. It
/// does not show the value itself, which could be a misplaced secret, unless a choice, a number, a duration, a Boolean
/// or an origin is expected and the value consists of at most 64 characters from `[A-Za-z0-9._:/*-]`.
public struct ConfigurationError: SafeToLog, Sendable {
    /// The problems, at least one, in the order of the file.
    public var problems: [Problem]

    /// Creates an error.
    /// - Parameter problems: The problems, at least one.
    public init(_ problems: [Problem]) { self.problems = problems }

    /// The problems, one per line.
    public var description: String { problems.map(\.description).joined(separator: "\n") }

    /// A problem with a configuration.
    ///
    /// A plug-in throws a problem that names only the key within its own section. The file, the line and the full key
    /// are added to it:
    ///
    /// ```swift
    /// throw ConfigurationError.Problem(.conflict, key: "keyFile", "expected keyFile or keyVariable, found both")
    /// ```
    public struct Problem: SafeToLog, Sendable, Hashable {
        /// The kind of problem.
        public var code: Code
        /// The place of the problem: `broker.yaml:12`, or the name of an environment variable. Empty until it is known.
        public var place = ""
        /// The full key, such as `server.port`, or, in a problem that a plug-in throws, the key within its section;
        /// `nil` if the problem concerns the whole section.
        public var key: String?
        /// What was expected, what was found, and how to fix it.
        public var message: String
        /// The line in the file, for sorting; `nil` for a variable.
        var line: Int?

        /// Creates a problem within a plug-in's section.
        /// - Parameters:
        ///   - code: The kind of problem.
        ///   - key: The key within the section; `nil` for the whole section.
        ///   - message: What was expected and what was found, without the value, which could be a secret.
        public init(_ code: Code, key: String? = nil, _ message: String) {
            self.code = code
            self.key = key
            self.message = message
        }

        init(_ code: Code, place: String, key: String? = nil, message: String) {
            self.code = code
            self.place = place
            self.key = key
            self.message = message
        }

        /// The place, key and message on one line.
        public var description: String { [place, key ?? "", message].filter { !$0.isEmpty }.joined(separator: ": ") }
    }

    /// A kind of problem.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Value: String {
            case unreadable, malformed, unknownKey, missing, invalid, secret, conflict, failed
        }
        private let value: Value
        private init(_ value: Value) { self.value = value }
        /// The name of the code.
        public var description: String { value.rawValue }

        /// The file does not exist, cannot be read, or is too large.
        public static let unreadable = Self(.unreadable)
        /// The file is neither YAML nor JSON, or uses an unsupported feature.
        public static let malformed = Self(.malformed)
        /// A key is unknown.
        public static let unknownKey = Self(.unknownKey)
        /// A required key is missing.
        public static let missing = Self(.missing)
        /// A value has the wrong type or is out of range, or an id is not registered.
        public static let invalid = Self(.invalid)
        /// A key looks like that of a secret. Secrets must not be in the file.
        public static let secret = Self(.secret)
        /// Values that are valid individually conflict with each other.
        public static let conflict = Self(.conflict)
        /// The configuration is valid, but a part cannot be built from it.
        public static let failed = Self(.failed)
    }
}

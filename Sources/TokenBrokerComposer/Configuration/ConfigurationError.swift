public import TokenBroker

/// Why a configuration cannot be used: everything that is wrong with it, not only the first.
///
/// Safe to print. It shows names of keys and variables, what is expected, and of what was found only its kind, since
/// it could be a secret that stands in the wrong place. A value is shown only where a choice, a number, a duration, a
/// flag or an origin is expected, and only if it is at most 64 of `[A-Za-z0-9._:/*-]`.
public struct ConfigurationError: SafeToLog, Sendable {
    /// At least one, in the order of the file.
    public var problems: [Problem]

    /// - Parameter problems: At least one.
    public init(_ problems: [Problem]) { self.problems = problems }

    /// One problem a line.
    public var description: String { problems.map(\.description).joined(separator: "\n") }

    /// One thing that is wrong.
    ///
    /// A plug-in throws it to have file, line and key named, which it does not know itself:
    ///
    /// ```swift
    /// throw ConfigurationError.Problem(.conflict, key: "keyFile", "expected keyFile or keyVariable, found both")
    /// ```
    public struct Problem: SafeToLog, Sendable, Hashable {
        /// In which way it is wrong.
        public var code: Code
        /// Where it stands: `broker.yaml:12`, or the name of an environment variable; empty until that is known.
        public var place = ""
        /// The key, in full: `server.port`. In what a plug-in throws, the key within its section. `nil` if it is about all of it.
        public var key: String?
        /// What was expected, what was found, and what to do about it.
        public var message: String
        /// The line in the file, to sort by; `nil` for a variable.
        var line: Int?

        /// A problem of a part with its own section.
        /// - Parameters:
        ///   - code: In which way it is wrong.
        ///   - key: The key within the section; `nil` for all of it.
        ///   - message: What was expected and what was found, without values.
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

        /// Place, key and message in one line.
        public var description: String { [place, key ?? "", message].filter { !$0.isEmpty }.joined(separator: ": ") }
    }

    /// In which way something is wrong.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Value: String {
            case unreadable, malformed, unknownKey, missing, invalid, secret, conflict, failed
        }
        private let value: Value
        private init(_ value: Value) { self.value = value }
        /// Its name.
        public var description: String { value.rawValue }

        /// The file is not there, cannot be read, or is too large.
        public static let unreadable = Self(.unreadable)
        /// The file is neither YAML nor JSON, or uses a feature that is not supported here.
        public static let malformed = Self(.malformed)
        /// A key that nobody reads.
        public static let unknownKey = Self(.unknownKey)
        /// A key that has to be there is not.
        public static let missing = Self(.missing)
        /// A value of the wrong type, out of range, or an id that is not registered.
        public static let invalid = Self(.invalid)
        /// Something that looks like a secret. Secrets never stand in the file.
        public static let secret = Self(.secret)
        /// Values that are right by themselves and do not go together.
        public static let conflict = Self(.conflict)
        /// The configuration is valid, and a part could not be built from it.
        public static let failed = Self(.failed)
    }
}

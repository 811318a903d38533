/// Finds the client id and secret that the broker authenticates with.
///
/// **Use one.** Ask for the credentials of an account whenever you are about to authenticate; do not keep them, so that
/// a rotation takes effect. Several sources are tried in order by ``CredentialChain``.
///
/// **Write one.** Return what you have, in order of preference: two pairs while a rotation is under way, otherwise one.
/// Return an empty array when this source has nothing to say about `id`, so that a chain goes on. Throw when it is
/// meant to have something and that is unusable (unreadable, malformed, half of a pair), so that a chain stops: a
/// broken source must never be papered over by the next. Read id and secret together, so that a pair is never torn.
///
/// **Test one.** Check the three outcomes (there, absent, broken), and that the description of what is thrown names the
/// source and not the value.
public protocol CredentialSource: Sendable {
    /// - Returns: The live credentials in order of preference; empty if this source has none for `id`.
    /// - Throws: ``CredentialError`` if they should be here and cannot be used.
    func credentials(for id: CredentialID) async throws(CredentialError) -> [Credential]
}

/// Says where a source looks, so that whoever finds no credentials is told.
///
/// **Write one.** Conform a source of your own. A decorator forwards what ``placesOfCredentials(in:)`` says of what it
/// decorates.
public protocol CredentialPlaces: Sendable {
    /// Each place, and what it means that nothing is there: `file /run/secrets/vendor.json, which does not exist`. Safe
    /// to log.
    var places: [String] { get }
}

/// Where a source looks: its ``CredentialPlaces/places``, or else the name of its type.
public func placesOfCredentials(in source: any CredentialSource) -> [String] {
    (source as? any CredentialPlaces)?.places ?? ["\(type(of: source))"]
}

extension TokenError {
    /// No source has anything for `id`.
    package static func noCredentials(for id: CredentialID, in source: any CredentialSource) -> TokenError {
        let places = placesOfCredentials(in: source)
        let looked = places.isEmpty ? "none is configured" : "looked at " + places.joined(separator: "; ")
        return TokenError(.misconfigured, message: "no source has credentials for \(id): \(looked)")
    }
}

/// The name of an account whose credentials are asked for, such as `alternative-payments`.
public struct CredentialID: RawRepresentable, Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The name as text.
    public var rawValue: ExactString
    /// Takes the name as it is.
    public init(rawValue: ExactString) { self.rawValue = rawValue }
    /// Takes the name as it is.
    public init(_ name: String) { self.init(rawValue: ExactString(name)) }
    /// Takes the name as it is.
    public init(stringLiteral value: String) { self.init(value) }
    /// Safe to log.
    public var description: String { rawValue.description }
}

/// A client id and the secret that belongs to it (RFC 6749, section 2.3.1). They are one value because one without the
/// other, or with another's, is worth nothing.
public struct Credential: Sendable, Equatable {
    /// The client id.
    public var clientID: Secret
    /// The client secret, or what else the client proves itself with: with `private_key_jwt` the private key, as PEM.
    /// Empty for a client that has none, as with `tls_client_auth`.
    public var clientSecret: Secret

    /// Takes all members, in their order of declaration.
    public init(clientID: Secret, clientSecret: Secret) {
        self.clientID = clientID
        self.clientSecret = clientSecret
    }
}

/// What the two halves of a pair are called where a source looks for them: environment variables, files, members.
public struct CredentialNames: Sendable, Hashable, CustomStringConvertible {
    /// That of the client id.
    public var clientID: String
    /// That of the client secret; `nil` for a client that has none, so that an id alone is a whole credential.
    public var clientSecret: String?

    /// Takes all members, in their order of declaration.
    public init(clientID: String, clientSecret: String?) {
        self.clientID = clientID
        self.clientSecret = clientSecret
    }

    /// Both, for a message.
    public var description: String { clientSecret.map { "\(clientID) and \($0)" } ?? clientID }
}

/// Credentials that should be there and cannot be used. Safe to log: it names the source, never a value.
public struct CredentialError: Error, Sendable, Hashable, CustomStringConvertible {
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

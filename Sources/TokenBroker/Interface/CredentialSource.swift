/// Finds the client id and secret that the broker authenticates with.
///
/// **Use one.** Ask for the credentials of an account whenever you are about to authenticate; do not keep them, so that
/// a rotation takes effect. Several sources are tried in order by ``CredentialChain``.
///
/// **Write one.** Return what you have, in order of preference: two pairs while a rotation is under way, otherwise one.
/// Return an empty array when this source has nothing to say about `account`, so that a chain goes on. Throw when it is
/// meant to have something and that is unusable (unreadable, malformed, half of a pair), so that a chain stops: a
/// broken source must never be papered over by the next. Read id and secret together, so that a pair is never torn.
///
/// **Test one.** Check the three outcomes (there, absent, broken), and that the description of what is thrown names the
/// source and not the value.
public protocol CredentialSource: Sendable {
    /// - Returns: The live credentials in order of preference; empty if this source has none for `account`.
    /// - Throws: ``CredentialError`` if they should be here and cannot be used.
    func credentials(for account: Account) async throws(CredentialError) -> [Credential]
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
    /// No source has anything for `account`.
    package static func noCredentials(for account: Account, in source: any CredentialSource) -> TokenError {
        let places = placesOfCredentials(in: source)
        let looked = places.isEmpty ? "none is configured" : "looked at " + places.joined(separator: "; ")
        return TokenError(.misconfigured, message: "no source has credentials for \(account): \(looked)")
    }
}

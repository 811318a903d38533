/// A source of the client id and secret that the broker authenticates with.
///
/// **Use one.** Ask for an account's credentials each time you are about to authenticate. Do not keep them, or a
/// rotation will not take effect. ``CredentialChain`` tries several sources in order.
///
/// **Write one.** Return the credentials in order of preference: two during a rotation, otherwise one. Return an empty
/// array when this source has nothing for `account`, so that a chain continues. Throw when it should have credentials
/// but they are unusable (unreadable, malformed, id or secret missing), so that a chain stops: the next source must
/// never hide a broken one. Read id and secret together, so that they always belong to the same credential.
///
/// **Test one.** Check the three outcomes (present, absent, broken). Check that the description of the error names the
/// source and contains no value.
public protocol CredentialSource: Sendable {
    /// Returns the credentials of an account.
    ///
    /// - Returns: The live credentials in order of preference; empty if this source has none for `account`.
    /// - Throws: ``CredentialError`` if the source should have credentials but they cannot be used.
    func credentials(for account: Account) async throws(CredentialError) -> [Credential]
}

/// A credential source that says where it looks, so that the error about missing credentials can list the places.
///
/// **Write one.** Conform your own source. A decorator forwards ``placesOfCredentials(in:)`` of the source that it
/// decorates.
public protocol CredentialPlaces: Sendable {
    /// Each place and why it has no credentials, such as `file /run/secrets/vendor.json, which does not exist`. Safe to
    /// log.
    var places: [String] { get }
}

/// Returns where a source looks: its ``CredentialPlaces/places``, or else the name of its type.
public func placesOfCredentials(in source: any CredentialSource) -> [String] {
    (source as? any CredentialPlaces)?.places ?? ["\(type(of: source))"]
}

extension TokenError {
    /// The error that no source has credentials for `account`.
    package static func noCredentials(for account: Account, in source: any CredentialSource) -> TokenError {
        let places = placesOfCredentials(in: source)
        let looked = places.isEmpty ? "none is configured" : "looked at " + places.joined(separator: "; ")
        return TokenError(.misconfigured, message: "no source has credentials for \(account): \(looked)")
    }
}

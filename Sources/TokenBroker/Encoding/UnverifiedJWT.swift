package import FoundationEssentials

/// The claims of a JSON Web Token (RFC 7519), read without verifying its signature.
///
/// Use it to look at a token that was just received from its issuer over TLS, never to decide who a caller is.
package struct UnverifiedJWT: Sendable {
    /// The payload; always an object.
    package let claims: JSONValue

    /// Reads the claims; `nil` unless `text` has three parts, of which the second is a JSON object in base64url.
    package init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let payload = base64URLDecoded(parts[1]),
            let claims = try? JSONValue.parse(payload), case .object = claims
        else { return nil }
        self.claims = claims
    }

    /// The `exp` claim; `nil` if absent or unreadable.
    package var expiry: Date? {
        claims["exp"].flatMap { claim in timestamp(claim) }
    }

    /// The `iat` claim; `nil` if absent or unreadable.
    package var issuedAt: Date? {
        claims["iat"].flatMap { claim in timestamp(claim) }
    }
}

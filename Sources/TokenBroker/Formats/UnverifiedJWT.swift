public import FoundationEssentials

/// The claims of a JSON Web Token (RFC 7519), read without checking its signature.
///
/// For looking at a token that was just received from its issuer over TLS, never for deciding who somebody is.
public struct UnverifiedJWT: Sendable {
    /// The payload; always an object.
    public let claims: JSONValue

    /// `nil` unless `text` has three parts of which the second is a JSON object in base64url.
    public init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let payload = base64URLDecoded(parts[1]),
            let claims = try? JSONValue.parse(payload), case .object = claims
        else { return nil }
        self.claims = claims
    }

    /// The `exp` claim; `nil` if absent or unreadable.
    public var expiry: Date? {
        claims["exp"].flatMap { claim in timestamp(claim) }
    }

    /// The `iat` claim; `nil` if absent or unreadable.
    public var issuedAt: Date? {
        claims["iat"].flatMap { claim in timestamp(claim) }
    }
}

/// Decodes base64url without padding (RFC 7515, appendix C), byte by byte; `nil` unless `text` is the one spelling of what it encodes: no
/// other characters, no length that nothing has, and no bits behind the last byte (RFC 4648, section 3.5).
package func base64URLDecoded(_ text: some StringProtocol) -> [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count * 3 / 4)
    var (bits, count) = (UInt32(0), 0)
    for byte in text.utf8 {
        let value: UInt8
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = byte - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): value = byte - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): value = byte - UInt8(ascii: "0") + 52
        case UInt8(ascii: "-"): value = 62
        case UInt8(ascii: "_"): value = 63
        default: return nil
        }
        bits = bits << 6 | UInt32(value)
        count += 6
        if count >= 8 {
            count -= 8
            bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            bits &= 1 << UInt32(count) - 1
        }
    }
    return count < 6 && bits == 0 ? bytes : nil
}

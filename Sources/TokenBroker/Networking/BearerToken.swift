/// Returns the text after `Bearer` in a value of `Authorization` (RFC 6750, section 2.1); `nil` for another scheme.
package func bearerToken(_ authorization: String) -> String? {
    let bytes = authorization.utf8
    let scheme = "bearer ".utf8
    guard bytes.count >= scheme.count, zip(bytes, scheme).allSatisfy({ $0 | 0x20 == $1 }) else { return nil }
    return String(Substring(bytes.dropFirst(scheme.count).drop { $0 == UInt8(ascii: " ") }))
}

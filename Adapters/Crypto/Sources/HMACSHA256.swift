#if CryptoSupport
import Crypto
public import TokenBroker

/// HMAC-SHA256 (RFC 2104), built on swift-crypto.
public struct HMACSHA256: KeyedHash {
    /// Creates an HMAC-SHA256 function.
    public init() {}

    /// Returns the authentication code of a message, which is 32 bytes long.
    public func code(for message: [UInt8], key: Secret) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: Array(key.reveal().utf8))))
    }
}
#endif

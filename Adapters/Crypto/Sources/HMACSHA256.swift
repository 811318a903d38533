#if CryptoSupport
import Crypto
public import TokenBroker

/// HMAC-SHA256 (RFC 2104), on swift-crypto.
public struct HMACSHA256: KeyedHash {
    /// Creates it.
    public init() {}

    /// The code, 32 bytes.
    public func code(for message: [UInt8], key: Secret) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: Array(key.reveal().utf8))))
    }
}
#endif

/// Computes a message authentication code, such as HMAC-SHA256, which lets the log tell principals apart without naming
/// them.
///
/// **Write one.** Use a library's implementation. Without the key, the code must be indistinguishable from random
/// bytes.
public protocol KeyedHash: Sendable {
    /// Returns the message authentication code of a message.
    ///
    /// - Parameters:
    ///   - message: The bytes to authenticate.
    ///   - key: A key of at least 16 bytes.
    /// - Returns: A code of at least 16 bytes.
    func code(for message: [UInt8], key: Secret) -> [UInt8]
}

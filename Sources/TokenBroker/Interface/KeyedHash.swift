/// Computes a message authentication code, such as HMAC-SHA256, so that the log can tell principals apart without naming them.
///
/// **Write one.** Use a library's implementation. The code must be as good as random to whoever does not know the key.
public protocol KeyedHash: Sendable {
    /// - Parameters:
    ///   - message: What to authenticate.
    ///   - key: At least 16 bytes.
    /// - Returns: The code, at least 16 bytes.
    func code(for message: [UInt8], key: Secret) -> [UInt8]
}

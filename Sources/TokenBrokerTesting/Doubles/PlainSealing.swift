public import TokenBroker

/// A sealing that hides nothing, for tests without a library for cryptography.
///
/// Content that was changed, or moved to another name, is not opened, as long as nobody forges it on purpose.
public struct PlainSealing: Sealing {
    /// Creates a sealing.
    public init() {}

    /// Returns a hash of the message, which anybody can compute.
    public func name(for message: [UInt8]) -> String { digest(of: [0] + message) }

    /// Returns a hash of the message, which anybody can compute.
    public func digest(of message: [UInt8]) -> String {
        [0xCBF2_9CE4_8422_2325, 0x8422_2325_CBF2_9CE4].map { (start: UInt64) in
            // The hash of Fowler, Noll and Vo, from two starts.
            let hash = message.reduce(start) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
            let digits = String(hash, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
        .joined()
    }

    /// Returns a checksum of name and content, followed by the content.
    public func seal(_ content: [UInt8], as name: String) -> [UInt8]? { checksum(content, name) + content }

    /// Returns the content, if its checksum is right.
    public func open(_ sealed: [UInt8], as name: String) -> [UInt8]? {
        guard sealed.count >= 32 else { return nil }
        let content = Array(sealed.dropFirst(32))
        return checksum(content, name).elementsEqual(sealed.prefix(32)) ? content : nil
    }

    private func checksum(_ content: [UInt8], _ name: String) -> [UInt8] {
        Array(digest(of: Array(name.utf8) + [0] + content).utf8)
    }
}

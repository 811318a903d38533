#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
import Synchronization

/// Text that must not leave the process by accident: a client secret, an access token, a checkout token.
///
/// Everything that turns a value into text (`description`, `debugDescription`, string interpolation, `dump`, `Mirror`)
/// gives `<redacted>`, and it cannot be encoded. ``reveal()`` is the one way to the content, so that a search for it finds every
/// place where a secret leaves.
///
/// The storage is shared between copies, and is overwritten with zeros when the last copy is released. What
/// ``reveal()`` handed out is an ordinary `String` and beyond that protection: keep it short-lived.
public struct Secret: Sendable {
    private let storage: Storage

    /// Takes the UTF-8 bytes of `text`. The caller's own `text` is not wiped.
    public init(_ text: String) {
        self.storage = Storage(Array(text.utf8))
    }

    /// The content. Hand it to the one function that needs it, and do not store it.
    public func reveal() -> String {
        storage.bytes.withLock { String(decoding: $0, as: UTF8.self) }
    }

    /// Whether there is no content.
    public var isEmpty: Bool { storage.bytes.withLock { $0.isEmpty } }

    final class Storage: Sendable {
        let bytes: Mutex<[UInt8]>

        init(_ bytes: [UInt8]) { self.bytes = Mutex(bytes) }

        deinit { wipe() }

        func wipe() {
            bytes.withLock { bytes in bytes.withUnsafeMutableBytes { TokenBroker.wipe($0) } }
        }
    }

    /// For this package's own test of the wiping.
    var storageForTesting: Storage { storage }
}

/// Overwrites memory that held a secret with zeros.
package func wipe(_ memory: UnsafeMutableRawBufferPointer) {
    // The C library's call, because an ordinary store to memory that is about to be freed is removed by the optimizer.
    guard let start = memory.baseAddress else { return }
    #if canImport(Darwin)
    _ = memset_s(start, memory.count, 0, memory.count)
    #else
    explicit_bzero(start, memory.count)
    #endif
}

extension Secret: Equatable {
    /// Compares in a time that depends on the lengths only.
    public static func == (left: Secret, right: Secret) -> Bool {
        let other = right.storage === left.storage ? nil : right.storage.bytes.withLock { $0 }
        guard let other else { return true }
        return left.storage.bytes.withLock { bytes in
            guard bytes.count == other.count else { return false }
            var difference: UInt8 = 0
            for (a, b) in zip(bytes, other) { difference |= a ^ b }
            return difference == 0
        }
    }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private static let redacted = "<redacted>"

    /// Safe to log.
    public var description: String { Self.redacted }
    /// Safe to log.
    public var debugDescription: String { Self.redacted }
    /// Shows no members.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

extension Secret: Decodable {
    /// Reads a string.
    public init(from decoder: any Decoder) throws {
        self.init(try decoder.singleValueContainer().decode(String.self))
    }
}

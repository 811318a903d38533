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
/// Every conversion to text (`description`, `debugDescription`, string interpolation, `dump`, `Mirror`) gives
/// `<redacted>`, and a secret cannot be encoded. ``reveal()`` is the only way to the content, so a search for it finds
/// every place where a secret leaves.
///
/// Copies share one storage, which is overwritten with zeros when the last copy is released. The `String` that
/// ``reveal()`` returns is not protected in this way: keep it short-lived.
public struct Secret: Sendable {
    private let storage: Storage

    /// Creates a secret from the UTF-8 bytes of `text`. The caller's own `text` is not wiped.
    public init(_ text: String) {
        self.storage = Storage(Array(text.utf8))
    }

    /// Returns the content. Pass it to the one function that needs it, and do not store it.
    public func reveal() -> String {
        storage.bytes.withLock { String(decoding: $0, as: UTF8.self) }
    }

    /// A Boolean value that indicates whether the secret has no content.
    public var isEmpty: Bool { storage.bytes.withLock { $0.isEmpty } }

    final class Storage: Sendable {
        let bytes: Mutex<[UInt8]>

        init(_ bytes: [UInt8]) { self.bytes = Mutex(bytes) }

        deinit { wipe() }

        func wipe() {
            bytes.withLock { bytes in bytes.withUnsafeMutableBytes { TokenBroker.wipe($0) } }
        }
    }

    /// The storage, for this package's own test that it is wiped.
    var storageForTesting: Storage { storage }
}

/// Overwrites memory that held a secret with zeros.
package func wipe(_ memory: UnsafeMutableRawBufferPointer) {
    // A plain store would not do: the optimizer removes stores to memory that is about to be freed.
    guard let start = memory.baseAddress else { return }
    #if canImport(Darwin)
    _ = memset_s(start, memory.count, 0, memory.count)
    #else
    explicit_bzero(start, memory.count)
    #endif
}

extension Secret: Equatable {
    /// Compares two secrets in a time that depends only on their lengths.
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

    /// `<redacted>`. Safe to log.
    public var description: String { Self.redacted }
    /// `<redacted>`. Safe to log.
    public var debugDescription: String { Self.redacted }
    /// A mirror without children.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

extension Secret: Decodable {
    /// Decodes a secret from a string.
    public init(from decoder: any Decoder) throws {
        self.init(try decoder.singleValueContainer().decode(String.self))
    }
}

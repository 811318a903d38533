#if CryptoSupport
import Crypto
import FoundationEssentials
public import TokenBroker

/// Names and seals what the processes of a fleet share, built on swift-crypto.
///
/// Names are HMAC-SHA256, of which 128 bits are used. Content is sealed with AES-256-GCM (NIST SP 800-38D) and a random
/// nonce, with its name as associated data. In front of it are a version and the id of the key. The keys for naming and
/// for sealing, and the id, are derived from each key of the file with HKDF-SHA256 (RFC 5869).
public struct FleetSealing: Sealing {
    private struct Key {
        var id: [UInt8]
        var sealing: SymmetricKey
        var naming: SymmetricKey

        init(_ material: [UInt8]) {
            let input = SymmetricKey(data: material)
            func derived(_ purpose: String, _ count: Int) -> SymmetricKey {
                HKDF<SHA256>.deriveKey(
                    inputKeyMaterial: input, info: Array("token-broker fleet \(purpose)".utf8), outputByteCount: count)
            }
            // A code of nothing, since the bytes of a key are not for reading.
            id = Array(HMAC<SHA256>.authenticationCode(for: [UInt8](), using: derived("id", 32)).prefix(Self.idBytes))
            sealing = derived("sealing", 32)
            naming = derived("naming", 32)
        }

        static let idBytes = 4
    }

    /// An error for keys that cannot be used.
    public struct InvalidKeys: SafeToLog, Hashable {
        /// What is wrong, without the keys.
        public var description: String
    }

    private static let version: UInt8 = 1
    private let first: Key
    private let keys: [Key]

    /// Creates a sealing.
    /// - Parameter keys: One to four keys, each 32 bytes as base64. The first one names and seals; all of them open.
    /// - Throws: ``InvalidKeys``.
    public init(keys: [Secret]) throws(InvalidKeys) {
        guard (1...4).contains(keys.count) else {
            throw InvalidKeys(description: "expected one to four keys, found \(keys.count)")
        }
        var derived: [Key] = []
        for (index, key) in keys.enumerated() {
            guard let material = Data(base64Encoded: key.reveal()), material.count == 32 else {
                throw InvalidKeys(description: "expected 32 bytes as base64 in line \(index + 1), found other text")
            }
            derived.append(Key(Array(material)))
        }
        guard let first = derived.first else { throw InvalidKeys(description: "expected a key, found none") }
        self.keys = derived
        self.first = first
    }

    /// Returns 128 bits of the HMAC-SHA256 of a message, in hexadecimal.
    public func name(for message: [UInt8]) -> String {
        Self.hex(HMAC<SHA256>.authenticationCode(for: message, using: first.naming))
    }

    /// Returns 128 bits of the SHA-256 of a message, in hexadecimal.
    public func digest(of message: [UInt8]) -> String { Self.hex(SHA256.hash(data: message)) }

    /// Seals content for a name with the first key.
    public func seal(_ content: [UInt8], as name: String) -> [UInt8]? {
        let box = try? AES.GCM.seal(content, using: first.sealing, authenticating: Array(name.utf8))
        return box?.combined.map { [Self.version] + first.id + $0 }
    }

    /// Opens content that was sealed for a name with any of the keys.
    public func open(_ sealed: [UInt8], as name: String) -> [UInt8]? {
        guard sealed.first == Self.version else { return nil }
        let id = sealed.dropFirst().prefix(Key.idBytes)
        guard let key = keys.first(where: { $0.id.elementsEqual(id) }),
            let box = try? AES.GCM.SealedBox(combined: sealed.dropFirst(1 + Key.idBytes)),
            let content = try? AES.GCM.open(box, using: key.sealing, authenticating: Array(name.utf8))
        else { return nil }
        return Array(content)
    }

    private static func hex(_ bytes: some Sequence<UInt8>) -> String {
        bytes.prefix(16).map { byte in
            let digits = String(byte, radix: 16)
            return byte < 16 ? "0" + digits : digits
        }
        .joined()
    }
}

extension FleetSealing: CustomReflectable {
    /// A mirror without children, because the keys are secret.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
#endif

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// An IPv4 or IPv6 address. An IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2) becomes the IPv4 address.
public struct IPAddress: Sendable, Hashable, CustomStringConvertible {
    /// The address in network byte order: 4 or 16 bytes.
    public let bytes: [UInt8]

    /// Parses the usual text forms, without brackets, port, zone or leading zeros; `nil` for anything else.
    public init?(_ text: some StringProtocol) {
        guard let bytes = Self.bytes(of: text) else { return nil }
        self.bytes = Self.isMapped(bytes) ? Array(bytes.suffix(4)) : bytes
    }

    /// Returns the bytes of an address as written; 16 bytes for a mapped one.
    fileprivate static func bytes(of text: some StringProtocol) -> [UInt8]? {
        // `inet_pton` would stop at a zero byte.
        guard text.utf8.count <= 45, text.utf8.allSatisfy({ hexDigitValue($0) != nil || ":.".utf8.contains($0) }) else {
            return nil
        }
        let isIPv6 = text.utf8.contains(UInt8(ascii: ":"))
        var bytes = [UInt8](repeating: 0, count: isIPv6 ? 16 : 4)
        return inet_pton(isIPv6 ? AF_INET6 : AF_INET, String(text), &bytes) == 1 ? bytes : nil
    }

    fileprivate static func isMapped(_ bytes: [UInt8]) -> Bool {
        bytes.count == 16 && bytes.starts(with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF])
    }

    fileprivate init(bytes: [UInt8]) { self.bytes = bytes }

    /// The usual text form, such as `192.0.2.1` or, as in RFC 5952, `2001:db8::1`.
    public var description: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count)) != nil else {
            return "unknown"
        }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Whether the address is this machine's own: `127.0.0.0/8` or `::1`.
    package var isLoopback: Bool {
        bytes.count == 4 ? bytes.first == 127 : bytes.last == 1 && bytes.dropLast().allSatisfy { $0 == 0 }
    }
}

/// A client's address as a key: an IPv4 address, or the first 64 bits of an IPv6 address, which one client has to
/// itself. All clients whose address is not known share one key.
package struct AddressKey: Hashable, Sendable {
    private var isIPv6: Bool
    private var bits: UInt64

    package init(_ address: IPAddress?) {
        let bytes = address?.bytes ?? []
        isIPv6 = bytes.count > 4
        bits = bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// A block of IP addresses in CIDR notation (RFC 4632), such as `10.0.0.0/8` or `fd00::/8`, or a single address.
public struct IPAddressBlock: Sendable, Hashable {
    private let first: IPAddress
    private let prefixLength: Int

    /// Parses a block; `nil` for anything else, and if bits after the prefix are set, which is hardly intended.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let bytes = parts.first.flatMap({ IPAddress.bytes(of: $0) }) else { return nil }
        var prefixLength = bytes.count * 8
        if parts.count == 2 {
            guard (1...3).contains(parts[1].utf8.count), parts[1].utf8.allSatisfy({ 48...57 ~= $0 }),
                let length = Int(parts[1]), length <= prefixLength
            else { return nil }
            prefixLength = length
        }
        guard Self.masked(bytes, prefixLength) == bytes else { return nil }
        if IPAddress.isMapped(bytes), prefixLength >= 96 {
            self.first = IPAddress(bytes: Array(bytes.suffix(4)))
            self.prefixLength = prefixLength - 96
        } else {
            self.first = IPAddress(bytes: bytes)
            self.prefixLength = prefixLength
        }
    }

    /// Returns whether the block contains `address`.
    public func contains(_ address: IPAddress) -> Bool {
        address.bytes.count == first.bytes.count && Self.masked(address.bytes, prefixLength) == first.bytes
    }

    private static func masked(_ bytes: [UInt8], _ prefixLength: Int) -> [UInt8] {
        bytes.enumerated().map { index, byte in
            let kept = min(8, max(0, prefixLength - index * 8))
            return kept == 0 ? 0 : byte & (0xFF << (8 - kept))
        }
    }
}

extension [IPAddressBlock] {
    /// Whether the blocks together are too large to identify anyone: they have a sixteenth or more of all IPv4
    /// addresses, or of the global unicast IPv6 addresses (`2000::/3`). No proxy and no company's network has that
    /// many.
    package var areEverybody: Bool {
        let globalIPv6 = UInt128(0x2000) << 112...UInt128(0x3FFF) << 112 | (UInt128(1) << 112 - 1)
        return count(ofLength: 4, within: 0...UInt128(UInt32.max)) >= UInt128(1) << 28
            || count(ofLength: 16, within: globalIPv6) >= UInt128(1) << 121
    }

    /// Returns the number of addresses of `length` bytes that are both in `range` and in one of the blocks.
    private func count(ofLength length: Int, within range: ClosedRange<UInt128>) -> UInt128 {
        let ranges = filter { $0.length == length }.map(\.range).filter { $0.overlaps(range) }
            .map { $0.clamped(to: range) }.sorted { $0.lowerBound < $1.lowerBound }
        var count: UInt128 = 0
        var end: UInt128?
        for range in ranges {
            let start = end.map { Swift.max($0 + 1, range.lowerBound) } ?? range.lowerBound
            guard start <= range.upperBound else { continue }
            count += range.upperBound - start + 1
            end = range.upperBound
        }
        return count
    }
}

extension IPAddressBlock {
    /// The length of the block's addresses, in bytes.
    fileprivate var length: Int { first.bytes.count }

    fileprivate var range: ClosedRange<UInt128> {
        let start = first.bytes.reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
        let free = length * 8 - prefixLength
        return start...start | (free == 128 ? .max : UInt128(1) << free - 1)
    }
}

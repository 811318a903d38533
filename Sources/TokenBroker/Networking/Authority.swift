/// A host: a registered name or an IP address (RFC 3986, section 3.2.2). It is normalized, so that equal hosts are
/// equal values.
///
/// It is stricter than the RFC, which accepts nearly every text as a name. A name consists of labels of letters,
/// digits, `-`, `_` and `~`. Anything that some resolver reads as an IPv4 address in another notation (`127.1`,
/// `0x7f000001`) is refused. Internationalized names are accepted only in their ASCII form (`xn--…`).
package struct Host: Hashable, Sendable, CustomStringConvertible {
    private enum Value: Hashable {
        /// The name in lower case, without the root's trailing dot.
        case name([UInt8])
        case address(IPAddress)
    }

    private let value: Value
    /// The host as in a URL: in lower case, without a trailing dot, an IPv6 address in brackets.
    package let description: String

    /// Parses a host as in a URL; `nil` if it is malformed.
    /// - Parameter text: A name, an IPv4 address, or an IPv6 address in brackets, without port, zone or user
    ///   information.
    package init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        guard bytes.first == UInt8(ascii: "[") else {
            self.init(unbracketed: bytes)
            return
        }
        guard bytes.last == UInt8(ascii: "]"), bytes.contains(UInt8(ascii: ":")) else { return nil }
        self.init(address: String(decoding: bytes.dropFirst().dropLast(), as: UTF8.self))
    }

    /// Parses a host that stands alone; `nil` if it is malformed.
    /// - Parameter text: A name or an IP address. An IPv6 address has no brackets.
    package init?(bare text: some StringProtocol) {
        if text.utf8.contains(UInt8(ascii: ":")) {
            self.init(address: text)
        } else {
            self.init(unbracketed: Array(text.utf8))
        }
    }

    private init?(address text: some StringProtocol) {
        guard let address = IPAddress(text) else { return nil }
        let text = text.lowercased()
        self.init(.address(address), text.utf8.contains(UInt8(ascii: ":")) ? "[\(text)]" : text)
    }

    private init(_ value: Value, _ description: String) {
        self.value = value
        self.description = description
    }

    private init?(unbracketed bytes: [UInt8]) {
        guard (1...254).contains(bytes.count) else { return nil }
        let name = bytes.map { UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0 ? $0 | 0x20 : $0 }
        let text = String(decoding: name, as: UTF8.self)
        if name.allSatisfy({ $0 == UInt8(ascii: ".") || isDigit($0) }) {
            self.init(address: text)
            return
        }
        var labels = name.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        if labels.last?.isEmpty == true { labels.removeLast() }
        guard let last = labels.last, !Self.isNumber(last),
            labels.allSatisfy({ (1...63).contains($0.count) && $0.allSatisfy(Self.mayStandInName) }),
            labels.reduce(labels.count - 1, { $0 + $1.count }) <= 253
        else { return nil }
        let normalized = Array(labels.joined(separator: [UInt8(ascii: ".")]))
        self.init(.name(normalized), String(decoding: normalized, as: UTF8.self))
    }

    /// Whether the host is this machine by definition: `localhost` and the names below it (RFC 6761, section 6.3),
    /// `127.0.0.0/8` and `::1`.
    package var isLoopback: Bool {
        switch value {
        case .address(let address): address.isLoopback
        case .name(let name): name == Array("localhost".utf8) || name.suffix(10).elementsEqual(".localhost".utf8)
        }
    }

    package static func == (left: Host, right: Host) -> Bool { left.value == right.value }
    package func hash(into hasher: inout Hasher) { hasher.combine(value) }

    private static func mayStandInName(_ byte: UInt8) -> Bool {
        isDigit(byte) || UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || "-_~".utf8.contains(byte)
    }

    /// Whether the last label makes resolvers read the whole name as a decimal, octal or hexadecimal IPv4 address.
    private static func isNumber(_ label: ArraySlice<UInt8>) -> Bool {
        label.allSatisfy(isDigit)
            || label.starts(with: "0x".utf8) && label.dropFirst(2).allSatisfy { hexDigitValue($0) != nil }
    }
}

/// A host and an optional port, as in `Host` and in a URL (RFC 3986, section 3.2), without user information.
package struct Authority: Hashable, Sendable, CustomStringConvertible {
    package let host: Host
    /// The port; `nil` if none is written.
    package let port: UInt16?

    /// Parses `host` or `host:port`; `nil` for anything else.
    package init?(_ text: some StringProtocol) {
        let bytes = text.utf8
        let nameEnd =
            bytes.first == UInt8(ascii: "[")
            ? bytes.firstIndex(of: UInt8(ascii: "]")).map(bytes.index(after:)) ?? bytes.endIndex
            : bytes.firstIndex(of: UInt8(ascii: ":")) ?? bytes.endIndex
        let rest = bytes[nameEnd...]
        guard let host = Host(text[..<nameEnd]) else { return nil }
        self.host = host
        guard rest.first == UInt8(ascii: ":") else {
            guard rest.isEmpty else { return nil }
            port = nil
            return
        }
        let digits = rest.dropFirst()
        guard (1...5).contains(digits.count), digits.allSatisfy(isDigit),
            let port = UInt16(String(decoding: digits, as: UTF8.self))
        else { return nil }
        self.port = port
    }

    /// Returns the port that is used with `scheme`; `nil` if none is written and the scheme has no known default.
    package func port(under scheme: String) -> UInt16? {
        switch (port, scheme) {
        case (let port?, _): port
        case (nil, "https"): 443
        case (nil, "http"): 80
        default: nil
        }
    }

    /// The normalized form.
    package var description: String { port.map { "\(host):\($0)" } ?? host.description }
}

/// The scheme, host and port of a page (RFC 6454).
package struct Origin: Sendable, CustomStringConvertible {
    /// The scheme, in lower case.
    package let scheme: String
    package let authority: Authority

    /// Parses `scheme://host[:port]`; `nil` for anything else, including `null`.
    package init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")), (1...32).contains(colon),
            bytes[colon...].starts(with: "://".utf8),
            bytes[..<colon].allSatisfy({ isLetter($0) || isDigit($0) || "+-.".utf8.contains($0) }), isLetter(bytes[0]),
            let authority = Authority(String(decoding: bytes[(colon + 3)...], as: UTF8.self))
        else { return nil }
        scheme = String(decoding: bytes[..<colon], as: UTF8.self).lowercased()
        self.authority = authority
    }

    /// Returns whether a page of this origin comes from the server that was requested as `authority`, whose scheme is
    /// not known.
    package func isServed(by authority: Authority) -> Bool {
        guard scheme == "https" || scheme == "http" else { return false }
        return self.authority.host == authority.host
            && self.authority.port(under: scheme) == authority.port(under: scheme)
    }

    /// The normalized form.
    package var description: String { "\(scheme)://\(authority)" }
}

private func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }
private func isLetter(_ byte: UInt8) -> Bool { UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20 }

import HTTPTypes

/// Determines the client's address, and the host it requested, when there are proxies in between.
///
/// Only listed proxies are trusted. `Forwarded` (RFC 7239) and `X-Forwarded-For` are read from the end, where the
/// nearest proxy writes, up to the first address that is not a listed proxy's.
struct ClientAddresses: Sendable {
    let trustedProxies: [IPAddressBlock]

    /// - Parameter trustedProxies: The listed proxies. If they include practically everyone, none is trusted.
    init(trustedProxies: [IPAddressBlock]) {
        self.trustedProxies = trustedProxies.areEverybody ? [] : trustedProxies
    }

    /// Returns the host that the client requested. If a listed proxy names it in the last element of `Forwarded` or of
    /// `X-Forwarded-Host`, that one counts; otherwise the one in `Host`.
    /// - Returns: `nil` if it is not known: no host, a malformed one, or a proxy that names two different ones.
    func authority(of request: EndpointRequest) -> Authority? {
        let own = request.head.authority.flatMap { Authority($0) }
        guard let peer = peer(of: request), isTrusted(peer) else { return own }
        let fields = request.head.headerFields
        var named: [Authority?] = []
        if let forwarded = fields.joined("forwarded") {
            guard let hosts = elements(ofForwarded: forwarded, parameter: "host") else { return nil }
            if let host = hosts.last, !host.isEmpty { named.append(Authority(host)) }
        }
        if let hosts = fields.joined("x-forwarded-host"),
            let last = hosts.split(separator: ",", omittingEmptySubsequences: false).last
        {
            named.append(Authority(last.trimmingWhiteSpace))
        }
        guard let first = named.first else { return own }
        return named.allSatisfy { $0 == first } ? first : nil
    }

    /// Returns the client's address; `nil` if it is not known.
    func client(of request: EndpointRequest) -> IPAddress? {
        guard let peer = peer(of: request) else { return nil }
        guard isTrusted(peer) else { return peer }
        let fields = request.head.headerFields
        let forwarded = fields.joined("forwarded") ?? ""
        let forwardedFor = fields.joined("x-forwarded-for") ?? ""
        switch (forwarded.isEmpty, forwardedFor.isEmpty) {
        case (true, true): return peer
        case (true, false): return client(behind: peer, hopsOf(xForwardedFor: forwardedFor))
        case (false, true): return client(behind: peer, hopsOf(forwarded: forwarded))
        case (false, false):
            // A proxy writes one of the two and passes on the client's own text in the other, and nothing tells which.
            let client = client(behind: peer, hopsOf(forwarded: forwarded))
            return client == self.client(behind: peer, hopsOf(xForwardedFor: forwardedFor)) ? client : peer
        }
    }

    /// Returns whether a listed proxy sent the request.
    func isFromTrustedProxy(_ request: EndpointRequest) -> Bool { peer(of: request).map(isTrusted) ?? false }

    /// Returns whether an unlisted proxy seems to be in front, so that all requests seem to come from one client.
    func seemsToComeThroughUnlistedProxy(_ request: EndpointRequest) -> Bool {
        let fields = request.head.headerFields
        guard fields.contains(where: { ["forwarded", "x-forwarded-for"].contains($0.name.canonicalName) }),
            let peer = peer(of: request)
        else { return false }
        return !isTrusted(peer) && Self.inside.contains { $0.contains(peer) }
    }

    /// The addresses of an operator's own proxies: this machine, or a private network (RFC 1918, RFC 4193).
    private static let inside = ["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
        .compactMap { IPAddressBlock($0) }

    private func peer(of request: EndpointRequest) -> IPAddress? {
        // A client on a Unix socket is on this machine.
        request.peer.flatMap { $0.ipAddress ?? IPAddress("127.0.0.1") }
    }

    private func isTrusted(_ address: IPAddress) -> Bool { trustedProxies.contains { $0.contains(address) } }

    private func client(behind peer: IPAddress, _ hops: [Substring]?) -> IPAddress {
        var client = peer
        for hop in (hops ?? []).reversed() {
            guard isTrusted(client), let next = address(ofNode: hop) else { break }
            client = next
        }
        return client
    }

    private func hopsOf(xForwardedFor value: String) -> [Substring] {
        value.split(separator: ",").suffix(Self.maximumHops).map(\.trimmingWhiteSpace)
    }

    /// More than any real chain of proxies has.
    private static let maximumHops = 20

    private func hopsOf(forwarded value: String) -> [Substring]? {
        elements(ofForwarded: value, parameter: "for")?.suffix(Self.maximumHops)
    }

    /// Returns the value of a parameter in each element, empty if it is absent; `nil` if the field is malformed.
    private func elements(ofForwarded value: String, parameter: String) -> [Substring]? {
        var values: [Substring] = []
        guard let elements = splitOutsideQuotes(value[...], at: ",") else { return nil }
        for element in elements where !element.isEmpty {
            guard let pairs = splitOutsideQuotes(element, at: ";") else { return nil }
            var found: Substring = ""
            for pair in pairs {
                let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                guard parts.count == 2 else { return nil }
                guard parts[0].lowercased() == parameter else { continue }
                guard found.isEmpty else { return nil }
                found = parts[1]
            }
            if found.count >= 2, found.hasPrefix("\""), found.hasSuffix("\"") { found = found.dropFirst().dropLast() }
            values.append(found)
        }
        return values
    }

    /// Splits text at separators outside quoted strings; `nil` if a quoted string does not end.
    private func splitOutsideQuotes(_ text: Substring, at separator: Character) -> [Substring]? {
        var (parts, isQuoted, isEscaped) = ([Substring](), false, false)
        var start = text.startIndex
        for index in text.indices {
            let character = text[index]
            if isEscaped {
                isEscaped = false
            } else if isQuoted, character == "\\" {
                isEscaped = true
            } else if character == "\"" {
                isQuoted.toggle()
            } else if !isQuoted, character == separator {
                parts.append(text[start..<index].trimmingWhiteSpace)
                start = text.index(after: index)
            }
        }
        guard !isQuoted else { return nil }
        return parts + [text[start...].trimmingWhiteSpace]
    }

    /// Parses an address with or without a port, an IPv6 address with or without brackets; `nil` for `unknown` and
    /// names.
    private func address(ofNode node: Substring) -> IPAddress? {
        if node.hasPrefix("[") {
            guard let end = node.firstIndex(of: "]") else { return nil }
            return IPAddress(node[node.index(after: node.startIndex)..<end])
        }
        if let address = IPAddress(node) { return address }
        guard let colon = node.firstIndex(of: ":") else { return nil }
        return IPAddress(node[..<colon])
    }
}

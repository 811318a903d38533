/// The address of the other end of a connection.
public enum PeerAddress: Sendable, Hashable, CustomStringConvertible {
    /// A client that connected over IP. The port is left out, because it does not identify the client.
    case ip(IPAddress)
    /// A client on this machine that connected over a Unix domain socket.
    case unixSocket

    /// Creates the address of a client that connected over IP; `nil` if the text is malformed.
    ///
    /// - Parameter text: An IP address without brackets, port or zone.
    public init?(ip text: some StringProtocol) {
        guard let address = IPAddress(text) else { return nil }
        self = .ip(address)
    }

    /// The IP address; `nil` for a Unix domain socket.
    public var ipAddress: IPAddress? {
        if case .ip(let address) = self { address } else { nil }
    }

    /// A Boolean value that indicates whether the peer is on this machine: `127.0.0.0/8`, `::1`, an IPv4-mapped
    /// `127.0.0.0/8`, or a Unix domain socket.
    public var isLoopback: Bool { ipAddress?.isLoopback ?? true }

    /// The address as text, or `unix`.
    public var description: String { ipAddress?.description ?? "unix" }
}

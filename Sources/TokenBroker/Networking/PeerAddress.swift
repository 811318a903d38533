/// The other end of a connection.
public enum PeerAddress: Sendable, Hashable, CustomStringConvertible {
    /// A client that came over IP. The port says nothing about who it is.
    case ip(IPAddress)
    /// A client on this machine that came over a Unix domain socket.
    case unixSocket

    /// - Parameter text: An IP address, without brackets, port or zone; `nil` for anything else.
    public init?(ip text: some StringProtocol) {
        guard let address = IPAddress(text) else { return nil }
        self = .ip(address)
    }

    /// The IP address; `nil` for a Unix domain socket.
    public var ipAddress: IPAddress? {
        if case .ip(let address) = self { address } else { nil }
    }

    /// Whether it is on this machine: `127.0.0.0/8`, `::1`, an IPv4-mapped `127.0.0.0/8`, or a Unix domain socket.
    public var isLoopback: Bool { ipAddress?.isLoopback ?? true }

    /// The address as text, or `unix`.
    public var description: String { ipAddress?.description ?? "unix" }
}

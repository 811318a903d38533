/// The other end of a connection.
public struct PeerAddress: Sendable, Hashable {
    /// An IP address in text form, without brackets, port or zone; empty for a Unix socket.
    public var ip: String

    /// Takes all members, in their order of declaration.
    public init(ip: String) { self.ip = ip }

    /// Whether it is on this machine: `127.0.0.0/8`, `::1`, an IPv4-mapped `127.0.0.0/8`, or a Unix socket.
    public var isLoopback: Bool { ip.isEmpty || IPAddress(ip)?.isLoopback == true }
}

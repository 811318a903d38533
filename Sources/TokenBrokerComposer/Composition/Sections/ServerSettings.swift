public import TokenBroker

/// The `server` section of a configuration, for whoever runs the server.
public struct ServerSettings: Sendable, Hashable {
    /// A name or an address.
    public var host = "127.0.0.1"
    /// 0 for any free port.
    public var port = 8080
    /// How long requests in flight may take when the server is told to stop.
    public var shutdownTimeout: Duration = .seconds(10)
    /// How long the head of a request may take to arrive, from the connection or its first byte on.
    public var headTimeout: Duration = .seconds(10)
    /// How long a connection is kept open between requests.
    public var idleTimeout: Duration = .seconds(75)
    /// How large the header fields of a request may be, in bytes, all together.
    public var headerBytes = 16_384
    /// How many connections may be open at once.
    public var connections = 2_000
    /// How many of them may be one address's (IPv6: its first 64 bits).
    public var connectionsPerAddress = 500
    /// The proxies in front, which may have all of them.
    public var trustedProxies: [IPAddressBlock] = []

    /// The defaults.
    public init() {}
}

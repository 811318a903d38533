public import TokenBroker

/// The settings of the section `server`, for the code that runs the server.
public struct ServerSettings: Sendable, Hashable {
    /// The host name or IP address to listen on.
    public var host = "127.0.0.1"
    /// The port to listen on; 0 for any free port.
    public var port = 8080
    /// The time that requests in flight have to finish when the server is told to stop.
    public var shutdownTimeout: Duration = .seconds(10)
    /// How long everything is still served after the server was told to stop, while it is not ready.
    public var shutdownDelay: Duration = .zero
    /// The time that the head of a request has to arrive, from the start of the connection or its first byte.
    public var headTimeout: Duration = .seconds(10)
    /// The time that an idle connection stays open.
    public var idleTimeout: Duration = .seconds(75)
    /// The maximum total size of a request's header fields, in bytes.
    public var headerBytes = 16_384
    /// The maximum number of open connections.
    public var connections = 2_000
    /// The maximum number of open connections from one address (IPv6: its first 64 bits).
    public var connectionsPerAddress = 500
    /// The addresses of proxies in front, to which the limit per address does not apply.
    public var trustedProxies: [IPAddressBlock] = []

    /// Creates settings with the default values.
    public init() {}
}

import CSlowResolver
public import TokenBrokerTesting

/// A socket fixture with TLS servers, which are nginx, and with a name that never resolves.
public protocol TLSTransportFixture: SocketTransportFixture {}

extension TLSTransportFixture {
    /// All capabilities.
    public static var capabilities: HTTPTransportContract.Capabilities { [.sockets, .tls] }

    /// Runs `body` with nginx, or with a resolver that does not respond.
    public func withExternalServer(
        _ server: HTTPTransportContract.Server,
        _ body: (_ caFile: String?, _ scheme: String, _ authority: String) async throws -> Void
    ) async throws {
        guard case .presents(let certificate) = server else {
            slow_resolver_install()
            return try await body(nil, "https", "name.slow.invalid")
        }
        let servers = try TLSServers()
        defer { servers.stop() }
        let name =
            switch certificate {
            case .trusted: "trusted"
            case .untrusted: "untrusted"
            case .expired: "expired"
            case .forAnotherHost: "another-host"
            }
        try await body(servers.caFile, "https", "localhost:\(servers.ports[name] ?? 0)")
    }
}

#if ConfigurationSupport
import TokenBroker

/// The section `server`: where the program listens, and what it takes from its clients.
enum ServerSection {
    static let path = ["server"]

    struct Keys: ConfigurationKeys {
        let host = ConfigurationKey(
            "host", .text.filter("a host name or an IP address, without port or brackets") { Host(bare: $0) != nil },
            default: "127.0.0.1", "Where the server listens."
        )
        let port = ConfigurationKey(
            "port", .integer(0...65535), default: 8080, "Where the server listens; 0 for any free port.")
        let shutdownTimeout = ConfigurationKey(
            "shutdownTimeout", .duration(.zero ... .seconds(600)), default: .seconds(10), formerly: "shutdownDeadline",
            "How long requests in flight may take when the server is told to stop."
        )
        let headTimeout = ConfigurationKey(
            "headTimeout", .duration(.milliseconds(100) ... .seconds(300)), default: .seconds(10),
            formerly: "headDeadline",
            "How long the head of a request may take to arrive, from the connection or its first byte on."
        )
        let idleTimeout = ConfigurationKey(
            "idleTimeout", .duration(.milliseconds(100) ... .seconds(3600)), default: .seconds(75),
            "How long a connection is kept open between requests. Longer than that of a proxy in front."
        )
        let headerBytes = ConfigurationKey(
            "headerBytes", .integer(1024...1_048_576), default: 16_384,
            "How large the header fields of a request may be, all together; there may be 100 of them."
        )
        let connections = ConfigurationKey(
            "connections", .integer(1...1_000_000), default: 2_000,
            "How many connections are open at once; further ones wait to be accepted."
        )
        let connectionsPerAddress = ConfigurationKey(
            "connectionsPerAddress", .optional(.integer(1...1_000_000)), default: nil,
            "How many of them may be one address's (IPv6: its first 64 bits), trusted proxies excepted; further ones are closed. "
                + "Otherwise a quarter of `server.connections`."
        )
        let trustedProxies = ConfigurationKey(
            "trustedProxies", .list(of: .addressBlock), default: [],
            "The proxies in front, believed in `Forwarded`, `X-Forwarded-For` and `X-Forwarded-Host` about whose address a "
                + "request comes from and which host it asked."
        )
    }

    static func read(_ reader: ConfigurationReader) -> ServerSettings? {
        guard let values = reader.read(Keys(), in: path) else { return nil }
        guard !values.trustedProxies.areEverybody else {
            reader.note(
                .conflict, path + ["trustedProxies"],
                message:
                    "expected blocks with the addresses of your proxies, found ones that practically everybody is in, "
                    + "so that anybody could say whose address a request comes from"
            )
            return nil
        }
        var settings = ServerSettings()
        settings.host = values.host
        settings.port = values.port
        settings.shutdownTimeout = values.shutdownTimeout
        settings.headTimeout = values.headTimeout
        settings.idleTimeout = values.idleTimeout
        settings.headerBytes = values.headerBytes
        settings.connections = values.connections
        settings.connectionsPerAddress = values.connectionsPerAddress ?? max(1, values.connections / 4)
        settings.trustedProxies = values.trustedProxies
        return settings
    }
}
#endif

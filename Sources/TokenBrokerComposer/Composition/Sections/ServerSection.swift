#if ConfigurationSupport
import TokenBroker

/// The section `server`: where the program listens, and the limits for its clients.
enum ServerSection {
    static let path = ["server"]

    struct Keys: ConfigurationKeys {
        let host = ConfigurationKey(
            "host", .text.filter("a host name or an IP address, without port or brackets") { Host(bare: $0) != nil },
            default: "127.0.0.1", "The host name or IP address to listen on."
        )
        let port = ConfigurationKey(
            "port", .integer(0...65535), default: 8080, "The port to listen on; 0 for any free port.")
        let shutdownTimeout = ConfigurationKey(
            "shutdownTimeout", .duration(.zero ... .seconds(600)), default: .seconds(10), formerly: "shutdownDeadline",
            "The time that requests in flight have to finish when the server is told to stop."
        )
        let shutdownDelay = ConfigurationKey(
            "shutdownDelay", .duration(.zero ... .seconds(600)), default: .zero,
            "How long requests are still served after the server was told to stop, while it is not ready, so that load "
                + "balancers can send new ones elsewhere."
        )
        let headTimeout = ConfigurationKey(
            "headTimeout", .duration(.milliseconds(100) ... .seconds(300)), default: .seconds(10),
            formerly: "headDeadline",
            "The time that the head of a request has to arrive, from the start of the connection or its first byte."
        )
        let idleTimeout = ConfigurationKey(
            "idleTimeout", .duration(.milliseconds(100) ... .seconds(3600)), default: .seconds(75),
            "The time that an idle connection stays open. It should exceed the idle timeout of a proxy in front."
        )
        let headerBytes = ConfigurationKey(
            "headerBytes", .integer(1024...1_048_576), default: 16_384,
            "The maximum total size of a request's header fields, in bytes. Up to 100 fields are accepted."
        )
        let connections = ConfigurationKey(
            "connections", .integer(1...1_000_000), default: 2_000,
            "The maximum number of open connections; further ones wait to be accepted."
        )
        let connectionsPerAddress = ConfigurationKey(
            "connectionsPerAddress", .optional(.integer(1...1_000_000)), default: nil,
            "The maximum number of open connections from one address (IPv6: its first 64 bits), except trusted "
                + "proxies; further ones are closed. By default, a quarter of `server.connections`."
        )
        let trustedProxies = ConfigurationKey(
            "trustedProxies", .list(of: .addressBlock), default: [],
            "The addresses of proxies in front. Their fields `Forwarded`, `X-Forwarded-For` and `X-Forwarded-Host` are "
                + "trusted for the client's address and the requested host."
        )
    }

    static func read(_ reader: ConfigurationReader) -> ServerSettings? {
        guard let values = reader.read(Keys(), in: path) else { return nil }
        guard !values.trustedProxies.areEverybody else {
            reader.note(
                .conflict, path + ["trustedProxies"],
                message:
                    "expected blocks with the addresses of your proxies, found blocks that cover practically every address, "
                    + "so that anyone could forge the address that a request comes from"
            )
            return nil
        }
        var settings = ServerSettings()
        settings.host = values.host
        settings.port = values.port
        settings.shutdownTimeout = values.shutdownTimeout
        settings.shutdownDelay = values.shutdownDelay
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

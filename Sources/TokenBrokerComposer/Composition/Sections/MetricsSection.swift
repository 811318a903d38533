#if ConfigurationSupport
import TokenBroker

/// The section `metrics`: where the program serves its metrics.
enum MetricsSection {
    static let path = ["metrics"]

    struct Keys: ConfigurationKeys {
        let host = ConfigurationKey(
            "host", .text.filter("a host name or an IP address, without port or brackets") { Host(bare: $0) != nil },
            default: "127.0.0.1",
            "The host name or IP address to serve metrics on. Everybody who can reach it can read them."
        )
        let port = ConfigurationKey(
            "port", .optional(.integer(0...65535)), default: nil,
            "The port to serve metrics on, at `/metrics`, for Prometheus; 0 for any free port. By default, they are not "
                + "served."
        )
    }

    /// - Returns: The settings; an inner `nil` if no metrics are to be served, and an outer `nil` after a problem.
    static func read(_ reader: ConfigurationReader) -> MetricsSettings?? {
        guard let values = reader.read(Keys(), in: path) else { return nil }
        guard let port = values.port else {
            if reader.isSet(path + ["host"]) {
                reader.warn("metrics.host has no effect, since metrics.port is not set")
            }
            return .some(nil)
        }
        var settings = MetricsSettings()
        (settings.host, settings.port) = (values.host, port)
        return .some(settings)
    }
}
#endif

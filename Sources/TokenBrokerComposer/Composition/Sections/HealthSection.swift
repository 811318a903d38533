#if ConfigurationSupport
import TokenBroker

/// The section `health`: what load balancers ask.
enum HealthSection {
    static let path = ["health"]

    struct Keys: ConfigurationKeys {
        let livePath = ConfigurationKey(
            "livePath", .pathOrNone("/healthz"), default: "/healthz", "Where to ask whether the process is alive.")
        let readyPath = ConfigurationKey(
            "readyPath", .pathOrNone("/readyz"), default: "/readyz", "Where to ask whether it can serve.")
    }

    /// - Parameter route: Its paths are taken already.
    static func read(
        _ reader: ConfigurationReader, _ route: ConfigurationValues<RouteSection.Keys>?
    ) -> ConfigurationValues<Keys>? {
        guard let values = reader.read(Keys(), in: path) else { return nil }
        let paths = [
            (["route", "path"], route?.path), (["route", "openapiPath"], route?.openAPIPath),
            (["health", "livePath"], values.livePath), (["health", "readyPath"], values.readyPath),
        ]
        for (index, (key, path)) in paths.enumerated() where path != nil {
            guard let (other, _) = paths[..<index].first(where: { $0.1 == path }) else { continue }
            reader.note(
                .conflict, key,
                message: "expected another path than that of \(other.joined(separator: ".")), found the same"
            )
        }
        return values
    }
}
#endif

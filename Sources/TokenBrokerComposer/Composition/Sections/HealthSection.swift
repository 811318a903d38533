#if ConfigurationSupport
import TokenBroker

/// The section `health`: the endpoints for load balancers.
enum HealthSection {
    static let path = ["health"]

    struct Keys: ConfigurationKeys {
        let livePath = ConfigurationKey(
            "livePath", .pathOrNone("/healthz"), default: "/healthz",
            "The path that reports whether the process is alive."
        )
        let readyPath = ConfigurationKey(
            "readyPath", .pathOrNone("/readyz"), default: "/readyz",
            "The path that reports whether tokens can be served."
        )
    }

    /// - Parameter route: The values of the section `route`, whose paths are already taken.
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
                message: "expected a path other than that of \(other.joined(separator: ".")), found the same"
            )
        }
        return values
    }
}
#endif

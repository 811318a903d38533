#if ConfigurationSupport
/// Returns the environment without the service links of Kubernetes and Docker whose names begin like the broker's
/// variables.
///
/// If `X_SERVICE_HOST` is set, then `X_SERVICE_…`, `X_PORT_<n>_…` and, if its value is a URL, `X_PORT` are service
/// links. For example, a service `token-broker-server` sets `TOKEN_BROKER_SERVER_PORT`, which would override
/// `server.port`.
func withoutServiceLinks(_ environment: [String: String]) -> [String: String] {
    let host = "_SERVICE_HOST"
    let services = environment.keys.filter { $0.hasPrefix("TOKEN_BROKER") && $0.hasSuffix(host) }
        .map { $0.dropLast(host.count) }
    guard !services.isEmpty else { return environment }
    return environment.filter { name, value in
        !services.contains { service in
            guard name.hasPrefix(service + "_") else { return false }
            let words = name.dropFirst(service.count + 1).split(separator: "_", omittingEmptySubsequences: false)
            switch words.first {
            case "SERVICE": return words.count > 1
            case "PORT" where words.count == 1:
                return ["tcp://", "udp://", "sctp://"].contains { value.hasPrefix($0) }
            case "PORT": return words.count > 2 && UInt16(words[1]) != nil
            default: return false
            }
        }
    }
}
#endif

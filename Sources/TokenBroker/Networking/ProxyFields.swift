import HTTPTypes

extension EndpointRequest {
    /// Whether the request comes from this machine, to a name of this machine, and through no proxy.
    var isLocal: Bool {
        peer?.isLoopback == true && head.authority.flatMap { Authority($0) }?.host.isLoopback == true && !isForwarded
    }

    /// Whether a proxy forwarded the request to the peer, as far as the header fields show.
    var isForwarded: Bool { head.headerFields.contains { $0.name.isProxyField } }
}

extension HTTPField.Name {
    /// Whether proxies and CDNs add a field of this name to the requests that they forward.
    var isProxyField: Bool {
        Self.proxyFields.contains(canonicalName)
            || Self.proxyFieldPrefixes.contains { canonicalName.utf8.starts(with: $0.utf8) }
    }

    private static let proxyFields: Set<String> = [
        "forwarded", "via", "x-forwarded", "forwarded-for", "x-real-ip", "x-client-ip", "x-cluster-client-ip",
        "cf-connecting-ip", "cf-connecting-ipv6", "true-client-ip", "fastly-client-ip", "x-appengine-user-ip",
        "x-azure-clientip", "x-azure-socketip", "x-envoy-external-address", "x-proxyuser-ip",
    ]
    private static let proxyFieldPrefixes = ["x-forwarded-", "x-original-"]
}

import HTTPTypes

/// Open mode's answer to who asks: whoever sits at this machine.
///
/// A request counts if it comes from a loopback peer, to a loopback host, and not through a proxy, as far as its
/// header fields tell (``EndpointRequest/isLocal``). The host is looked at so that a page of another site that points
/// its own name at this machine (DNS rebinding) gets nothing.
public struct OpenModeAuthenticator: Authenticator {
    /// Nothing to configure.
    public init() {}

    /// Returns the principal `local` for a request from this machine.
    public func authenticate(_ request: EndpointRequest) async throws -> Principal? {
        guard request.isLocal else { throw AccessRefusal("not_local") }
        return Principal(subject: "local")
    }
}

extension EndpointRequest {
    /// Whether it comes from this machine, to a name of this machine, and through no proxy.
    var isLocal: Bool {
        peer?.isLoopback == true && head.authority.flatMap { Authority($0) }?.host.isLoopback == true && !isForwarded
    }

    /// Whether a proxy stands before the peer, as far as its header fields tell.
    var isForwarded: Bool { head.headerFields.contains { $0.name.isProxyField } }
}

extension HTTPField.Name {
    /// Whether proxies and CDNs put a field of this name into the requests that they pass on.
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

/// Open mode's answer to what they may have: everything. Only ever together with ``OpenModeAuthenticator``.
public struct OpenModePolicy: AccessPolicy {
    /// Nothing to configure.
    public init() {}

    /// It looks at nothing.
    public let binds: AccessBinding = []

    /// See ``AccessPolicy/authorize(_:for:)``; the type tells what is particular.
    public func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool { true }
}

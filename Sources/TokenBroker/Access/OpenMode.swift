import HTTPTypes

/// Open mode's answer to who asks: whoever sits at this machine.
///
/// A request counts if it comes from a loopback peer, to a loopback host, and not through a proxy: without `Forwarded`, `X-Forwarded-*` and
/// `Via`. The host is looked at so that a page of another site that points its own name at this machine (DNS
/// rebinding) gets nothing.
public struct OpenModeAuthenticator: Authenticator {
    /// Nothing to configure.
    public init() {}

    /// See ``Authenticator/authenticate(_:)``; the type tells what is particular.
    public func authenticate(_ request: RouteRequest) async throws -> Principal? {
        guard let peer = request.peer, peer.isLoopback,
            let authority = request.head.authority, let host = host(ofAuthority: authority), isLoopbackHost(host),
            !request.isForwarded
        else { return nil }
        return Principal(subject: "local")
    }
}

extension RouteRequest {
    /// Whether a proxy stands before the peer, as far as its header fields tell.
    var isForwarded: Bool {
        head.headerFields.contains { field in
            let name = field.name.canonicalName
            return name == "forwarded" || name == "via" || name.hasPrefix("x-forwarded-")
        }
    }
}

/// Open mode's answer to what they may have: everything. Only ever together with ``OpenModeAuthenticator``.
public struct OpenModePolicy: AccessPolicy {
    /// Nothing to configure.
    public init() {}

    /// It looks at nothing.
    public let binds: AccessBinding = []

    /// See ``AccessPolicy/allows(_:toRequest:)``; the type tells what is particular.
    public func allows(_ principal: Principal, toRequest request: TokenRequest) async throws -> Bool { true }
}

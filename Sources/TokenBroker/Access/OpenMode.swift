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

/// Open mode's answer to what they may have: everything. Only ever together with ``OpenModeAuthenticator``.
public struct OpenModePolicy: AccessPolicy {
    /// Nothing to configure.
    public init() {}

    /// It looks at nothing.
    public let binds: AccessBinding = []

    /// See ``AccessPolicy/authorize(_:for:)``; the type tells what is particular.
    public func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool { true }
}

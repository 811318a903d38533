import HTTPTypes

/// An authenticator that accepts requests from this machine.
///
/// A request is accepted if it comes from a loopback peer, to a loopback host, and not through a proxy, as far as its
/// header fields show. The host is checked so that a page of another site gets nothing by pointing its own name at this
/// machine (DNS rebinding).
public struct OpenModeAuthenticator: Authenticator {
    /// Creates an authenticator.
    public init() {}

    /// Returns the principal `local` for a request from this machine.
    /// - Throws: ``AccessRefusal`` for any other request.
    public func authenticate(_ request: EndpointRequest) async throws -> Principal? {
        guard request.isLocal else { throw AccessRefusal("not_local") }
        return Principal(subject: "local")
    }
}

/// A policy that allows everything. Use it only together with ``OpenModeAuthenticator``.
public struct OpenModePolicy: AccessPolicy {
    /// Creates a policy.
    public init() {}

    /// Nothing, because the policy checks nothing.
    public let binds: AccessBinding = []

    /// Returns `true`.
    public func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool { true }
}

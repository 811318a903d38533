/// An authenticator made of a closure, for an adopter who already knows who is signed in.
public struct ClosureAuthenticator: Authenticator {
    /// The value of `WWW-Authenticate` in a 401.
    public let challenge: String
    private let closure: @Sendable (EndpointRequest) async throws -> Principal?

    /// - Parameters:
    ///   - challenge: The value of `WWW-Authenticate` in a 401.
    ///   - closure: What ``Authenticator/authenticate(_:)`` does.
    public init(
        challenge: String = "Bearer", _ closure: @escaping @Sendable (EndpointRequest) async throws -> Principal?
    ) {
        self.challenge = challenge
        self.closure = closure
    }

    /// See ``Authenticator/authenticate(_:)``; the type tells what is particular.
    public func authenticate(_ request: EndpointRequest) async throws -> Principal? { try await closure(request) }
}

/// A policy made of a closure, for an adopter who can look up whose invoice it is.
public struct ClosurePolicy: AccessPolicy {
    /// What its yes proves.
    public let binds: AccessBinding
    private let closure: @Sendable (Principal, TokenRequest) async throws -> Bool

    /// - Parameters:
    ///   - binds: What its yes proves: ``AccessBinding/session`` if it looks at both customer and invoice.
    ///   - closure: What ``AccessPolicy/authorize(_:for:)`` does.
    public init(
        binds: AccessBinding, _ closure: @escaping @Sendable (Principal, TokenRequest) async throws -> Bool
    ) {
        self.binds = binds
        self.closure = closure
    }

    /// See ``AccessPolicy/authorize(_:for:)``; the type tells what is particular.
    public func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
        try await closure(principal, request)
    }
}

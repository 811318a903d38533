/// An authenticator made of a closure, for an application that already knows who is signed in.
public struct ClosureAuthenticator: Authenticator {
    /// The value of `WWW-Authenticate` in a 401.
    public let challenge: String
    private let closure: @Sendable (EndpointRequest) async throws -> Principal?

    /// Creates an authenticator.
    ///
    /// - Parameters:
    ///   - challenge: The value of `WWW-Authenticate` in a 401.
    ///   - closure: The implementation of ``Authenticator/authenticate(_:)``.
    public init(
        challenge: String = "Bearer", _ closure: @escaping @Sendable (EndpointRequest) async throws -> Principal?
    ) {
        self.challenge = challenge
        self.closure = closure
    }

    /// Calls the closure.
    public func authenticate(_ request: EndpointRequest) async throws -> Principal? { try await closure(request) }
}

/// A policy made of a closure, for an application that can look up the owner of an invoice.
public struct ClosurePolicy: AccessPolicy {
    /// What a permission from the closure proves.
    public let binds: AccessBinding
    private let closure: @Sendable (Principal, TokenRequest) async throws -> Bool

    /// Creates a policy.
    ///
    /// - Parameters:
    ///   - binds: What a permission proves: ``AccessBinding/session`` if the closure checks both the customer and the
    ///     invoice.
    ///   - closure: The implementation of ``AccessPolicy/authorize(_:for:)``.
    public init(
        binds: AccessBinding, _ closure: @escaping @Sendable (Principal, TokenRequest) async throws -> Bool
    ) {
        self.binds = binds
        self.closure = closure
    }

    /// Calls the closure.
    public func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
        try await closure(principal, request)
    }
}

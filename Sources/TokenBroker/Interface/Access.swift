/// Finds out who asks.
///
/// **Use one.** The endpoint calls it before it reads the body. `nil` is answered with 401 and ``challenge``.
///
/// **Write one.** Return who it is when the request proves it, and `nil` when it does not, whether the proof is missing or bad:
/// a page cannot do anything about the difference, and an attacker can. Throw when you cannot tell; no token is given
/// then.
///
/// **Test one.** Make a ``RouteRequest`` and look at what comes back; no server is needed.
public protocol Authenticator: Sendable {
    /// - Returns: Who asks, or `nil` without a valid proof.
    /// - Throws: Anything, when it cannot be found out. The answer is a refusal, and the error is not shown.
    func authenticate(_ request: RouteRequest) async throws -> Principal?

    /// The value of `WWW-Authenticate` in a 401 (RFC 9110, section 11.6.1). `Bearer` unless you say otherwise.
    var challenge: String { get }
}

extension Authenticator {
    /// `Bearer`.
    public var challenge: String { "Bearer" }
}

/// Decides whether somebody may have a token.
///
/// **Use one.** The endpoint calls it after it has read the body and before it asks for the token.
///
/// **Write one.** Return `true` only if this principal may have a token for exactly this request: for a checkout, if both the customer and the invoice
/// are theirs. When you cannot tell, throw or return `false`: both are answered alike.
///
/// **Test one.** Call it with a ``Principal`` and a ``TokenRequest`` of your making.
public protocol AccessPolicy: Sendable {
    /// - Returns: Whether `principal` may have a token for `request`.
    /// - Throws: Anything, when it cannot be decided. The answer is a refusal, and the error is not shown.
    func allows(_ principal: Principal, toRequest request: TokenRequest) async throws -> Bool
}

/// Who asks.
public struct Principal: Sendable, Hashable, CustomStringConvertible {
    /// Who it is, unique within its tenant.
    public var subject: String
    /// Which party it belongs to, in a broker that serves several.
    public var tenant: String
    /// What else is known, such as a token's claims.
    public var claims: [String: JSONValue]

    /// Takes all members, in their order of declaration.
    public init(subject: String, tenant: String = "", claims: [String: JSONValue] = [:]) {
        self.subject = subject
        self.tenant = tenant
        self.claims = claims
    }

    /// Without content: a subject is personal data.
    public var description: String { "Principal" }
}

extension Principal: CustomReflectable {
    /// Shows no members.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

public import HTTPTypes

/// Finds out who asks.
///
/// **Use one.** The endpoint calls it before it reads the body. `nil` is answered with 401 and ``challenge``.
///
/// **Write one.** Return who it is when the request proves it, and `nil` when it does not, whether the proof is missing
/// or bad: a page cannot do anything about the difference, and an attacker can. Throw an ``AccessRefusal`` instead of
/// returning `nil` to have the reason in the log. Throw anything else when you cannot tell now; the page is told to
/// come back.
///
/// **Test one.** Make a ``EndpointRequest`` and look at what comes back; no server is needed.
public protocol Authenticator: Sendable {
    /// - Returns: Who asks, or `nil` without a valid proof.
    /// - Throws: ``AccessRefusal`` without a valid proof, too; anything else, when it cannot be found out now. The
    ///   answer is 503 `access_unavailable`, and the error is not shown.
    func authenticate(_ request: EndpointRequest) async throws -> Principal?

    /// The value of `WWW-Authenticate` in a 401 (RFC 9110, section 11.6.1). `Bearer` unless you say otherwise.
    var challenge: String { get }

    /// How the proof that ``authenticate(_:)`` would go by came into this request, valid or not; ``Proof/presented`` if
    /// there is none. With an ambient one the endpoint also wants to know which site's page asks. It decides by what is
    /// there and asks nobody.
    func proof(in request: EndpointRequest) -> Proof

    /// The header fields that only a proxy may set. No page is ever allowed to send them cross-origin. None unless you
    /// say otherwise.
    var reservedFields: Set<HTTPField.Name> { get }
}

extension Authenticator {
    /// `Bearer`.
    public var challenge: String { "Bearer" }

    /// None.
    public var reservedFields: Set<HTTPField.Name> { [] }

    /// ``Proof/presented`` with a bearer token; otherwise ``Proof/ambient`` if there is a cookie or another
    /// `Authorization`, which browsers repeat by themselves as well.
    public func proof(in request: EndpointRequest) -> Proof {
        let fields = request.head.headerFields
        if let authorization = fields[.authorization] {
            return bearerToken(authorization) != nil ? .presented : .ambient
        }
        return fields.contains(.cookie) ? .ambient : .presented
    }
}

/// How a proof came into a request.
public enum Proof: Sendable, Hashable {
    /// The page's own code put it there, such as a bearer token. A page of another site does not have it.
    case presented
    /// The browser attaches it whichever site's page asks: a cookie, or a sign-in that a proxy in front keeps in one.
    case ambient
}

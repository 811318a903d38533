public import HTTPTypes

/// Finds out who sent a request.
///
/// **Use one.** The endpoint calls the authenticator before it reads the body. It answers `nil` with 401 and
/// ``challenge``.
///
/// **Write one.** Return the principal if the request proves it. Return `nil` whether the proof is missing or invalid:
/// a page has no use for the difference, but an attacker has. Throw an ``AccessRefusal`` instead of returning `nil` to
/// log the reason. Throw any other error if you cannot tell now; the page is told to try again later.
///
/// **Test one.** Create an ``EndpointRequest`` and inspect the result; no server is needed.
public protocol Authenticator: Sendable {
    /// Returns the principal that the request proves.
    ///
    /// - Returns: The principal, or `nil` without a valid proof.
    /// - Throws: ``AccessRefusal`` without a valid proof, if the reason is to be logged. Any other error if the
    ///   principal cannot be determined now: the response is 503 `access_unavailable`, and the error is not shown.
    func authenticate(_ request: EndpointRequest) async throws -> Principal?

    /// The value of `WWW-Authenticate` in a 401 (RFC 9110, section 11.6.1). The default is `Bearer`.
    var challenge: String { get }

    /// Returns whether the page's code or the browser attached the proof that ``authenticate(_:)`` would use, valid or
    /// not.
    ///
    /// Returns ``Proof/presented`` if there is no proof. For an ambient proof, the endpoint also checks the site of the
    /// page. The method decides by the request alone; it must not do I/O.
    func proof(in request: EndpointRequest) -> Proof

    /// The header fields that only a proxy may set. Pages are never allowed to send them cross-origin. The default is
    /// none.
    var reservedFields: Set<HTTPField.Name> { get }
}

extension Authenticator {
    /// The default challenge, `Bearer`.
    public var challenge: String { "Bearer" }

    /// No reserved fields.
    public var reservedFields: Set<HTTPField.Name> { [] }

    /// Returns ``Proof/presented`` for a bearer token. Otherwise returns ``Proof/ambient`` if there is a cookie or
    /// another `Authorization` field, which browsers also repeat on their own.
    public func proof(in request: EndpointRequest) -> Proof {
        let fields = request.head.headerFields
        if let authorization = fields[.authorization] {
            return bearerToken(authorization) != nil ? .presented : .ambient
        }
        return fields.contains(.cookie) ? .ambient : .presented
    }
}

/// How a proof was attached to a request.
public enum Proof: Sendable, Hashable {
    /// The page's own code attached it, as with a bearer token. A page of another site does not have it.
    case presented
    /// The browser attaches it whichever site the page is from: a cookie, or the sign-in of a proxy that keeps it in
    /// one.
    case ambient
}

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
/// **Test one.** Make a ``RouteRequest`` and look at what comes back; no server is needed.
public protocol Authenticator: Sendable {
    /// - Returns: Who asks, or `nil` without a valid proof.
    /// - Throws: ``AccessRefusal`` without a valid proof, too; anything else, when it cannot be found out now. The
    ///   answer is 503 `access_unavailable`, and the error is not shown.
    func authenticate(_ request: RouteRequest) async throws -> Principal?

    /// The value of `WWW-Authenticate` in a 401 (RFC 9110, section 11.6.1). `Bearer` unless you say otherwise.
    var challenge: String { get }

    /// How the proof that ``authenticate(_:)`` would go by came into this request, valid or not; ``Proof/presented`` if
    /// there is none. With an ambient one the endpoint also wants to know which site's page asks. It decides by what is
    /// there and asks nobody.
    func proof(in request: RouteRequest) -> Proof

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
    public func proof(in request: RouteRequest) -> Proof {
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

/// Decides whether somebody may have a token.
///
/// **Use one.** The endpoint calls it after it has read the body and before it asks for the token.
///
/// **Write one.** Return `true` only if what ``binds`` says holds for this principal and exactly this request, and
/// `false` otherwise, or throw an ``AccessRefusal`` to have the reason in the log. Throw anything else when you cannot
/// tell now; the page is told to come back. Treat a session that is not there as one that is another's, at the same
/// cost, so that nobody can find out which there are.
///
/// **Test one.** Call it with a ``Principal`` and a ``TokenRequest`` of your making.
public protocol AccessPolicy: Sendable {
    /// - Returns: Whether `principal` may have a token for `request`.
    /// - Throws: ``AccessRefusal`` if they may not, too; anything else, when it cannot be decided now. The answer is
    ///   503 `access_unavailable`, and the error is not shown. A ``TokenError`` is the vendor's failure and is answered
    ///   as if its token could not be had, except that ``TokenError/Code/requestRejected`` is a no.
    func allows(_ principal: Principal, toRequest request: TokenRequest) async throws -> Bool

    /// What is known once it has said yes. Policies can be combined; a combination that does not bind the invoice is
    /// not put to use.
    var binds: AccessBinding { get }
}

/// A no, and why, for the log. The page is not told.
///
/// ```swift
/// guard let session = sessions[id] else { throw AccessRefusal("session_unknown") }
/// ```
public struct AccessRefusal: Error, Sendable, Hashable, CustomStringConvertible {
    /// Codes such as `token_expired`; several if several policies refuse.
    public let reasons: [String]

    /// - Parameter reason: A code in lower case with underscores. It is written out in the source, so that nothing of a
    ///   request is ever in it.
    public init(_ reason: StaticString) { reasons = ["\(reason)"] }

    package init(reasons: [String]) { self.reasons = reasons }

    /// The codes, joined by commas.
    public var description: String { reasons.joined(separator: ",") }
}

/// What a policy says when it can tell.
package enum Verdict: Sendable, Hashable {
    case yes
    case no(AccessRefusal?)

    /// In the form in which a policy says it.
    package func get() throws(AccessRefusal) -> Bool {
        switch self {
        case .yes: return true
        case .no(nil): return false
        case .no(let refusal?): throw refusal
        }
    }
}

extension AccessPolicy {
    /// The same for a no with a reason and one without.
    package func verdict(_ principal: Principal, toRequest request: TokenRequest) async throws -> Verdict {
        do {
            return try await allows(principal, toRequest: request) ? .yes : .no(nil)
        } catch let refusal as AccessRefusal {
            return .no(refusal)
        }
    }
}

/// What a policy's yes proves about a request.
public struct AccessBinding: OptionSet, Sendable, Hashable {
    /// One bit for each.
    public var rawValue: UInt8
    /// Takes the bits as they are.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The customer is the principal's.
    public static let customer = Self(rawValue: 1)
    /// The invoice is the principal's.
    public static let invoice = Self(rawValue: 2)
    /// The invoice is the customer's, whoever asks.
    public static let invoiceOfCustomer = Self(rawValue: 4)
    /// The whole session: customer and invoice are the principal's.
    public static let session: Self = [.customer, .invoice]

    /// With what follows from it: who owns the customer owns the customer's invoice, and the other way round.
    public var consequences: Self {
        contains(.invoiceOfCustomer) && !isDisjoint(with: .session) ? union(.session) : self
    }
}

/// Who asks.
public struct Principal: Sendable, Hashable, CustomStringConvertible {
    /// Who it is, unique within its tenant.
    public var subject: ExactString
    /// Which party it belongs to, in a broker that serves several; empty otherwise.
    public var tenant: ExactString
    /// What else is known, such as a token's claims.
    public var claims: [ExactString: JSONValue]

    /// - Parameters:
    ///   - subject: Who it is, unique within its tenant.
    ///   - tenant: Which party it belongs to, in a broker that serves several.
    ///   - claims: What else is known, by name.
    public init(subject: ExactString, tenant: ExactString = "", claims: [ExactString: JSONValue] = [:]) {
        self.subject = subject
        self.tenant = tenant
        self.claims = claims
    }

    /// - Parameters:
    ///   - subject: Who it is, unique within its tenant.
    ///   - tenant: Which party it belongs to, in a broker that serves several.
    ///   - claims: What else is known, by name.
    public init(subject: String, tenant: String = "", claims: [String: JSONValue] = [:]) {
        self.init(
            subject: ExactString(subject), tenant: ExactString(tenant),
            claims: Dictionary(claims.map { (ExactString($0), $1) }) { $1 }
        )
    }

    /// Without content: a subject is personal data.
    public var description: String { "Principal" }
}

extension Principal: CustomReflectable {
    /// Shows no members.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

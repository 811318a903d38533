/// Decides whether a principal may have a token.
///
/// **Use one.** The endpoint calls the policy after it has read the body and before it requests the token.
///
/// **Write one.** Return `true` only if the promise of ``binds`` holds for this principal and exactly this request.
/// Otherwise return `false`, or throw an ``AccessRefusal`` to log the reason. Throw any other error if the decision
/// cannot be made now; the page is told to try again later. Treat a session that does not exist and a session of
/// another customer alike, with the same number of calls, so that callers cannot find out which sessions exist.
///
/// **Test one.** Call it with your own ``Principal`` and ``TokenRequest``.
public protocol AccessPolicy: Sendable {
    /// Decides whether a principal may have a token for a request.
    ///
    /// - Returns: Whether `principal` may have a token for `request`.
    /// - Throws: ``AccessRefusal`` if the principal may not have the token and the reason is to be logged. Any other
    ///   error if the decision cannot be made now: the response is 503 `access_unavailable`, and the error is not
    ///   shown. A ``TokenError`` counts as the vendor's failure and is answered like a failure to get the token, except
    ///   that ``TokenError/Code/requestRejected`` denies access.
    func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool

    /// What a permission from this policy proves. Policies can be combined. A combination that does not bind the
    /// invoice is rejected when the broker is composed.
    var binds: AccessBinding { get }
}

/// What a policy's permission proves about a request.
public struct AccessBinding: OptionSet, Sendable, Hashable {
    /// The bits of the set.
    public var rawValue: UInt8
    /// Creates a binding from its bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The customer belongs to the principal.
    public static let customer = Self(rawValue: 1)
    /// The invoice belongs to the principal.
    public static let invoice = Self(rawValue: 2)
    /// The invoice belongs to the customer, whoever the principal is.
    public static let invoiceOfCustomer = Self(rawValue: 4)
    /// The whole session: customer and invoice belong to the principal.
    public static let session: Self = [.customer, .invoice]

    /// The binding together with what follows from it. If the invoice belongs to the customer, the owner of either one
    /// owns the other.
    public var consequences: Self {
        contains(.invoiceOfCustomer) && !isDisjoint(with: .session) ? union(.session) : self
    }
}

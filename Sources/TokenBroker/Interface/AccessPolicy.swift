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
    func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool

    /// What is known once it has said yes. Policies can be combined; a combination that does not bind the invoice is
    /// not put to use.
    var binds: AccessBinding { get }
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

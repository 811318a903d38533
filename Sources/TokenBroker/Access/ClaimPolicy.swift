/// A policy that allows access if a claim of the principal names the customer, the invoice, or both.
///
/// A claim matches if it is a string that is equal, or an array with an element that is. If there are two claims, both
/// must match.
public struct ClaimPolicy: AccessPolicy {
    private let claims: [TokenRequest.Input: String]

    /// Creates a policy. At least one claim is required; without any, access is always denied.
    /// - Parameters:
    ///   - customer: The claim that names the principal's customer or customers: a name, or a JSON pointer (RFC 6901)
    ///     to a nested claim, such as `/shop/customers`.
    ///   - invoice: The claim that names the principal's invoice or invoices, in the same form.
    public init(customer: String? = nil, invoice: String? = nil) {
        var claims: [TokenRequest.Input: String] = [:]
        claims[.customer] = customer
        claims[.invoice] = invoice
        self.claims = claims
    }

    /// The inputs for which there is a claim.
    public var binds: AccessBinding {
        var binds: AccessBinding = []
        if claims[.customer] != nil { binds.insert(.customer) }
        if claims[.invoice] != nil { binds.insert(.invoice) }
        return binds
    }

    /// Compares the claims with the request.
    /// - Throws: ``AccessRefusal`` if a claim is missing or malformed, or does not name the input.
    public func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
        let found = (
            customer: find(.customer, principal, request), invoice: find(.invoice, principal, request)
        )
        switch found.customer {
        case .match?, nil: break
        case .missing?: throw AccessRefusal("customer_claim_missing")
        case .malformed?: throw AccessRefusal("customer_claim_malformed")
        case .other?: throw AccessRefusal("customer_not_in_claim")
        }
        switch found.invoice {
        case .match?, nil: break
        case .missing?: throw AccessRefusal("invoice_claim_missing")
        case .malformed?: throw AccessRefusal("invoice_claim_malformed")
        case .other?: throw AccessRefusal("invoice_not_in_claim")
        }
        return !claims.isEmpty
    }

    private enum Finding { case match, missing, malformed, other }

    /// Compares one claim with its input; `nil` if there is no claim for the input.
    private func find(_ input: TokenRequest.Input, _ principal: Principal, _ request: TokenRequest) -> Finding? {
        guard let claim = claims[input] else { return nil }
        guard let asked = request.inputs[input] else { return .other }
        switch principal.claim(claim) {
        case .string(let value)?: return value == asked ? .match : .other
        case .array(let values)?: return values.contains { $0.string == asked } ? .match : .other
        case .null?, nil: return .missing
        default: return .malformed
        }
    }
}

extension Principal {
    /// Returns the claim with that name, or the one that a JSON pointer leads to, through objects only.
    package func claim(_ name: String) -> JSONValue? {
        // Split by scalars, because a slash and a combining mark after it are one character.
        let scalars = name.unicodeScalars
        guard scalars.first == "/" else { return claims[ExactString(name)] }
        return scalars.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
            .reduce(.object(claims)) { value, part in
                value?[String(part).replacing("~1", with: "/").replacing("~0", with: "~")]
            }
    }
}

/// Says yes if a claim of the principal's names the customer, the invoice, or both, as what it authenticated with says.
///
/// A claim is text that is equal, or a list with an element that is. Of several claims each has to say so.
public struct ClaimPolicy: AccessPolicy {
    private let claims: [TokenRequest.Input: String]

    /// At least one of the two; with none the answer is no.
    /// - Parameters:
    ///   - customer: The claim that names the principal's customer or customers: a name, or a JSON pointer (RFC 6901)
    ///     to one further in, such as `/shop/customers`.
    ///   - invoice: The one that names the principal's invoice or invoices.
    public init(customer: String? = nil, invoice: String? = nil) {
        var claims: [TokenRequest.Input: String] = [:]
        claims[.customer] = customer
        claims[.invoice] = invoice
        self.claims = claims
    }

    /// Those for which there is a claim.
    public var binds: AccessBinding {
        var binds: AccessBinding = []
        if claims[.customer] != nil { binds.insert(.customer) }
        if claims[.invoice] != nil { binds.insert(.invoice) }
        return binds
    }

    /// See ``AccessPolicy/allows(_:toRequest:)``; the type tells what is particular.
    public func allows(_ principal: Principal, toRequest request: TokenRequest) async throws -> Bool {
        !claims.isEmpty
            && claims.allSatisfy { input, claim in
                guard let asked = request.inputs[input] else { return false }
                switch principal.claim(claim) {
                case .string(let value)?: return value == asked
                case .array(let values)?: return values.contains { $0.string == asked }
                default: return false
                }
            }
    }
}

extension Principal {
    /// The claim of that name, or the one that a JSON pointer leads to, through objects only.
    package func claim(_ name: String) -> JSONValue? {
        // Scalar by scalar, since a slash and a combining mark after it are one character.
        let scalars = name.unicodeScalars
        guard scalars.first == "/" else { return claims[ExactString(name)] }
        return scalars.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
            .reduce(.object(claims)) { value, part in
                value?[String(part).replacing("~1", with: "/").replacing("~0", with: "~")]
            }
    }
}

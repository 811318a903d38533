#if JWTSupport
import FoundationEssentials
import JWTKit

/// What a checkout token says, by the vendor's documented names.
struct CheckoutClaims: JWTPayload {
    var partnerID = "partner_sandbox"
    var clientID: String
    var customerID: String
    var invoiceID: String
    var expiry: Date

    enum CodingKeys: String, CodingKey {
        case partnerID = "partner_id"
        case clientID = "client_id"
        case customerID = "customer_id"
        case invoiceID = "invoice_id"
        case expiry = "exp"
    }

    /// Nothing beyond the signature: the sandbox looks at the expiry itself, on its own clock.
    func verify(using algorithm: some JWTAlgorithm) {}
}

/// Signs checkout tokens and recognizes its own, with a key that lives as long as the process.
struct CheckoutTokenKeys: Sendable {
    private let keys = JWTKeyCollection()

    init() async {
        await keys.add(ecdsa: ES256PrivateKey())
    }

    /// `nil` if signing failed.
    func sign(_ claims: CheckoutClaims) async -> String? {
        try? await keys.sign(claims)
    }

    /// The claims if the signature is ours.
    func verify(_ token: String) async -> CheckoutClaims? {
        try? await keys.verify(token, as: CheckoutClaims.self)
    }
}
#endif

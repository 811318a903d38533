#if JWTSupport
import FoundationEssentials
import JWTKit

/// The claims of a checkout token, with the vendor's documented names.
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

    /// Checks nothing beyond the signature. The sandbox checks the expiry itself, with its own clock.
    func verify(using algorithm: some JWTAlgorithm) {}
}

/// Signs checkout tokens and verifies its own, with a key that is made at startup and never stored.
struct CheckoutTokenKeys: Sendable {
    private let keys = JWTKeyCollection()

    init() async {
        await keys.add(ecdsa: ES256PrivateKey())
    }

    /// Returns a signed token, or `nil` if signing failed.
    func sign(_ claims: CheckoutClaims) async -> String? {
        try? await keys.sign(claims)
    }

    /// Returns the claims, or `nil` if the signature is not ours.
    func verify(_ token: String) async -> CheckoutClaims? {
        try? await keys.verify(token, as: CheckoutClaims.self)
    }
}
#endif

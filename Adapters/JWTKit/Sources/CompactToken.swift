#if JWTSupport
import TokenBroker

/// A JSON Web Token in compact form (RFC 7515, section 3.1), parsed but not verified.
struct CompactToken: Sendable {
    var algorithm: SigningAlgorithm
    /// The `kid`. It only selects one of the configured keys.
    var keyID: ExactString?
    var signedPart: [UInt8]
    var signature: [UInt8]
    var payload: [UInt8]

    static let maximumBytes = 16 << 10

    /// Parses a token.
    ///
    /// - Parameter algorithms: The accepted algorithms. A token with any other is refused, whatever its key says.
    init(_ text: String, algorithms: Set<SigningAlgorithm>) throws(Refusal) {
        guard text.utf8.count <= Self.maximumBytes else { throw .tooLong }
        // Split by bytes, so that a combining mark after a dot does not hide the dot.
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).map(Substring.init)
        guard parts.count == 3, let header = base64URLDecoded(parts[0]), let payload = base64URLDecoded(parts[1]),
            let signature = base64URLDecoded(parts[2]), !signature.isEmpty,
            let fields = try? JSONValue.parse(header, maximumDepth: 8), case .object = fields
        else { throw .malformed }
        guard let algorithm = fields["alg"]?.string.flatMap({ SigningAlgorithm(name: $0.unicode) }),
            algorithms.contains(algorithm)
        else { throw .algorithm }
        // Extensions that must be understood (RFC 7515, section 4.1.11). None is supported.
        guard fields["crit"] == nil else { throw .criticalExtension }
        // Refuse a token that was made for another purpose, such as a logout (RFC 8725, section 3.11).
        if let type = fields["typ"] {
            guard let type = type.string?.unicode.lowercased(), ["jwt", "at+jwt", "application/at+jwt"].contains(type)
            else {
                throw .type
            }
        }
        if let keyID = fields["kid"] {
            guard let keyID = keyID.string else { throw .malformed }
            self.keyID = keyID
        }
        self.algorithm = algorithm
        self.signedPart = Array("\(parts[0]).\(parts[1])".utf8)
        self.signature = signature
        self.payload = payload
    }

    /// Why a token is refused. Contains none of the token's content.
    enum Refusal: String, Error {
        case missing = "token_missing"
        case repeated = "token_repeated"
        case tooLong = "token_too_long"
        case malformed = "token_malformed"
        case algorithm = "wrong_algorithm"
        case criticalExtension = "unknown_extension"
        case type = "wrong_type"
        case unknownKey = "unknown_key"
        case signature = "bad_signature"
        case claims = "claims_malformed"
        case issuer = "wrong_issuer"
        case audience = "wrong_audience"
        case expiryMissing = "expiry_missing"
        case expired = "token_expired"
        case notYetValid = "token_not_yet_valid"
        case subject = "subject_claim_missing"
        case tenant = "tenant_claim_missing"
    }
}
#endif

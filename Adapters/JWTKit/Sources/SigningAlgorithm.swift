#if JWTSupport
import TokenBroker

/// A signature algorithm of JSON Web Tokens (RFC 7518, section 3.1, and RFC 8037).
public enum SigningAlgorithm: String, Sendable, CaseIterable {
    case hs256 = "HS256"
    case hs384 = "HS384"
    case hs512 = "HS512"
    case rs256 = "RS256"
    case rs384 = "RS384"
    case rs512 = "RS512"
    case ps256 = "PS256"
    case ps384 = "PS384"
    case ps512 = "PS512"
    case es256 = "ES256"
    case es384 = "ES384"
    case es512 = "ES512"
    /// EdDSA, with Ed25519 only. It has two names: `EdDSA` and, by RFC 9864, `Ed25519`.
    case edDSA = "EdDSA"

    /// The names of all algorithms.
    public static let names: [String] = allCases.map(\.rawValue) + ["Ed25519"]

    /// Creates an algorithm from its name, or returns `nil` if the name is unknown.
    ///
    /// - Parameter name: The value of `alg` in a token or a key, such as `ES256`. `EdDSA` and `Ed25519` are the same.
    public init?(name: String) {
        self.init(rawValue: ExactString(name) == "Ed25519" ? "EdDSA" : name)
    }

    /// The minimum length of a shared secret in bytes (RFC 7518, section 3.2); `nil` for an algorithm with public keys.
    public var minimumSecretBytes: Int? {
        switch self {
        case .hs256: 32
        case .hs384: 48
        case .hs512: 64
        default: nil
        }
    }
}
#endif

#if JWTSupport
public import FoundationEssentials
import HTTPTypes
public import TokenBroker

/// An authenticator that accepts a signed JSON Web Token (RFC 7519), as a bearer token or in a cookie.
///
/// - The algorithm must be one of those that are configured, and the key is looked up among those that are configured.
///   What a token says about keys (`jwk`, `jku`, `x5c`, `x5u`) is ignored, and `kid` is only a name. A key is used only
///   for its own purpose, so a public key never serves as a shared secret.
/// - `iss`, `aud` and `exp` must be present and correct, and so must `nbf` if it is present. Duplicate members, unknown
///   critical extensions and tokens for another purpose (`typ`) are refused (RFC 8725).
/// - A bearer token takes precedence over the cookie. A request with two of either is refused.
///
/// An `AccessRefusal` gives the reason for which a token is refused, without any of its content.
public struct JWTAuthenticator: Authenticator {
    private let expected: Expectations
    private let keys: JWTKeys
    private let wallClock: @Sendable () -> Date

    /// The requirements that a token must meet.
    public struct Expectations: Sendable {
        /// The issuer that `iss` must equal, compared exactly.
        public var issuer: ExactString
        /// The audience that `aud` must equal or contain, compared exactly.
        public var audience: ExactString
        /// The accepted signature algorithms.
        public var algorithms: Set<SigningAlgorithm>
        /// How far the issuer's clock may differ from ours.
        public var leeway: Duration
        /// The claim that becomes `Principal/subject`.
        public var subjectClaim: ExactString
        /// The claim that becomes `Principal/tenant`, if any. A token without it is refused.
        public var tenantClaim: ExactString?
        /// The name of the cookie that may carry the token, if any.
        public var cookie: String?

        /// Creates the requirements for a token.
        public init(
            issuer: String, audience: String, algorithms: Set<SigningAlgorithm>, leeway: Duration = .seconds(30),
            subjectClaim: String = "sub", tenantClaim: String? = nil, cookie: String? = nil
        ) {
            self.issuer = ExactString(issuer)
            self.audience = ExactString(audience)
            self.algorithms = algorithms
            self.leeway = leeway
            self.subjectClaim = ExactString(subjectClaim)
            self.tenantClaim = tenantClaim.map { ExactString($0) }
            self.cookie = cookie
        }
    }

    /// Creates an authenticator.
    ///
    /// - Parameters:
    ///   - expected: The requirements that a token must meet.
    ///   - keys: The keys that verify its signature.
    ///   - wallClock: The time that `exp` and `nbf` are compared with.
    /// - Throws: `CredentialError` if the keys are available without a network call, and cannot be read or cannot be
    ///   used for any of the algorithms.
    public init(
        _ expected: Expectations, keys: JWTKeys, wallClock: @escaping @Sendable () -> Date = { Date() }
    ) async throws(CredentialError) {
        if let keys = try await keys.source.keysAtStart() {
            guard keys.keys.contains(where: { expected.algorithms.contains(where: $0.supports) }) else {
                throw CredentialError(
                    .incomplete, source: "the token verification keys",
                    message:
                        "expected a key for \(expected.algorithms.map(\.rawValue).sorted().joined(separator: ", ")), "
                        + "found none"
                )
            }
        }
        self.expected = expected
        self.keys = keys
        self.wallClock = wallClock
    }

    /// Returns `Proof/ambient` if the token is in the cookie, and `Proof/presented` otherwise.
    public func proof(in request: EndpointRequest) -> Proof {
        guard bearerTokens(in: request).isEmpty, let cookie = expected.cookie else { return .presented }
        return cookies(named: cookie, in: request).isEmpty ? .presented : .ambient
    }

    /// Returns the principal that the token names.
    ///
    /// - Throws: `AccessRefusal` if the token is missing or refused. Another error if there are no keys to verify it
    ///   with, because they cannot be fetched or their file cannot be used.
    public func authenticate(_ request: EndpointRequest) async throws -> Principal? {
        do throws(Failure) {
            let token = try parsed(request)
            let candidates: [VerificationKey]
            do {
                candidates = try await keys.source.candidates(for: token)
            } catch {
                throw .noKeys(error)
            }
            return try principal(for: token, candidates)
        } catch {
            switch error {
            case .noKeys(let error): throw error
            case .refused(let refusal): throw AccessRefusal(reasons: [refusal.rawValue])
            }
        }
    }

    private enum Failure: Error {
        case refused(CompactToken.Refusal)
        case noKeys(any Error)
    }

    // MARK: Finding the token

    private func parsed(_ request: EndpointRequest) throws(Failure) -> CompactToken {
        var found = bearerTokens(in: request)
        if found.isEmpty, let cookie = expected.cookie { found = cookies(named: cookie, in: request) }
        guard let text = found.first else { throw .refused(.missing) }
        guard found.count == 1 else { throw .refused(.repeated) }
        do throws(CompactToken.Refusal) {
            return try CompactToken(text, algorithms: expected.algorithms)
        } catch {
            throw .refused(error)
        }
    }

    private func bearerTokens(in request: EndpointRequest) -> [String] {
        request.head.headerFields[values: .authorization].compactMap(bearerToken)
    }

    /// Returns the values of a cookie (RFC 6265, section 4.2). Pairs are separated by `;`, and HTTP/2 may spread them
    /// over several fields. Compared by bytes, so that a combining mark after a separator does not hide it.
    private func cookies(named name: String, in request: EndpointRequest) -> [String] {
        let prefix = Array("\(name)=".utf8)
        return request.head.headerFields[values: .cookie].flatMap { $0.utf8.split(separator: UInt8(ascii: ";")) }
            .compactMap { pair in
                let pair = pair.drop { $0 == UInt8(ascii: " ") }
                return pair.starts(with: prefix) ? String(Substring(pair.dropFirst(prefix.count))) : nil
            }
    }

    // MARK: Verifying the token

    private func principal(
        for token: CompactToken, _ candidates: [VerificationKey]
    ) throws(Failure) -> Principal {
        guard !candidates.isEmpty else { throw .refused(.unknownKey) }
        guard candidates.contains(where: { $0.verifies(token) }) else { throw .refused(.signature) }
        guard case .object(let claims)? = try? JSONValue.parse(token.payload, maximumDepth: 16) else {
            throw .refused(.claims)
        }
        guard claims["iss"]?.string == expected.issuer else { throw .refused(.issuer) }
        guard isAudience(claims["aud"]) else { throw .refused(.audience) }
        let now = wallClock().timeIntervalSince1970
        let leeway = expected.leeway / .seconds(1)
        guard let end = claims["exp"]?.number else { throw .refused(.expiryMissing) }
        guard now < end + leeway else { throw .refused(.expired) }
        if let start = claims["nbf"] {
            guard let start = start.number, now >= start - leeway else { throw .refused(.notYetValid) }
        }
        guard let subject = claims[expected.subjectClaim]?.string, !subject.isEmpty, subject.utf8.count <= 255 else {
            throw .refused(.subject)
        }
        var principal = Principal(subject: subject, claims: claims)
        if let claim = expected.tenantClaim {
            guard let tenant = claims[claim]?.string, !tenant.isEmpty, tenant.utf8.count <= 255 else {
                throw .refused(.tenant)
            }
            principal.tenant = tenant
        }
        return principal
    }

    private func isAudience(_ claim: JSONValue?) -> Bool {
        switch claim {
        case .string(let audience)?: audience == expected.audience
        case .array(let audiences)?: audiences.contains { $0.string == expected.audience }
        default: false
        }
    }
}

extension JWTAuthenticator: Composite {
    /// The source of the keys. It reports its health if it is a URL.
    public var components: [any Sendable] { [keys.source] }
}
#endif

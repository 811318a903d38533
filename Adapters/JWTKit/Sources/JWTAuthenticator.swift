#if JWTSupport
public import FoundationEssentials
import HTTPTypes
public import TokenBroker

/// Believes a signed JSON Web Token (RFC 7519): as bearer token, or in a cookie.
///
/// - The algorithm is one of those that are configured, and the key is looked up among those that are configured:
///   what a token says about keys (`jwk`, `jku`, `x5c`, `x5u`) counts for nothing, and `kid` is a name. A key is only
///   ever used for what it is for, so that a public key is no shared secret.
/// - `iss`, `aud` and `exp` have to be there and right, `nbf` if it is there. Duplicate members, unknown critical
///   extensions and tokens for another purpose (`typ`) are refused (RFC 8725).
/// - A bearer token comes before the cookie. Two of either prove nothing.
///
/// Why a token is refused is told with ``AccessRefusal``, without any of its content.
public struct JWTAuthenticator: Authenticator {
    private let expected: Expectations
    private let keys: JWTKeys
    private let wallClock: @Sendable () -> Date

    /// What a token has to say.
    public struct Expectations: Sendable {
        /// `iss`, compared exactly.
        public var issuer: ExactString
        /// What `aud` has to be or contain, compared exactly.
        public var audience: ExactString
        /// How it may be signed.
        public var algorithms: Set<SigningAlgorithm>
        /// By how much the issuer's clock may differ.
        public var leeway: Duration
        /// The claim that becomes ``Principal/subject``.
        public var subjectClaim: ExactString
        /// The claim that becomes ``Principal/tenant``, if any; it has to be there then.
        public var tenantClaim: ExactString?
        /// The cookie that the token may stand in, if any.
        public var cookie: String?

        /// Takes all members, in their order of declaration.
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

    /// - Parameters:
    ///   - expected: What a token has to say.
    ///   - keys: What verifies its signature.
    ///   - wallClock: For `exp` and `nbf`.
    /// - Throws: ``CredentialError`` if the keys are at hand and cannot be used for any of the algorithms.
    public init(
        _ expected: Expectations, keys: JWTKeys, wallClock: @escaping @Sendable () -> Date = { Date() }
    ) async throws(CredentialError) {
        if let keys = try await keys.source.keysAtStart() {
            guard keys.keys.contains(where: { expected.algorithms.contains(where: $0.supports) }) else {
                throw CredentialError(
                    .incomplete, source: "the keys for tokens",
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

    /// See ``Authenticator/proof(in:)``.
    public func proof(in request: EndpointRequest) -> Proof {
        guard bearerTokens(in: request).isEmpty, let cookie = expected.cookie else { return .presented }
        return cookies(named: cookie, in: request).isEmpty ? .presented : .ambient
    }

    /// Returns whom the token names.
    /// - Throws: ``AccessRefusal`` if it is not to be believed; something else if there are no keys to verify with:
    ///   they cannot be had, or their file cannot be used.
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

    // MARK: Finding it

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

    /// RFC 6265, section 4.2: pairs joined with `;`, in HTTP/2 perhaps in several fields. By bytes: a mark after a
    /// sign does not hide it.
    private func cookies(named name: String, in request: EndpointRequest) -> [String] {
        let prefix = Array("\(name)=".utf8)
        return request.head.headerFields[values: .cookie].flatMap { $0.utf8.split(separator: UInt8(ascii: ";")) }
            .compactMap { pair in
                let pair = pair.drop { $0 == UInt8(ascii: " ") }
                return pair.starts(with: prefix) ? String(Substring(pair.dropFirst(prefix.count))) : nil
            }
    }

    // MARK: Believing it

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
    /// The source of its keys, which tells how it does if it is a URL.
    public var components: [any Sendable] { [keys.source] }
}
#endif

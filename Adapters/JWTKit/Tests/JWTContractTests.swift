#if JWTSupport
import Testing
import TokenBroker
import TokenBrokerJWT
import TokenBrokerTesting

/// A fixture with an issuer that publishes its keys at a URL.
private struct JWTFixture: AuthenticatorFixture {
    static let capabilities: AuthenticatorContract.Capabilities = .backend
    let signer: Signer
    let stranger: Signer

    init() async throws {
        signer = try await Signers.make(.es256)
        stranger = try await Signers.make(.hs256)
    }

    func makeAuthenticator() async throws -> any Authenticator {
        let set = JSONValue.object(["keys": .array([signer.jwk()])])
        return try await authenticator(.jwkSet(set), [.es256])
    }

    func makeUnreachableAuthenticator() async throws -> any Authenticator {
        let url = try ServerURL("https://id.example/jwks")
        return try await authenticator(
            .url(url, transport: ScriptedTransport([.fail(.connect)]), logger: quiet), [.es256])
    }

    func request(_ proof: AuthenticatorContract.Proof) throws -> EndpointRequest {
        switch proof {
        case .missing: TokenBrokerJWTTests.request([])
        case .valid(let subject): bearing(try token(subject, signer))
        case .forged(let subject): bearing(try token(subject, stranger))
        case .malformed(let text): TokenBrokerJWTTests.request([("Authorization", text)])
        case .repeated(let first, let second):
            TokenBrokerJWTTests.request(
                try [first, second].map { ("Authorization", "Bearer " + (try token($0, signer))) })
        }
    }

    private func token(_ subject: String, _ signer: Signer) throws -> String {
        var claims = validClaims
        claims["sub"] = .string(subject)
        return try signer.token(claims)
    }
}

struct JWTContractTests {
    @Test(arguments: AuthenticatorContract.cases(for: JWTFixture.self))
    func `signed tokens keep the contract of an authenticator`(_ test: AuthenticatorContract.Case) async throws {
        try await test.run(on: try await JWTFixture())
    }
}
#endif

import Foundation
import HTTPTypes
import Synchronization
import Testing
import TokenBroker
import TokenBrokerTesting

/// A signer that records what it should sign and signs nothing.
private final class SignerDouble: ClientAssertionSigner {
    let assertions = Mutex<[ClientAssertion]>([])
    private let failure: CredentialError?

    init(failure: CredentialError? = nil) { self.failure = failure }

    func sign(_ assertion: ClientAssertion, with credential: Credential) async throws(CredentialError) -> Secret {
        assertions.withLock { $0.append(assertion) }
        if let failure { throw failure }
        return Secret("signed by \(credential.clientSecret.reveal())")
    }
}

struct ClientAuthenticationTests {
    private let now = Date(timeIntervalSince1970: 1_800_000_000)
    private let granted = ScriptedTransport.Step.respond(.ok, #"{"access_token": "t", "expires_in": 60}"#)

    private func provider(
        _ method: VendorProfile.ClientAuthentication, _ transport: any HTTPTransport,
        signer: (any ClientAssertionSigner)? = nil, audience: String? = nil, id: String = "id", secret: String = "s &"
    ) throws -> ClientCredentialsProvider {
        let now = now
        let vendor = try Vendor(
            profile: .alternativePayments, baseURL: "https://vendor.example/api", clientAuthentication: method)
        return ClientCredentialsProvider(
            vendor: vendor, credentials: ChangingCredentials(id, secret),
            assertions: signer.map { ClientAssertions(signer: $0, audience: audience) }, transport: transport,
            wallClock: { now }
        )
    }

    @Test func `by default the id and secret are sent in the Authorization field`() async throws {
        let transport = ScriptedTransport([granted])
        _ = try await provider(.clientSecretBasic, transport).token(for: TokenRequest())
        let sent = try #require(transport.sent.first)
        #expect(sent.request.headerFields[.authorization]?.hasPrefix("Basic ") == true)
        #expect(String(decoding: sent.body, as: UTF8.self) == "grant_type=client_credentials")
        #expect(VendorProfile.alternativePayments.accessToken.clientAuthentication == .clientSecretBasic)
    }

    @Test func `with client_secret_post the id and secret are sent in the body only`() async throws {
        let transport = ScriptedTransport([granted])
        _ = try await provider(.clientSecretPost, transport).token(for: TokenRequest(scopes: ["a"]))
        let sent = try #require(transport.sent.first)
        #expect(sent.request.headerFields[.authorization] == nil)
        #expect(
            String(decoding: sent.body, as: UTF8.self)
                == "grant_type=client_credentials&scope=a&client_id=id&client_secret=s+%26")
    }

    @Test func `with tls_client_auth only the client id is sent`() async throws {
        let transport = ScriptedTransport([granted])
        _ = try await provider(.tlsClientAuth, transport, secret: "").token(for: TokenRequest())
        let sent = try #require(transport.sent.first)
        #expect(sent.request.headerFields[.authorization] == nil)
        #expect(String(decoding: sent.body, as: UTF8.self) == "grant_type=client_credentials&client_id=id")
    }

    @Test(
        arguments: [
            .respond(.badRequest), .respond(.unauthorized), .respond(.forbidden), .fail(.tls), .fail(.closed),
        ] as [ScriptedTransport.Step])
    func `an error that a missing client certificate can cause says so`(answer: ScriptedTransport.Step) async throws {
        let hint = "; the client certificate may be missing or wrong"
        for (method, isSaid) in [
            (.tlsClientAuth, true), (.clientSecretBasic, false),
        ] as [(VendorProfile.ClientAuthentication, Bool)] {
            let provider = try provider(method, ScriptedTransport([answer]))
            let error = await #expect(throws: TokenError.self) { try await provider.token(for: TokenRequest()) }
            #expect(error?.message.hasSuffix(hint) == isSaid)
        }
    }

    @Test func `with private_key_jwt no secret is sent, and each attempt has its own assertion`() async throws {
        let transport = ScriptedTransport([.respond(.serviceUnavailable), .respond(.ok, #"{"access_token": "t"}"#)])
        let signer = SignerDouble()
        let provider = try provider(.privateKeyJWT, transport, signer: signer, secret: "KEY")
        #expect(await code { try await provider.token(for: TokenRequest()) } == .unavailable)
        _ = try await provider.token(for: TokenRequest())
        let assertions = signer.assertions.withLock { $0 }
        #expect(assertions.count == 2 && Set(assertions.map(\.id)).count == 2)
        for assertion in assertions {
            #expect(assertion.clientID == Secret("id"))
            #expect(assertion.audience == "https://vendor.example/api/oauth/token")
            #expect(assertion.issuedAt == now && assertion.expiresAt == now.addingTimeInterval(60))
            #expect(assertion.id.utf8.count == 32)
        }
        for sent in transport.sent {
            #expect(sent.request.headerFields[.authorization] == nil)
            #expect(
                String(decoding: sent.body, as: UTF8.self)
                    == "grant_type=client_credentials&client_id=id"
                    + "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
                    + "&client_assertion=signed+by+KEY")
        }
    }

    @Test func `the audience of an assertion can be configured`() async throws {
        let signer = SignerDouble()
        let provider = try provider(
            .privateKeyJWT, ScriptedTransport([granted]), signer: signer, audience: "https://issuer.example")
        _ = try await provider.token(for: TokenRequest())
        #expect(signer.assertions.withLock { $0.first?.audience } == "https://issuer.example")
    }

    @Test func `without a signer or a key nothing is sent`() async throws {
        let transport = ScriptedTransport([granted])
        let broken = SignerDouble(failure: CredentialError(.malformed, source: "the key", message: "no key"))
        for signer in [nil, broken] {
            let provider = try provider(.privateKeyJWT, transport, signer: signer, secret: "sentinel")
            let error = await #expect(throws: TokenError.self) { try await provider.token(for: TokenRequest()) }
            #expect(error?.code == .misconfigured)
            #expect(error.map { !"\($0) \(String(reflecting: $0))".contains("sentinel") } == true)
        }
        #expect(transport.sent.isEmpty)
    }
}

import HTTPTypes
import Testing
import TokenBroker
import TokenBrokerTesting

func endpointRequest(_ fields: [(String, String)]) -> EndpointRequest {
    var head = HTTPRequest(method: .post, scheme: "https", authority: "pay.example", path: "/api/checkout-token")
    for (name, value) in fields {
        guard let name = HTTPField.Name(name) else { continue }
        head.headerFields.append(HTTPField(name: name, value: value))
    }
    return EndpointRequest(head: head, peer: PeerAddress(ip: "192.0.2.1"))
}

private struct ForwardedFixture: AuthenticatorFixture {
    private let secret = "a-secret-of-the-proxy"

    func makeAuthenticator() throws -> any Authenticator {
        ForwardedAuthenticator(
            subject: try #require(HTTPField.Name("X-User")),
            secretField: try #require(HTTPField.Name("X-Proxy-Secret")),
            secrets: SharedSecrets(variable: "SECRET", in: ["SECRET": secret]))
    }

    func request(_ proof: AuthenticatorContract.Proof) -> EndpointRequest {
        switch proof {
        case .missing: endpointRequest([])
        case .valid(let subject): endpointRequest([("X-User", subject), ("X-Proxy-Secret", secret)])
        case .forged(let subject): endpointRequest([("X-User", subject), ("X-Proxy-Secret", "a-guess-at-it-000")])
        case .malformed(let text): endpointRequest([("X-User", "anna"), ("X-Proxy-Secret", text)])
        case .repeated(let first, let second):
            endpointRequest([("X-User", first), ("X-User", second), ("X-Proxy-Secret", secret)])
        }
    }
}

/// The sessions of a shop, as an application's own closure knows them.
private struct ClosureFixture: AuthenticatorFixture {
    func makeAuthenticator() -> any Authenticator {
        ClosureAuthenticator { request in
            let tickets = request.head.headerFields[values: .authorization]
            guard tickets.count == 1, let ticket = tickets.first, ticket.hasPrefix("Bearer ticket:") else { return nil }
            return Principal(subject: String(ticket.dropFirst("Bearer ticket:".count)))
        }
    }

    func request(_ proof: AuthenticatorContract.Proof) -> EndpointRequest {
        switch proof {
        case .missing: endpointRequest([])
        case .valid(let subject): endpointRequest([("Authorization", "Bearer ticket:\(subject)")])
        case .forged(let subject): endpointRequest([("Authorization", "Bearer \(subject)")])
        case .malformed(let text): endpointRequest([("Authorization", text)])
        case .repeated(let first, let second):
            endpointRequest([first, second].map { ("Authorization", "Bearer ticket:\($0)") })
        }
    }
}

struct AuthenticatorContractTests {
    @Test(arguments: AuthenticatorContract.cases(for: ForwardedFixture.self))
    func `a forwarded authenticator passes the authenticator contract`(
        _ test: AuthenticatorContract.Case
    ) async throws {
        try await test.run(on: ForwardedFixture())
    }

    @Test(arguments: AuthenticatorContract.cases(for: ClosureFixture.self))
    func `a closure authenticator passes the authenticator contract`(_ test: AuthenticatorContract.Case) async throws {
        try await test.run(on: ClosureFixture())
    }
}

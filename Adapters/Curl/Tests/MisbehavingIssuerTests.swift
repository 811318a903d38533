#if CurlSupport
import CurlTransport
import HTTPTypes
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

/// Checks that a scripted issuer causes the same outcome in process and over a socket.
struct MisbehavingIssuerTests {
    private func outcome(
        _ timeout: Duration, _ transport: any HTTPTransport, _ baseURL: String
    ) async throws -> TokenError.Code? {
        let provider = ClientCredentialsProvider(
            vendor: try Vendor(profile: .alternativePayments, baseURL: baseURL),
            credentials: StaticCredentials([MisbehavingIssuer.credential]),
            transport: transport, timeout: timeout)
        do throws(TokenError) {
            let token = try await provider.token(for: TokenRequest())
            #expect(token.secret == Secret("access-1"))
            return nil
        } catch {
            return error.code
        }
    }

    @Test(arguments: [
        MisbehavingIssuer.Behaviour.issues(), .issues(lifetime: .zero), .issues(type: "mac"), .hangs,
        .slow(.milliseconds(10)), .throttles(), .throttles(retryAfter: "7"), .answersHTML(), .refuses(.forbidden),
        .answersNothing, .answersError(), .truncatesJSON, .floods(), .neverEnds, .redirects(), .dropsConnection,
        .dropsMidBody,
    ])
    func `an issuer misbehaves over a socket as it does in process`(
        behaviour: MisbehavingIssuer.Behaviour
    ) async throws {
        // The short timeout ends the request that hangs. The long one expires on no machine, however slow.
        let timeout = Duration.seconds(behaviour.testDescription == "silence" ? 1 : 60)
        let inProcess = MisbehavingIssuer([behaviour])
        let expected = try await outcome(timeout, inProcess, "https://vendor.example")

        let issuer = MisbehavingIssuer([behaviour])
        let server = try MisbehavingServer(issuer)
        defer { server.stop() }
        let transport = try CurlTransport()
        let found = try await outcome(timeout, transport, "http://\(server.authority)")
        await transport.shutdown()
        #expect(found == expected)
        #expect(issuer.calls.count == 1)
        #expect(
            issuer.calls.first?.request.headerFields[.authorization]
                == inProcess.calls.first?.request.headerFields[.authorization])
    }
}
#endif

import HTTPTypes
import Logging
import Testing
import TokenBroker
import TokenBrokerComposer
import TokenBrokerTesting

@Test func `the access token is the vendor's`() async throws {
    let transport = InMemoryTransport { request, body in
        .init(
            head: HTTPResponse(status: .ok),
            body: Array(#"{"access_token": "t", "expires_in": 3600, "token_type": "bearer"}"#.utf8)
        )
    }
    let configuration = try BrokerConfiguration(
        "{vendor: {environment: demo}, access: {mode: open}}",
        environment: ["ALTERNATIVE_CLIENT_ID": "id", "ALTERNATIVE_CLIENT_SECRET": "secret"]
    )
    let broker = try await Composer().compose(
        configuration, transport: transport, clock: ManualClock(), logger: Logger(label: "test")
    )
    #expect(try await broker.accessTokens.token(for: TokenRequest()).secret == Secret("t"))
}

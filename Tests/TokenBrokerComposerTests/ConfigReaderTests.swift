#if ConfigurationSupport
import Configuration
import HTTPTypes
import Testing
import TokenBroker
import TokenBrokerTesting

@testable import TokenBrokerComposer

@Suite struct `A reader of swift-configuration` {
    private func configuration(_ values: [AbsoluteConfigKey: ConfigValue]) -> BrokerConfiguration {
        BrokerConfiguration(
            reader: ConfigReader(provider: InMemoryProvider(values: values)).scoped(to: "tokenBroker"), name: "shop",
            environment: credentials
        )
    }

    private func key(_ text: String) -> AbsoluteConfigKey {
        AbsoluteConfigKey(["tokenBroker"] + text.split(separator: ".").map(String.init))
    }

    private func compose(_ values: [String: ConfigValue]) async throws -> Broker {
        let pairs = values.map { (key($0), $1) }
        return try await Composer(registry: .everything).compose(
            configuration(Dictionary(uniqueKeysWithValues: pairs)), transport: VendorDouble(),
            logger: recordingLogger().0
        )
    }

    @Test func `a ConfigReader configures a broker with values of any type`() async throws {
        let broker = try await compose([
            "vendor.environment": "demo", "access.mode": "open", "server.port": 8443, "route.timeout": "3s",
            "tokens.reuse": false, "route.allowedOrigins": .init(.stringArray(["https://a.example"]), isSecret: false),
        ])
        #expect(broker.server.port == 8443)
        #expect(broker.environment == "demo")
        #expect(try await broker.accessTokens.token(for: TokenRequest()).secret == Secret("sentinel-access"))
    }

    @Test func `an error in a ConfigReader's values is reported by key`() async throws {
        let error = await #expect(throws: ConfigurationError.self) {
            try await compose(["access.mode": "opne", "server.port": "many"])
        }
        let problems = try #require(error).problems
        #expect(Set(problems.map(\.key)) == ["vendor.environment", "access.mode", "server.port"])
        #expect(problems.allSatisfy { $0.place == "shop" })
        #expect(error?.description.contains("did you mean open?") == true)
    }

    @Test func `a ConfigReader reads maps as JSON text and cannot combine policies`() async throws {
        let values: [String: ConfigValue] = [
            "vendor.environment": "demo", "access.authenticator.kind": "forwarded",
            "access.authenticator.subjectHeader": "X-User", "access.authenticator.trustedPeers": "10.0.0.1",
            "access.authenticator.claims": #"{"customer": "X-Customer"}"#, "access.policy.kind": "claim",
            "access.policy.invoice": "invoices",
        ]
        await (try compose(values)).shutdown()
        let combined = values.merging(["access.policy.kind": "all"]) { $1 }
        let error = await #expect(throws: ConfigurationError.self) { try await compose(combined) }
        #expect(error?.problems.first?.key == "access.policy.of")
    }
}
#endif

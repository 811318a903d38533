import HTTPTypes
import TokenBroker
import TokenBrokerComposer

/// Asks the company's own secret service for the pair: `{"client_id": …, "client_secret": …}`.
struct CompanySecrets: CredentialSource {
    let url: ServerURL
    let transport: any HTTPTransport

    /// What a configuration file sees of it.
    static let plugin = CredentialPlugin(
        "company-secrets", "The pair from the company's secret service.", keys: Keys()
    ) { context, values in CompanySecrets(url: values.url, transport: context.transport) }

    struct Keys: ConfigurationKeys {
        let url = ConfigurationKey("url", .url, "Where to ask.")
    }

    func credentials(for account: Account) async throws(CredentialError) -> [Credential] {
        let source = "the secret service"
        let response: TransportResponse
        do {
            response = try await transport.send(
                url.request(.get), body: [], options: TransportOptions(timeout: .seconds(3))
            )
        } catch {
            throw CredentialError(.unreadable, source: source, message: "it does not answer")
        }
        // Absent: the next source has its turn. Broken: the chain stops.
        if response.status == .notFound { return [] }
        guard response.status == .ok, let pair = Pair(response.body) else {
            throw CredentialError(.malformed, source: source, message: "it answers something else than a pair")
        }
        return [Credential(clientID: pair.clientID, clientSecret: pair.clientSecret)]
    }
}

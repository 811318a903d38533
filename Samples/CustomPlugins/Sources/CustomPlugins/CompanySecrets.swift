import HTTPTypes
import TokenBroker
import TokenBrokerComposer

/// A source that gets the credential from the company's own secret service as `{"client_id": …, "client_secret": …}`.
struct CompanySecrets: CredentialSource {
    let url: ServerURL
    let transport: any HTTPTransport

    /// The plug-in that a configuration file can choose.
    static let plugin = CredentialPlugin(
        "company-secrets", "The credential from the company's secret service.", keys: Keys()
    ) { context, values in CompanySecrets(url: values.url, transport: context.transport) }

    struct Keys: ConfigurationKeys {
        let url = ConfigurationKey("url", .url, "The URL of the credential.")
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
        // An empty array passes on to the next source. An error stops the chain.
        if response.status == .notFound { return [] }
        guard response.status == .ok, let pair = Pair(response.body) else {
            throw CredentialError(.malformed, source: source, message: "the response is not a credential")
        }
        return [Credential(clientID: pair.clientID, clientSecret: pair.clientSecret)]
    }
}

import HTTPTypes
import TokenBroker
import TokenBrokerComposer

/// Asks the company's own secret service for the pair: `{"client_id": …, "client_secret": …}`.
struct CompanySecrets: CredentialSource {
    let host: String
    let path: String
    let transport: any HTTPTransport

    /// What a configuration file sees of it.
    static let plugin = CredentialPlugin(
        "company-secrets", "The pair from the company's secret service.",
        keys: ConfigurationKey("url", .text.filter("an https URL") { $0.hasPrefix("https://") }, "Where to ask.")
    ) { context, url in
        let rest = url.dropFirst("https://".count)
        let host = rest.prefix { $0 != "/" }
        return CompanySecrets(
            host: String(host), path: String(rest.dropFirst(host.count)), transport: context.transport)
    }

    func credentials(for account: Account) async throws(CredentialError) -> [Credential] {
        let source = "the secret service"
        let response: TransportResponse
        do {
            response = try await transport.send(
                HTTPRequest(method: .get, scheme: "https", authority: host, path: path), body: [],
                options: TransportOptions(timeout: .seconds(3))
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

#if HummingbirdSupport && ConfigurationSupport && CurlSupport
import CurlTransport
import HTTPTypes
import Hummingbird
import Logging
import Testing
import TokenBroker
import TokenBrokerComposer
import TokenBrokerHummingbird
import TokenBrokerTesting

/// Code that the README shows and no sample contains. A test of the README looks for it here.
@Suite struct `The README's code` {
    @Test func `the README's code composes a broker by hand`() async throws {
        let router = Router(context: BrokerRequestContext.self)
        try composeByHand(
            router, ClosureAuthenticator { _ in nil }, ClosurePolicy(binds: .session) { _, _ in false },
            Logger(label: "shop"))
        let routes = router.routes.map { "\($0.method) \($0.path)" }
        #expect(routes == [])
    }

    @Test func `the README's code registers an authenticator and a policy`() async throws {
        let error = await #expect(throws: ConfigurationError.self) {
            try await composeWithPlugins(Sessions(), Invoices(), Logger(label: "shop"))
        }
        #expect("\(try #require(error))".contains("broker.yaml"))
    }
}

private func composeByHand(
    _ router: Router<BrokerRequestContext>, _ signedInCustomer: any Authenticator, _ ownInvoices: any AccessPolicy,
    _ logger: Logger
) throws {
    let vendor = try Vendor(profile: .alternativePayments, baseURL: "https://public-api.demo.alternativepayments.io")
    let variables = vendor.profile.credentialVariables
    let broker = try Broker(
        vendor: vendor,
        credentials: EnvironmentCredentials(clientID: variables.clientID, clientSecret: variables.clientSecret),
        transport: CurlTransport(), authenticator: signedInCustomer, policy: ownInvoices,
        configuration: .init(for: vendor, environment: "demo"), logger: logger
    )
    router.mount(broker.endpoints)
}

private struct Sessions {
    struct User: Sendable { var id: String }
    func user(of request: HTTPRequest) async throws -> User? { nil }
}

private struct Invoices {
    func exists(_ invoice: ExactString?, customer: ExactString?, owner: ExactString) async throws -> Bool { false }
}

private func composeWithPlugins(_ sessions: Sessions, _ invoices: Invoices, _ logger: Logger) async throws -> Broker {
    var registry = Registry.standard
    try registry.register(.curl)
    try registry.register(
        AuthenticatorPlugin("session", "The shop's session cookie.") { _ in
            ClosureAuthenticator { request in
                try await sessions.user(of: request.head).map { Principal(subject: $0.id) }
            }
        })
    try registry.register(
        PolicyPlugin("own-invoices", "Asks the shop's database.") { _ in
            ClosurePolicy(binds: .session) { principal, request in
                try await invoices.exists(
                    request.inputs[.invoice], customer: request.inputs[.customer], owner: principal.subject)
            }
        })
    let broker = try await Composer(registry: registry).compose(.load("broker.yaml"), logger: logger)
    return broker
}
#endif

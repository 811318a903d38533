public import FoundationEssentials
import HTTPTypes
public import Logging
public import TokenBroker

/// A broker, built and ready.
///
/// ```swift
/// let broker = try await Composer(registry: registry).compose(.load("broker.yaml"), logger: logger)
/// router.mount(broker.endpoints)
/// async let stopped: Void = broker.run()
/// ```
///
/// A `Composer` builds it from a file; ``init(vendor:credentials:assertions:transport:authenticator:policy:configuration:clock:wallClock:logger:)``
/// builds the same from parts.
///
/// Everything works from the moment it is built: tokens are fetched when they are asked for. ``run()`` or ``shutdown()`` is there to end it in
/// order: transfers in flight end, connections are closed, threads are gone. A broker that is merely released ends its threads as well, but
/// nobody can wait for that.
public struct Broker: Sendable {
    /// Step 1: access tokens for the vendor's API.
    public let accessTokens: any TokenProvider
    /// Step 2: checkout tokens, for code of your own that hands them out. It asks nobody who they are.
    public let checkoutTokens: any TokenProvider
    /// Where the client id and secret come from, to be asked for the vendor's account.
    public let credentials: any CredentialSource
    /// The routes, to be mounted on an HTTP server.
    public let endpoints: EndpointSet
    /// The vendor at the address that is used.
    public let vendor: Vendor
    /// The vendor's environment, such as `demo`.
    public let environment: String
    /// What the `server` section says, for whoever runs the server.
    public let server: ServerSettings
    /// The parts of the authenticator and the policy that depend on a server, to be tried before anybody asks.
    public let liveChecks: [any LiveChecking]

    let parts: [any HealthReporting]
    let teardown: Teardown

    /// What a broker is told besides its parts.
    public struct Configuration: Sendable {
        /// The endpoint that pages ask.
        public var endpoint: CheckoutTokenEndpoint.Configuration
        /// Where to ask whether the process is alive; `nil` for nowhere.
        public var livePath: RoutePath? = "/healthz"
        /// Where to ask whether it can serve; `nil` for nowhere.
        public var readyPath: RoutePath? = "/readyz"
        /// Where the OpenAPI document is; `nil` for nowhere.
        public var openAPIPath: RoutePath?
        /// How many calls to the vendor may be made; `nil` for any number.
        public var rateLimit: RateLimit?
        /// How long one call to the vendor may take.
        public var callTimeout: Duration = .seconds(10)
        /// Whether answers may share a checkout token.
        public var reusesTokens = true
        /// For whoever runs the server.
        public var server = ServerSettings()

        /// The defaults, with the vendor's own rate limit.
        /// - Parameter environment: The vendor's environment, such as `demo`.
        public init(for vendor: Vendor, environment: String) {
            endpoint = CheckoutTokenEndpoint.Configuration(environment: environment)
            rateLimit = vendor.profile.requestsPerSecond.map { RateLimit(requestsPerSecond: $0) }
        }
    }

    /// Builds a broker from parts, with everything that a composed one has: caches, retries, the rate limit, health, and shutdown in order.
    /// It shuts down the parts that it is given.
    /// - Parameters:
    ///   - vendor: The vendor at the address that is used.
    ///   - credentials: Where the client id and secret come from.
    ///   - assertions: Needed for a vendor that is asked with `private_key_jwt`.
    ///   - transport: Carries the calls to the vendor.
    ///   - authenticator: Finds out who asks.
    ///   - policy: Decides whether they may. Its yes has to prove that the invoice belongs to who asks.
    ///   - configuration: What it is told besides its parts.
    ///   - clock: Measures lifetimes and timeouts.
    ///   - wallClock: Only for absolute times.
    ///   - logger: Also what the parts log to.
    /// - Throws: ``ConfigurationError/Problem`` for parts that do not go together, by the key that would name them in a file.
    public init(
        vendor: Vendor, credentials: any CredentialSource, assertions: ClientAssertions? = nil,
        transport: any HTTPTransport, authenticator: any Authenticator, policy: any AccessPolicy,
        configuration: Configuration, clock: some Clock<Duration> = ContinuousClock(),
        wallClock: @escaping @Sendable () -> Date = { Date() }, logger: Logger
    ) throws(ConfigurationError.Problem) {
        let steps = Steps(
            vendor: vendor, credentials: credentials, assertions: assertions, transport: transport,
            configuration: configuration, clock: clock, wallClock: wallClock, logger: logger
        )
        let teardown = Teardown()
        for part in [transport, credentials, authenticator, policy] as [any Sendable] { teardown.add(part) }
        try self.init(
            steps, authenticator: authenticator, policy: policy, configuration: configuration, teardown: teardown,
            clock: clock, logger: logger
        )
    }

    /// The same for an authenticator and a policy that need what the broker has, such as its access tokens.
    /// - Parameter access: Builds the two.
    public init(
        vendor: Vendor, credentials: any CredentialSource, assertions: ClientAssertions? = nil,
        transport: any HTTPTransport, configuration: Configuration, clock: some Clock<Duration> = ContinuousClock(),
        wallClock: @escaping @Sendable () -> Date = { Date() }, logger: Logger,
        access: (AccessContext) throws -> (authenticator: any Authenticator, policy: any AccessPolicy)
    ) throws {
        let steps = Steps(
            vendor: vendor, credentials: credentials, assertions: assertions, transport: transport,
            configuration: configuration, clock: clock, wallClock: wallClock, logger: logger
        )
        let (authenticator, policy) = try access(steps.context(environment: [:]))
        let teardown = Teardown()
        for part in [transport, credentials, authenticator, policy] as [any Sendable] { teardown.add(part) }
        try self.init(
            steps, authenticator: authenticator, policy: policy, configuration: configuration, teardown: teardown,
            clock: clock, logger: logger
        )
    }

    /// - Parameter teardown: Knows the parts that were built before.
    init(
        _ steps: Steps, authenticator: any Authenticator, policy: any AccessPolicy, configuration: Configuration,
        teardown: Teardown, clock: some Clock<Duration>, logger: Logger
    ) throws(ConfigurationError.Problem) {
        if authenticator is OpenModeAuthenticator, policy is OpenModePolicy {
            guard !steps.vendor.isProduction(configuration.endpoint.environment) else {
                throw ConfigurationError.Problem(.conflict, key: "access.mode", "expected no open mode in production")
            }
            logger.warning("open mode: whoever asks from this machine gets a token for any customer and invoice")
        } else if !policy.binds.consequences.contains(.invoice) {
            throw ConfigurationError.Problem(.conflict, key: "access.policy", policy.binds.whatIsMissing)
        }
        let reserved = configuration.endpoint.allowedHeaders.filter(authenticator.reservedFields.contains)
        guard reserved.isEmpty else {
            throw ConfigurationError.Problem(
                .conflict, key: "route.allowedHeaders",
                "expected no field that the proxy sets for the authenticator, found "
                    + reserved.map(\.rawName).joined(separator: ", ")
            )
        }
        teardown.add(steps.accessTokens)
        teardown.add(steps.checkoutTokens)
        parts =
            [steps.accessTokens, steps.checkoutTokens] + (steps.limited.map { [$0] } ?? [])
            + components(of: authenticator, as: (any HealthReporting).self)
            + components(of: policy, as: (any HealthReporting).self)
        liveChecks =
            components(of: authenticator, as: (any LiveChecking).self)
            + components(of: policy, as: (any LiveChecking).self)
        let readiness = Readiness(parts, logger: logger)
        teardown.add(
            Repeating(every: .seconds(2), on: clock) {
                await steps.refresh()
                // Measures the life that is left, too.
                _ = await readiness.check()
            }
        )
        var endpoints = EndpointSet([
            CheckoutTokenEndpoint(
                tokens: steps.checkoutTokens, authenticator: authenticator, policy: policy,
                configuration: configuration.endpoint, clock: clock, logger: logger
            )
        ])
        if let path = configuration.livePath { endpoints.add(HealthEndpoint(path: path)) }
        if let path = configuration.readyPath { endpoints.add(ReadinessEndpoint(path: path, readiness)) }
        if let path = configuration.openAPIPath {
            endpoints.add(
                OpenAPIEndpoint(
                    path: path, checkoutToken: configuration.endpoint.path, live: configuration.livePath,
                    ready: configuration.readyPath
                )
            )
        }
        self.endpoints = endpoints
        accessTokens = steps.accessTokens
        checkoutTokens = steps.checkoutTokens
        credentials = steps.credentials
        vendor = steps.vendor
        environment = configuration.endpoint.environment
        server = configuration.server
        self.teardown = teardown
    }

    /// How each part does, which is what `GET /readyz` tells: both steps, the rate limit if there is one, and the parts of the authenticator
    /// and the policy, such as `access_keys` for keys at a URL. The broker is ready if all of them are (``TokenBroker/Health/isReady``). Asking
    /// costs no call to the vendor.
    public var health: [Health] {
        get async {
            var health: [Health] = []
            for part in parts { health.append(await part.health()) }
            return health
        }
    }

    /// Loads the credentials, so that what is wrong with them is told before the first token is asked for.
    /// - Throws: ``TokenError`` if they cannot be used, or if there are none; then it says where each source looked.
    public func checkCredentials() async throws(TokenError) {
        let found: [Credential]
        do {
            found = try await credentials.credentials(for: vendor.account)
        } catch {
            throw TokenError(.misconfigured, message: "the credentials cannot be used", cause: error)
        }
        guard found.isEmpty else { return }
        var error = TokenError.noCredentials(for: vendor.account, in: credentials)
        error.message += "; put them there, or choose other places with credentials.sources"
        throw error
    }

    /// Waits until it is cancelled, ``shutdown()`` is called or, inside a service group, a graceful shutdown begins; then shuts down. In a
    /// service group it stands before the server, since services end in reverse order.
    public func run() async {
        await waitUntilStopped()
        await shutdown()
    }

    /// Ends all calls to the vendor and lets go of what the parts hold, the last built first. Tokens that are cached are still handed out.
    /// Further calls do nothing.
    public func shutdown() async { await teardown.run() }
}

extension Broker: CustomReflectable {
    /// Without content, since somewhere among the parts there are secrets.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

extension AccessBinding {
    /// Why it is no proof that the invoice belongs to who asks.
    fileprivate var whatIsMissing: String {
        let expected = "expected a policy whose yes proves that the invoice belongs to who asks, found one that proves "
        if contains(.customer) {
            return expected
                + "only that the customer does, so that any invoice could be named with it; combine it with one that "
                + "binds the invoice: {kind: all, of: {mine: …, theirs: {kind: vendor-invoice}}}, or choose a claim policy with the "
                + "key invoice, or callback"
        }
        if contains(.invoiceOfCustomer) {
            return expected
                + "only that the invoice is the customer's, whoever asks; combine it with one that binds the customer: "
                + "{kind: all, of: {mine: {kind: claim, customer: …}, theirs: {kind: vendor-invoice}}}"
        }
        return expected
            + "neither that nor that the customer does; of policies under any, every one has to prove it. Those that do are "
            + "claim with the key invoice, callback, and vendor-invoice under all with claim and its key customer"
    }
}

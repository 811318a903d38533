public import FoundationEssentials
import HTTPTypes
public import Logging
public import TokenBroker

/// A token broker, ready to use.
///
/// ```swift
/// let broker = try await Composer(registry: registry).compose(.load("broker.yaml"), logger: logger)
/// router.mount(broker.endpoints)
/// async let stopped: Void = broker.run()
/// ```
///
/// A `Composer` builds a broker from a configuration file. To build the same from parts, use
/// ``init(vendor:credentials:assertions:transport:authenticator:policy:configuration:clock:wallClock:logger:)``.
///
/// A broker works as soon as it is built, and fetches tokens on demand. Call ``run()`` or ``shutdown()`` to shut it
/// down gracefully: when the call returns, no transfer is in flight, connections are closed, and threads have ended.
/// Releasing a broker also ends its threads, but there is no way to wait for that.
public struct Broker: Sendable {
    /// The provider of access tokens for the vendor's API (step 1).
    public let accessTokens: any TokenProvider
    /// The provider of checkout tokens (step 2), for your own code that hands out tokens. It does not check access.
    public let checkoutTokens: any TokenProvider
    /// The source of the client id and secret, for the vendor's account.
    public let credentials: any CredentialSource
    /// The endpoints to mount on an HTTP server.
    public let endpoints: EndpointSet
    /// The vendor, with the base URL in use.
    public let vendor: Vendor
    /// The vendor's environment, such as `demo`.
    public let environment: String
    /// The settings of the section `server`, for the code that runs the server.
    public let server: ServerSettings
    /// The settings of the section `metrics`, for the code that runs the server; `nil` if it serves no metrics.
    public let metrics: MetricsSettings?
    /// The parts of the authenticator and the policy that depend on a server and can be checked before the first
    /// request.
    public let liveChecks: [any LiveChecking]

    let parts: [any HealthReporting]
    let teardown: Teardown
    private let readiness: Readiness
    private let logger: Logger

    /// The settings of a broker.
    public struct Configuration: Sendable {
        /// The settings of the checkout token endpoint, which pages call.
        public var endpoint: CheckoutTokenEndpoint.Configuration
        /// The path of the liveness endpoint; `nil` for none.
        public var livePath: RoutePath? = "/healthz"
        /// The path of the readiness endpoint; `nil` for none.
        public var readyPath: RoutePath? = "/readyz"
        /// The path of the OpenAPI document; `nil` for none.
        public var openAPIPath: RoutePath?
        /// The rate limit of calls to the vendor; `nil` for none.
        public var rateLimit: RateLimit?
        /// The processes that share tokens and the rate limit; `nil` if there is only this one.
        public var fleet: Fleet?
        /// The timeout of one call to the vendor.
        public var callTimeout: Duration = .seconds(10)
        /// A Boolean value that indicates whether responses may share a checkout token.
        public var reusesTokens = true
        /// The settings for the code that runs the server.
        public var server = ServerSettings()
        /// The settings for the code that serves metrics; `nil` if it serves none.
        public var metrics: MetricsSettings?

        /// Creates settings with the default values and the vendor's own rate limit.
        /// - Parameters:
        ///   - vendor: The vendor.
        ///   - environment: The vendor's environment, such as `demo`.
        public init(for vendor: Vendor, environment: String) {
            endpoint = CheckoutTokenEndpoint.Configuration(environment: environment)
            rateLimit = vendor.profile.requestsPerSecond.map { RateLimit(requestsPerSecond: $0) }
        }
    }

    /// Creates a broker from parts, with everything that a composed broker has: caches, retries, the rate limit,
    /// health, and a graceful shutdown.
    ///
    /// The broker shuts down the parts that it is given.
    /// - Parameters:
    ///   - vendor: The vendor, with the base URL to use.
    ///   - credentials: The source of the client id and secret.
    ///   - assertions: The client assertions. Required if the client authenticates with `private_key_jwt`.
    ///   - transport: The transport that sends the calls to the vendor.
    ///   - authenticator: Identifies the caller.
    ///   - policy: Decides whether the caller may get a token. A request that it allows must be for the caller's own
    ///     invoice.
    ///   - configuration: The settings of the broker.
    ///   - clock: The clock that measures lifetimes and timeouts.
    ///   - wallClock: Returns the current date, for absolute times only.
    ///   - logger: The logger of the broker.
    /// - Throws: ``ConfigurationError/Problem`` if parts conflict with each other. It names the key that would choose
    ///   them in a file.
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

    /// Creates a broker whose authenticator and policy need what the broker provides, such as its access tokens.
    ///
    /// The broker shuts down the parts that it is given.
    /// - Parameters:
    ///   - vendor: The vendor, with the base URL to use.
    ///   - credentials: The source of the client id and secret.
    ///   - assertions: The client assertions. Required if the client authenticates with `private_key_jwt`.
    ///   - transport: The transport that sends the calls to the vendor.
    ///   - configuration: The settings of the broker.
    ///   - clock: The clock that measures lifetimes and timeouts.
    ///   - wallClock: Returns the current date, for absolute times only.
    ///   - logger: The logger of the broker.
    ///   - access: Builds the authenticator and the policy.
    /// - Throws: The error that `access` throws, or ``ConfigurationError/Problem`` if parts conflict with each other.
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

    /// Creates a broker from its steps.
    /// - Parameter teardown: The teardown, which already contains the given parts.
    init(
        _ steps: Steps, authenticator: any Authenticator, policy: any AccessPolicy, configuration: Configuration,
        teardown: Teardown, clock: some Clock<Duration>, logger: Logger
    ) throws(ConfigurationError.Problem) {
        if authenticator is OpenModeAuthenticator, policy is OpenModePolicy {
            guard !steps.vendor.isProduction(configuration.endpoint.environment) else {
                throw ConfigurationError.Problem(.conflict, key: "access.mode", "expected no open mode in production")
            }
            logger.warning("open mode: every caller on this machine gets a token for any customer and invoice")
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
        if let store = configuration.fleet?.store { teardown.add(store) }
        if let limited = steps.limited { teardown.add(Ending { await limited.shutdown() }) }
        teardown.add(steps.accessTokens)
        teardown.add(steps.checkoutTokens)
        parts =
            [steps.accessTokens, steps.checkoutTokens] + (steps.limited.map { [$0] } ?? [])
            + components(of: authenticator, as: (any HealthReporting).self)
            + components(of: policy, as: (any HealthReporting).self)
            + (configuration.fleet.map { [$0.store] } ?? [])
        liveChecks =
            components(of: authenticator, as: (any LiveChecking).self)
            + components(of: policy, as: (any LiveChecking).self)
            + (configuration.fleet.map { components(of: $0.store, as: (any LiveChecking).self) } ?? [])
        let readiness = Readiness(parts, logger: logger)
        self.readiness = readiness
        teardown.add(
            Repeating(every: .seconds(2), on: clock) {
                await steps.refresh()
                // Also updates the metrics of the remaining lifetimes.
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
        metrics = configuration.metrics
        self.teardown = teardown
        self.logger = logger
    }

    /// The health of each part, as reported by `GET /readyz`.
    ///
    /// The parts are both steps, the rate limit if there is one, and those of the authenticator and the policy, such as
    /// `access_keys` for keys at a URL. The broker is ready if all of its parts are (`TokenBroker/Health/isReady`).
    /// Getting the health makes no call to the vendor.
    public var health: [Health] {
        get async {
            var health: [Health] = []
            for part in parts { health.append(await part.health()) }
            return health
        }
    }

    /// Loads the credentials, so that a problem with them is found before the first token is requested.
    /// - Throws: `TokenError` if the credentials are unusable, or if there are none. The error then says where each
    ///   source looked.
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

    /// Waits until the task is cancelled, ``shutdown()`` is called or, in a service group, a graceful shutdown begins.
    /// Then shuts down.
    ///
    /// It logs a warning if the credentials are unusable at the start. In a service group, list the broker before the
    /// server, because services end in reverse order.
    public func run() async {
        // Runs concurrently, because a source may be slow. It is cancelled at the end.
        async let _: Void = warnOfCredentials()
        await waitUntilStopped()
        await shutdown()
    }

    private func warnOfCredentials() async {
        do {
            try await checkCredentials()
        } catch {
            logger.warning("no token can be obtained without usable credentials", metadata: ["error": "\(error)"])
        }
    }

    /// Makes the readiness endpoint respond with 503 from now on, while everything is still served.
    ///
    /// Call it some time before ``shutdown()``, so that load balancers send new requests elsewhere.
    public func announceShutdown() { readiness.announceShutdown() }

    /// Ends all calls to the vendor and shuts down the parts in the reverse order of their creation.
    ///
    /// Cached tokens are still handed out. Calling this method again has no effect.
    public func shutdown() async { await teardown.run() }
}

extension Broker: CustomReflectable {
    /// An empty mirror, because the parts contain secrets.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

extension AccessBinding {
    /// Why the binding does not prove that the invoice belongs to the caller.
    fileprivate var whatIsMissing: String {
        let expected = "expected a policy that proves that the invoice belongs to the caller, found one that proves "
        if contains(.customer) {
            return expected
                + "only that the customer does, so the caller could name any invoice; combine it with a policy that "
                + "binds the invoice: {kind: all, of: {mine: …, theirs: {kind: vendor-invoice}}}, or choose a claim "
                + "policy with the key invoice, or callback"
        }
        if contains(.invoiceOfCustomer) {
            return expected
                + "only that it belongs to the customer, whoever the caller is; combine it with a policy that binds "
                + "the customer: {kind: all, of: {mine: {kind: claim, customer: …}, theirs: {kind: vendor-invoice}}}"
        }
        return expected
            + "neither that nor that the customer does; under any, every policy has to prove it. Policies that prove "
            + "it are claim with the key invoice, callback, and, under all, vendor-invoice together with claim with "
            + "the key customer"
    }
}

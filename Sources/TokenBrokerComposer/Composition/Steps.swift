import FoundationEssentials
import Logging
import TokenBroker

/// Both steps on the way to a checkout token, with their caches, retries and rate limit.
///
/// Every call to the vendor goes through the rate limit, whichever step or policy makes it.
struct Steps: Sendable {
    let vendor: Vendor
    let credentials: any CredentialSource
    /// The transport that enforces the vendor's rate limit; `nil` without a limit.
    let limited: RateLimitedTransport?
    let accessTokens: any TokenCaching
    let checkoutTokens: any TokenProvider & HealthReporting
    private let accessTokenProvider: ClientCredentialsProvider
    private let transport: any HTTPTransport
    private let timeout: Duration
    private let clock: any Clock<Duration>
    private let wallClock: @Sendable () -> Date
    private let logger: Logger

    init(
        vendor: Vendor, credentials: any CredentialSource, assertions: ClientAssertions?,
        transport: any HTTPTransport, configuration: Broker.Configuration, clock: some Clock<Duration>,
        wallClock: @escaping @Sendable () -> Date, logger: Logger
    ) {
        limited = configuration.rateLimit.map { limit in
            RateLimitedTransport(
                transport, account: vendor.account, requestsPerSecond: limit.requestsPerSecond, burst: limit.burst,
                fleet: configuration.fleet, name: configuration.fleet?.rateLimitName(of: vendor) ?? "", clock: clock,
                wallClock: wallClock
            )
        }
        self.transport = limited ?? transport
        // A call that ends after the deadline of the response is of no use, and no caller waits for a fetch longer than
        // a response may take.
        let answerTimeout = configuration.endpoint.timeout
        timeout = min(configuration.callTimeout, answerTimeout)
        accessTokenProvider = ClientCredentialsProvider(
            vendor: vendor, credentials: credentials, assertions: assertions, transport: self.transport,
            timeout: timeout, clock: clock, wallClock: wallClock, logger: logger
        )
        let accessTokens = Self.cached(
            accessTokenProvider.retrying(clock: clock), accessTokenProvider.part, configuration.fleet,
            accessTokenProvider, vendor, timeout: answerTimeout, clock: clock, wallClock: wallClock
        )
        let checkoutTokens = CheckoutTokenProvider(
            vendor: vendor, accessTokens: accessTokens, transport: self.transport, timeout: timeout, clock: clock,
            wallClock: wallClock, logger: logger
        )
        .retrying(clock: clock)
        self.accessTokens = accessTokens
        // A token that ends with its access token is not shared, because only this process knows that access token.
        let fleet = vendor.profile.checkoutToken.endsWithAccessToken ? nil : configuration.fleet
        self.checkoutTokens =
            configuration.reusesTokens
            ? Self.cached(
                checkoutTokens, checkoutTokens.part, fleet, accessTokenProvider, vendor, timeout: answerTimeout,
                clock: clock, wallClock: wallClock
            ) : checkoutTokens
        self.vendor = vendor
        self.credentials = credentials
        self.clock = clock
        self.wallClock = wallClock
        self.logger = logger
    }

    /// Returns a provider with a cache and, in a fleet, with what its processes share.
    private static func cached(
        _ provider: some TokenProvider & HealthReporting, _ step: String, _ fleet: Fleet?, _ lines: any LineReporting,
        _ vendor: Vendor, timeout: Duration, clock: some Clock<Duration>, wallClock: @escaping @Sendable () -> Date
    ) -> any TokenCaching {
        guard let fleet else { return provider.caching(clock: clock, fetchTimeout: timeout) }
        return SharingTokenProvider(
            provider, step: step, fleet: fleet, lines: lines, vendor: vendor, clock: clock, wallClock: wallClock
        )
        .caching(clock: clock, fetchTimeout: timeout)
    }

    /// Returns the context for an authenticator and a policy.
    func context(environment: [String: String]) -> AccessContext {
        AccessContext(
            vendor: vendor, logger: logger, transport: transport, accessTokens: accessTokens, timeout: timeout,
            environment: environment, clock: clock, wallClock: wallClock
        )
    }

    /// Checks whether the credentials were rotated, and renews access tokens of former ones.
    func refresh() async {
        await accessTokenProvider.refresh()
        accessTokens.renewSuperseded()
    }
}

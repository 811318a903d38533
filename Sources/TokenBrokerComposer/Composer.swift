#if ConfigurationSupport
public import FoundationEssentials
import HTTPTypes
public import Logging
public import TokenBroker

/// Turns a configuration into a ``Broker``.
///
/// ```swift
/// var registry = Registry.standard
/// registry.register(myPolicy)
/// let broker = try await Composer(registry: registry).compose(.load("broker.yaml"), logger: logger)
/// ```
public struct Composer: Sendable {
    /// What a configuration can choose from.
    public var registry: Registry

    /// - Parameter registry: What a configuration can choose from.
    public init(registry: Registry = .standard) { self.registry = registry }

    /// Reads and checks the whole configuration, then builds the parts, each after those that it needs.
    ///
    /// Nothing is sent and no credentials are loaded. What is merely doubtful is logged as a warning.
    ///
    /// - Parameters:
    ///   - configuration: The file and the environment.
    ///   - transport: Instead of the one that the configuration chooses, such as an `InMemoryTransport` in a test.
    ///     The caller shuts it down.
    ///   - clock: Measures lifetimes and timeouts.
    ///   - wallClock: Only for absolute times.
    ///   - logger: Also what the parts log to.
    /// - Throws: ``ConfigurationError`` with everything that is wrong. What had been built by then is shut down.
    public func compose<C: Clock>(
        _ configuration: BrokerConfiguration, transport: (any HTTPTransport)? = nil, clock: C = ContinuousClock(),
        wallClock: @escaping @Sendable () -> Date = { Date() }, logger: Logger
    ) async throws(ConfigurationError) -> Broker where C.Duration == Duration {
        let reader = ConfigurationReader(configuration)
        let settings = Settings(reader, registry)
        for warning in reader.warnings { logger.warning("\(warning)") }
        guard let settings else { throw ConfigurationError(reader.problems) }

        let teardown = Teardown()
        do {
            let assembly = Assembly(
                settings: settings, environment: configuration.environment, teardown: teardown, logger: logger
            )
            return try await assembly.broker(transport: transport, clock: clock, wallClock: wallClock)
        } catch {
            await teardown.run()
            if let conflict = error.conflict {
                reader.note(.conflict, error.section, message: conflict)
                throw ConfigurationError(reader.problems)
            }
            reader.note(.failed, error.section, message: error.reason)
            throw ConfigurationError(reader.problems)
        }
    }
}

/// Does something again and again until it is shut down or released.
private final class Repeating: ShutsDown {
    private let task: Task<Void, Never>

    init(
        every pause: Duration, on clock: some Clock<Duration>, _ operation: @escaping @Sendable () async -> Void
    ) {
        task = Task {
            while !Task.isCancelled {
                guard (try? await clock.sleep(for: pause)) != nil else { return }
                await operation()
            }
        }
    }

    deinit { task.cancel() }

    func shutdown() async {
        task.cancel()
        await task.value
    }
}

/// What a key of a part leads to cannot be used, such as a file with a secret.
struct KeyFailure: Error {
    /// From the part's section on.
    var path: [String]
    /// Safe to log.
    var reason: String

    /// Says of what `body` cannot use which key led to it.
    /// - Parameter key: `nil` if the section is the key.
    static func attributing<Value>(to key: String?, _ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch let error as CredentialError {
            throw Self(key, error)
        }
    }

    init(_ key: String?, _ error: CredentialError) {
        path = key.map { [$0] } ?? []
        reason = "\(error.source): \(error.message)"
    }
}

/// Builds the parts, leaves first.
private struct Assembly {
    let settings: Settings
    let environment: [String: String]
    let teardown: Teardown
    let logger: Logger

    struct Failure: Error {
        var section: [String]
        var reason: String
        /// What is expected of the configuration and what was found, if it is the configuration that is to be changed.
        var conflict: String?
    }

    func broker<C: Clock>(
        transport given: (any HTTPTransport)?, clock: C, wallClock: @escaping @Sendable () -> Date
    ) async throws(Failure) -> Broker where C.Duration == Duration {
        let transport: any HTTPTransport
        if let given {
            transport = given
        } else {
            transport = try await build(settings.transport.section) {
                try await settings.transport.build(
                    TransportContext(logger: logger, timeout: settings.timeout, environment: environment)
                )
            }
        }
        // Every call to the vendor goes through it, whichever step or policy makes it.
        let limited = settings.pace.map { requestsPerSecond, burst in
            RateLimitedTransport(
                transport, account: settings.vendor.account, requestsPerSecond: requestsPerSecond, burst: burst,
                clock: clock, wallClock: wallClock
            )
        }
        let vendorTransport: any HTTPTransport = limited ?? transport
        // A call that would end after the answer has to be given is of no use.
        let timeout = min(settings.timeout, settings.route.timeout)
        let credentials = try await credentials(transport, clock, wallClock)
        let accessTokenProvider = ClientCredentialsProvider(
            vendor: settings.vendor, credentials: credentials, signer: try await signer(transport),
            assertionAudience: settings.assertionAudience, transport: vendorTransport, timeout: timeout,
            clock: clock, wallClock: wallClock, logger: logger
        )
        // Nobody waits for a fetch for longer than an answer may take.
        let fetchTimeout = settings.route.timeout
        let accessTokens = accessTokenProvider.retrying(clock: clock).caching(clock: clock, fetchTimeout: fetchTimeout)
        teardown.add(accessTokens)
        let checkoutTokenProvider = CheckoutTokenProvider(
            vendor: settings.vendor, accessTokens: accessTokens, transport: vendorTransport, timeout: timeout,
            clock: clock, wallClock: wallClock, logger: logger
        )
        let retried = checkoutTokenProvider.retrying(clock: clock)
        let checkoutTokens: any TokenProvider & HealthReporting =
            settings.reuse ? retried.caching(clock: clock, fetchTimeout: fetchTimeout) : retried
        teardown.add(checkoutTokens)
        let (authenticator, policy) = try await access(
            AccessContext(
                logger: logger, transport: vendorTransport, accessTokens: accessTokens, vendor: settings.vendor,
                timeout: timeout, environment: environment, clock: clock, wallClock: wallClock
            )
        )
        let reserved = settings.route.allowedHeaders.filter(authenticator.reservedFields.contains)
        guard reserved.isEmpty else {
            throw Failure(
                section: ["route", "allowedHeaders"], reason: "",
                conflict: "expected no field that the proxy sets for the authenticator, found "
                    + reserved.map(\.rawName).joined(separator: ", ")
            )
        }
        let pseudonym = try await pseudonym()

        var endpoints = EndpointSet()
        endpoints.add(
            CheckoutTokenEndpoint(
                path: RoutePath(settings.route.path), tokens: checkoutTokens, authenticator: authenticator,
                policy: policy, allowedOrigins: Set(settings.route.allowedOrigins),
                allowedHeaders: settings.route.allowedHeaders, environment: settings.environment,
                timeout: settings.route.timeout, minimumRemaining: settings.minimumRemaining,
                limits: settings.limits.limits, pseudonym: pseudonym, clock: clock, logger: logger
            )
        )
        let parts: [any HealthReporting] =
            [accessTokens, checkoutTokens] + (limited.map { [$0] } ?? [])
            + components(of: authenticator, as: (any HealthReporting).self)
            + components(of: policy, as: (any HealthReporting).self)
        let readiness = Readiness(parts, logger: logger)
        teardown.add(
            Repeating(every: .seconds(2), on: clock) {
                await accessTokenProvider.refresh()
                // Measures the life that is left, too.
                _ = await readiness.check()
            }
        )
        let (livePath, readyPath) = (settings.livePath.map { RoutePath($0) }, settings.readyPath.map { RoutePath($0) })
        if let path = livePath { endpoints.add(HealthEndpoint(path: path)) }
        if let path = readyPath { endpoints.add(ReadinessEndpoint(path: path, readiness)) }
        if let path = settings.route.openAPIPath {
            endpoints.add(
                OpenAPIEndpoint(
                    path: RoutePath(path), checkoutToken: RoutePath(settings.route.path), live: livePath,
                    ready: readyPath
                )
            )
        }
        return Broker(
            accessTokens: accessTokens, checkoutTokens: checkoutTokens, credentials: credentials,
            endpoints: endpoints, vendor: settings.vendor, environment: settings.environment, server: settings.server,
            liveChecks: components(of: authenticator, as: (any LiveChecking).self)
                + components(of: policy, as: (any LiveChecking).self),
            parts: parts, teardown: teardown
        )
    }

    private func pseudonym() async throws(Failure) -> (@Sendable (Principal) -> String)? {
        guard let key = settings.limits.auditKey else { return nil }
        return try await build(key.section) { try key.pseudonym(environment: environment, logger: logger) }
    }

    private func credentials(
        _ transport: any HTTPTransport, _ clock: any Clock<Duration>, _ wallClock: @escaping @Sendable () -> Date
    ) async throws(Failure) -> any CredentialSource {
        let context = CredentialContext(
            logger: logger, transport: transport, profile: settings.vendor.profile,
            needsSecret: settings.vendor.clientAuthentication.needsSecret, clock: clock, wallClock: wallClock,
            environment: environment
        )
        var sources: [any CredentialSource] = []
        for source in settings.credentials {
            sources.append(try await build(source.section) { try await source.build(context) })
        }
        return CredentialChain(sources)
    }

    private func signer(_ transport: any HTTPTransport) async throws(Failure) -> (any ClientAssertionSigner)? {
        guard let signer = settings.signer else { return nil }
        let context = AssertionSignerContext(logger: logger, transport: transport)
        return try await build(signer.section) { try await signer.build(context) }
    }

    private func access(
        _ context: AccessContext
    ) async throws(Failure) -> (any Authenticator, any AccessPolicy) {
        switch settings.access {
        case .open:
            logger.warning("open mode: whoever asks from this machine gets a token for any customer and invoice")
            return (OpenModeAuthenticator(), OpenModePolicy())
        case .closed(let authenticator, let policy):
            let builtAuthenticator = try await build(authenticator.section) { try await authenticator.build(context) }
            let builtPolicy = try await build(policy.section) { try await policy.build(context) }
            guard builtPolicy.binds.consequences.contains(.invoice) else {
                throw Failure(section: policy.section, reason: "", conflict: unbound(builtPolicy.binds))
            }
            return (builtAuthenticator, builtPolicy)
        }
    }

    /// What is missing in a policy that lets people ask for other people's invoices.
    private func unbound(_ binds: AccessBinding) -> String {
        let expected = "expected a policy whose yes proves that the invoice belongs to who asks, found one that proves "
        if binds.contains(.customer) {
            return expected
                + "only that the customer does, so that any invoice could be named with it; combine it with one that "
                + "binds the invoice: {kind: all, of: {mine: …, theirs: {kind: vendor-invoice}}}, or choose a claim policy with the "
                + "key invoice, or callback"
        }
        if binds.contains(.invoiceOfCustomer) {
            return expected
                + "only that the invoice is the customer's, whoever asks; combine it with one that binds the customer: "
                + "{kind: all, of: {mine: {kind: claim, customer: …}, theirs: {kind: vendor-invoice}}}"
        }
        return expected
            + "neither that nor that the customer does; of policies under any, every one has to prove it. Those that do are "
            + "claim with the key invoice, callback, and vendor-invoice under all with claim and its key customer"
    }

    /// Builds one part and remembers it for the tear-down.
    private func build<Part: Sendable>(
        _ section: [String], _ part: () async throws -> Part
    ) async throws(Failure) -> Part {
        do {
            let part = try await part()
            teardown.add(part)
            return part
        } catch {
            // Only this package's errors are known to be safe as text.
            let reason: String
            switch error {
            case let error as KeyFailure:
                throw Failure(section: section + error.path, reason: "it cannot be used: \(error.reason)")
            case let error as TransportError: reason = error.description
            case let error as CredentialError: reason = error.description
            case let error as TokenError: reason = error.description
            default: reason = "\(type(of: error))"
            }
            throw Failure(section: section, reason: "it cannot be built: \(reason)")
        }
    }
}
#endif

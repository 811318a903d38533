#if ConfigurationSupport
public import FoundationEssentials
import HTTPTypes
public import Logging
public import TokenBroker

/// Builds a ``Broker`` from a configuration.
///
/// ```swift
/// var registry = Registry.standard
/// try registry.register(.curl)
/// try registry.register(myPolicy)
/// let broker = try await Composer(registry: registry).compose(.load("broker.yaml"), logger: logger)
/// ```
public struct Composer: Sendable {
    /// The plug-ins and vendors that a configuration can choose from.
    public var registry: Registry

    /// Creates a composer.
    /// - Parameter registry: The plug-ins and vendors that a configuration can choose from.
    public init(registry: Registry = .standard) { self.registry = registry }

    /// Reads and checks the whole configuration, then builds the broker and its parts.
    ///
    /// This method sends nothing and loads no credentials. It logs a warning for anything that is
    /// valid but doubtful.
    ///
    /// - Parameters:
    ///   - configuration: The configuration to read.
    ///   - transport: The transport to use instead of the one that the configuration chooses, such as an
    ///     `InMemoryTransport` in a test. The caller shuts it down.
    ///   - clock: The clock that measures lifetimes and timeouts.
    ///   - wallClock: Returns the current date, for absolute times only.
    ///   - logger: The logger of the broker and its parts.
    /// - Throws: ``ConfigurationError`` with all problems that were found. Parts that are already built are shut down.
    public func compose(
        _ configuration: BrokerConfiguration, transport: (any HTTPTransport)? = nil,
        clock: some Clock<Duration> = ContinuousClock(), wallClock: @escaping @Sendable () -> Date = { Date() },
        logger: Logger
    ) async throws(ConfigurationError) -> Broker {
        let reader = ConfigurationReader(configuration)
        let settings = Settings(reader, registry, choosesTransport: transport == nil)
        for warning in reader.warnings { logger.warning("\(warning)") }
        guard let settings else { throw ConfigurationError(reader.problems) }

        let teardown = Teardown()
        do throws(ConfigurationError.Problem) {
            let parts = PartBuilder(environment: configuration.environment, teardown: teardown, logger: logger)
            return try await parts.broker(settings, transport: transport, clock: clock, wallClock: wallClock)
        } catch {
            await teardown.run()
            reader.note(error, in: [])
            throw ConfigurationError(reader.problems)
        }
    }
}

/// Builds the parts that a configuration chooses, each one after the parts that it needs.
private struct PartBuilder {
    let environment: [String: String]
    let teardown: Teardown
    let logger: Logger

    func broker(
        _ settings: Settings, transport given: (any HTTPTransport)?, clock: some Clock<Duration>,
        wallClock: @escaping @Sendable () -> Date
    ) async throws(ConfigurationError.Problem) -> Broker {
        let vendor = settings.vendor.vendor
        let transport: any HTTPTransport
        switch (given, settings.transport.transport) {
        case (let given?, _): transport = given
        case (nil, let chosen?):
            transport = try await build(
                chosen,
                TransportContext(logger: logger, timeout: settings.transport.timeout, environment: environment)
            )
        case (nil, nil):
            throw ConfigurationError.Problem(.missing, key: "transport", "expected a transport, found none")
        }
        let credentialContext = CredentialContext(
            logger: logger, transport: transport, profile: vendor.profile,
            needsSecret: vendor.clientAuthentication.needsSecret, clock: clock, wallClock: wallClock,
            environment: environment
        )
        var sources: [any CredentialSource] = []
        for source in settings.credentials { sources.append(try await build(source, credentialContext)) }
        var assertions: ClientAssertions?
        if let chosen = settings.vendor.assertions {
            let signer = try await build(chosen.signer, AssertionSignerContext(logger: logger, transport: transport))
            assertions = ClientAssertions(signer: signer, audience: chosen.audience)
        }
        var configuration = try configuration(settings)
        if let fleet = settings.fleet {
            let sealing = try fleet.seal()
            configuration.fleet = Fleet(
                store: try await build(fleet.store, FleetStoreContext(logger: logger)), sealing: sealing,
                processes: fleet.processes
            )
        }
        let steps = Steps(
            vendor: vendor, credentials: CredentialChain(sources), assertions: assertions, transport: transport,
            configuration: configuration, clock: clock, wallClock: wallClock, logger: logger
        )
        let (authenticator, policy) = try await access(settings.access, steps.context(environment: environment))
        return try Broker(
            steps, authenticator: authenticator, policy: policy, configuration: configuration, teardown: teardown,
            clock: clock, logger: logger
        )
    }

    private func configuration(_ settings: Settings) throws(ConfigurationError.Problem) -> Broker.Configuration {
        var configuration = Broker.Configuration(
            for: settings.vendor.vendor, environment: settings.vendor.environment)
        configuration.endpoint.path = RoutePath(settings.route.path)
        configuration.endpoint.timeout = settings.route.timeout
        configuration.endpoint.minimumRemaining = settings.tokens.minimumRemaining
        configuration.endpoint.allowedOrigins = Set(settings.route.allowedOrigins)
        configuration.endpoint.allowedHeaders = settings.route.allowedHeaders
        configuration.endpoint.limits = settings.limits
        configuration.endpoint.pseudonym = try settings.audit.map { (audit) throws(ConfigurationError.Problem) in
            do throws(ConfigurationError.Problem) {
                return try audit.pseudonym(environment: environment, logger: logger)
            } catch {
                throw error.within(audit.section)
            }
        }
        configuration.livePath = settings.health.livePath.map { RoutePath($0) }
        configuration.readyPath = settings.health.readyPath.map { RoutePath($0) }
        configuration.openAPIPath = settings.route.openAPIPath.map { RoutePath($0) }
        configuration.rateLimit = settings.tokens.rateLimit
        configuration.callTimeout = settings.transport.timeout
        configuration.reusesTokens = settings.tokens.reuse
        configuration.server = settings.server
        configuration.metrics = settings.metrics
        return configuration
    }

    private func access(
        _ settings: AccessSection.Settings, _ context: AccessContext
    ) async throws(ConfigurationError.Problem) -> (any Authenticator, any AccessPolicy) {
        switch settings {
        case .open: return (OpenModeAuthenticator(), OpenModePolicy())
        case .closed(let authenticator, let policy):
            return (try await build(authenticator, context), try await build(policy, context))
        }
    }

    /// Builds one part and adds it to the teardown.
    private func build<Context: Sendable, Part: Sendable>(
        _ choice: Choice<Plugin<Context, Part>.Build>, _ context: Context
    ) async throws(ConfigurationError.Problem) -> Part {
        do throws(ConfigurationError.Problem) {
            let part = try await building { try await choice.build(context) }
            teardown.add(part)
            return part
        } catch {
            throw error.within(choice.section)
        }
    }
}

extension ConfigurationError.Problem {
    /// Returns the problem with its full key, for a problem within a section.
    fileprivate func within(_ section: [String]) -> Self {
        var problem = self
        problem.key = (section + (key.map { [$0] } ?? [])).joined(separator: ".")
        return problem
    }
}
#endif

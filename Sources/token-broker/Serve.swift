#if CommandLineSupport
import ArgumentParser
import FoundationEssentials
import Logging
import Metrics
import ServiceLifecycle
import TokenBroker
import TokenBrokerComposer
import TokenBrokerNIO
import TokenBrokerPrometheus

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the server that a configuration file describes.",
        discussion: """
            SIGTERM, SIGINT and SIGQUIT stop it: it accepts no new connections, finishes requests in flight within \
            server.shutdownTimeout, and cuts off the others. Before that, it serves for server.shutdownDelay while \
            it is not ready. If it has not ended one second later, it exits with code 70. A second signal ends it at once. SIGHUP changes nothing.
            """
    )

    @OptionGroup var configurationFile: ConfigurationOption
    @OptionGroup var logging: LoggingOptions

    func run() async throws {
        // Before anything makes a metric.
        let metrics = PrometheusMetricsFactory()
        MetricsSystem.bootstrap(metrics)
        metrics.recordProcessStart()
        Meter(.buildInfo, [("version", TokenBrokerCommand.configuration.version)]).set(1)
        let logger = logging.makeLogger()
        let signals = await Signals(hangUp: .isTold, logger: logger)
        let broker = try await configurationFile.compose(logger: logger)
        let settings = broker.server
        let server: HTTPService
        var services: [any Service] = [broker]
        do {
            if let settings = broker.metrics {
                services.append(try await serve(metrics, settings, logger))
            }
            server = try await HTTPService(
                broker.endpoints, host: settings.host, port: settings.port, setting: "server.port",
                limits: HTTPServer.Limits(settings), connections: Meter(.connections), logger: logger
            )
        } catch {
            for case let service as HTTPService in services { await service.close() }
            await broker.shutdown()
            throw error
        }
        let manager = ServiceManager(environment: ProcessInfo.processInfo.environment)
        let announcement = Announcement {
            announcements.line("token-broker listens on \(address(settings.host, server.port))")
            manager.notify("READY=1")
        }
        services += [server, manager, announcement]
        try await token_broker.run(
            services, until: signals, delay: settings.shutdownDelay, timeout: settings.shutdownTimeout, logger: logger
        ) {
            manager.notify("STOPPING=1")
            broker.announceShutdown()
        }
    }

    /// Serves the metrics on a listener of their own.
    private func serve(
        _ metrics: PrometheusMetricsFactory, _ settings: MetricsSettings, _ logger: Logger
    ) async throws -> HTTPService {
        var limits = HTTPServer.Limits()
        limits.connections = 20
        let service = try await HTTPService(
            EndpointSet([MetricsEndpoint(metrics)]), host: settings.host, port: settings.port, setting: "metrics.port",
            limits: limits, logger: logger
        )
        logger.info(
            "metrics are served", metadata: ["address": "\(address(settings.host, service.port))/metrics"])
        return service
    }
}

extension HTTPServer.Limits {
    fileprivate init(_ settings: ServerSettings) {
        self.init()
        headTimeout = settings.headTimeout
        idleTimeout = settings.idleTimeout
        headerBytes = settings.headerBytes
        connections = settings.connections
        connectionsPerAddress = settings.connectionsPerAddress
        trustedProxies = settings.trustedProxies
    }
}

/// The `--config` option, which composes a broker from the file that it names.
struct ConfigurationOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The configuration file, YAML or JSON. Default: $TOKEN_BROKER_CONFIG, or broker.yaml in the working "
                + "directory.",
            valueName: "file"
        )
    )
    var config: String?

    func compose(logger: Logger) async throws -> Broker {
        let path = try path(logger)
        do {
            return try await Composer(registry: .program).compose(.load(path), logger: logger)
        } catch {
            throw Failure.configuration("\(error)")
        }
    }

    private static let fallback = "broker.yaml"

    /// Returns the path of the file: the one in `--config`, `nil` for the one in the environment, or else the one in
    /// the working directory.
    private func path(_ logger: Logger) throws -> String? {
        if let config { return config }
        let environment = ProcessInfo.processInfo.environment
        if environment["TOKEN_BROKER_CONFIG"]?.isEmpty == false { return nil }
        guard FileManager.default.fileExists(atPath: Self.fallback) else {
            throw Failure.configuration(
                "no configuration file: name one with --config or TOKEN_BROKER_CONFIG, or put \(Self.fallback) in "
                    + "the working directory"
            )
        }
        logger.notice("using the configuration file \(Self.fallback) in the working directory")
        return Self.fallback
    }
}
#endif

#if CommandLineSupport
import ArgumentParser
import Logging
import TokenBroker
import TokenBrokerComposer
import TokenBrokerNIO

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the server that a configuration file describes.",
        discussion: """
            SIGTERM, SIGINT and SIGQUIT stop it: it takes no new connections, and requests under way are finished within \
            server.shutdownDeadline; a second one ends it at once. SIGHUP changes nothing.
            """
    )

    @OptionGroup var configurationFile: ConfigurationOption
    @OptionGroup var logging: LoggingOptions

    func run() async throws {
        let logger = logging.makeLogger()
        let signals = await Signals(hangUp: .isTold, logger: logger)
        let broker = try await configurationFile.compose(logger: logger)
        let settings = broker.server
        var limits = HTTPServer.Limits()
        limits.headTimeout = settings.headDeadline
        limits.idleTimeout = settings.idleTimeout
        limits.headerBytes = settings.headerBytes
        limits.connections = settings.connections
        limits.connectionsPerAddress = settings.connectionsPerAddress
        limits.trustedProxies = settings.trustedProxies
        let server: HTTPService
        do {
            server = try await HTTPService(
                broker.endpoints, host: settings.host, port: settings.port, setting: "server.port", limits: limits,
                logger: logger
            )
        } catch {
            await broker.shutdown()
            throw error
        }
        announcements.line("token-broker listens on \(address(settings.host, server.port))")
        try await token_broker.run(
            [broker, server], until: signals, deadline: settings.shutdownDeadline, logger: logger
        )
    }
}

/// `--config`, and what is made of it.
struct ConfigurationOption: ParsableArguments {
    @Option(
        help: ArgumentHelp("The configuration file, YAML or JSON. Default: $TOKEN_BROKER_CONFIG.", valueName: "file")
    )
    var config: String?

    func compose(logger: Logger) async throws -> Broker {
        do {
            return try await Composer(registry: .program).compose(BrokerConfiguration.load(config), logger: logger)
        } catch {
            throw Failure.configuration("\(error)")
        }
    }
}
#endif

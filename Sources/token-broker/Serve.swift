#if CommandLineSupport
import ArgumentParser
import FoundationEssentials
import Logging
import TokenBroker
import TokenBrokerComposer
import TokenBrokerNIO

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the server that a configuration file describes.",
        discussion: """
            SIGTERM, SIGINT and SIGQUIT stop it: it accepts no new connections, finishes requests in flight within \
            server.shutdownTimeout, and cuts off the others. If it has not ended one second later, it exits with \
            code 70. A second signal ends it at once. SIGHUP changes nothing.
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
        limits.headTimeout = settings.headTimeout
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
        let announcement = Announcement {
            announcements.line("token-broker listens on \(address(settings.host, server.port))")
        }
        try await token_broker.run(
            [broker, server, announcement], until: signals, timeout: settings.shutdownTimeout, logger: logger
        )
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

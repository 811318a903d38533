#if CommandLineSupport
import ArgumentParser
import FoundationEssentials
import Logging
import TokenBroker
import TokenBrokerComposer

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the server that a configuration file describes.",
        discussion: """
            SIGTERM and SIGINT stop it: it takes no new connections, and requests under way are finished within \
            server.shutdownDeadline.
            """
    )

    @OptionGroup var configurationFile: ConfigurationOption
    @OptionGroup var logging: LoggingOptions

    func run() async throws {
        let logger = logging.makeLogger()
        let broker = try await configurationFile.compose(logger: logger)
        let settings = broker.server
        let (host, port) = (settings.host, settings.port)
        let limits = HTTPService.Limits(
            headDeadline: settings.headDeadline, idleTimeout: settings.idleTimeout, headerBytes: settings.headerBytes,
            connections: settings.connections, connectionsPerAddress: settings.connectionsPerAddress,
            trustedProxies: settings.trustedProxies
        )
        let server = HTTPService(broker.endpoints, host: host, port: port, limits: limits, logger: logger)
        let announcement = Announcement(server: server) { port in
            standardOutput.line("token-broker listens on http://\(host):\(port)")
        }
        // Beside it, since a source may be slow.
        async let checked: Void = warnOfCredentials(of: broker, logger)
        try await token_broker.run(
            [broker, server, announcement], deadline: settings.shutdownDeadline, logger: logger
        )
        await checked
    }

    private func warnOfCredentials(of broker: Broker, _ logger: Logger) async {
        do {
            try await broker.checkCredentials()
        } catch {
            logger.warning("no token can be had until there are credentials", metadata: ["error": "\(error)"])
        }
    }
}

/// `--config`, and what is made of it.
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
            throw Failure.configuration("\(error)").exit()
        }
    }

    private static let fallback = "broker.yaml"

    /// What is named, or what lies in the working directory.
    private func path(_ logger: Logger) throws -> String? {
        if let config { return config }
        let environment = ProcessInfo.processInfo.environment
        if environment["TOKEN_BROKER_CONFIG"]?.isEmpty == false { return nil }
        guard FileManager.default.fileExists(atPath: Self.fallback) else {
            throw Failure.configuration(
                "no configuration file: name one with --config or TOKEN_BROKER_CONFIG, or put \(Self.fallback) into "
                    + "the working directory"
            ).exit()
        }
        logger.notice("the configuration is \(Self.fallback) in the working directory")
        return Self.fallback
    }
}
#endif

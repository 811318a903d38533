#if CommandLineSupport
import ArgumentParser
import TokenBroker
import TokenBrokerComposer

struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Validate a configuration file and load the credentials, without serving.",
        discussion: "Never prints a secret."
    )

    @OptionGroup var configurationFile: ConfigurationOption
    @Flag(help: "Also get an access token from the vendor, and say how long it lives.")
    var live = false
    @OptionGroup var logging: LoggingOptions

    func run() async throws {
        let broker = try await configurationFile.compose(logger: logging.makeLogger())
        let outcome = await Result { () async throws(Failure) in try await check(broker) }
        await broker.shutdown()
        try outcome.get()
    }

    private func check(_ broker: Broker) async throws(Failure) {
        try printResult("configuration: fine")
        do {
            try await broker.checkCredentials()
        } catch {
            throw .configuration(error.cause.map { "\($0)" } ?? error.message)
        }
        try printResult("credentials: found")
        guard live else { return }
        let token: Token
        do {
            token = try await broker.accessTokens.token(for: TokenRequest())
        } catch {
            throw Failure(error)
        }
        try printResult("access token: issued, lives for another \(token.remaining.components.seconds) s")
    }
}

extension Result {
    init(catching body: () async throws(Failure) -> Success) async {
        do {
            self = .success(try await body())
        } catch {
            self = .failure(error)
        }
    }
}
#endif

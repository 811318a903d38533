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
    @Flag(
        help: """
            Also request an access token from the vendor and print its remaining lifetime, and check the servers that \
            access.authenticator, access.policy and fleet.store depend on.
            """)
    var live = false
    @OptionGroup var logging: LoggingOptions

    func run() async throws {
        let broker = try await configurationFile.compose(logger: logging.makeLogger())
        let outcome = await Result { () async throws(Failure) in try await check(broker) }
        await broker.shutdown()
        try outcome.get()
    }

    private func check(_ broker: Broker) async throws(Failure) {
        try printResult("configuration: valid")
        do {
            try await broker.checkCredentials()
        } catch {
            throw .configuration(error.cause.map { "\($0)" } ?? error.message)
        }
        try printResult("credentials: found")
        guard live else { return }
        var failures: [Failure] = []
        switch await Result(catching: { () async throws(TokenError) in
            try await broker.accessTokens.token(for: TokenRequest())
        }) {
        case .success(let token):
            try printResult("access token: issued, expires in \(token.remaining.components.seconds) s")
        case .failure(let error): failures.append(Failure(error))
        }
        for part in broker.liveChecks {
            switch await Result(catching: { () async throws(TokenError) in try await part.check() }) {
            case .success(let finding): try printResult("\(part.checked): \(finding)")
            case .failure(let error): failures.append(Failure(error, subject: part.checked))
            }
        }
        // Reports all failures, because each one is fixed in a different place.
        guard let first = failures.first else { return }
        throw Failure(code: first.code, message: failures.map(\.message).joined(separator: "\n"))
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

#if CommandLineSupport
import ArgumentParser
import FoundationEssentials
import TokenBroker
import TokenBrokerComposer

struct Mint: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Request one checkout token and print it with its claims, for scripts and for support.",
        discussion:
            "The only command that prints a token: on the first line, or as the member 'token' with --json."
    )

    @OptionGroup var configurationFile: ConfigurationOption
    @Option(help: "The customer's id.")
    var customer: String
    @Option(help: "The invoice's id.")
    var invoice: String
    @Flag(help: "Print one JSON object.")
    var json = false
    @OptionGroup var logging: LoggingOptions

    func run() async throws {
        let broker = try await configurationFile.compose(logger: logging.makeLogger())
        let outcome: Result<Token, TokenError>
        do throws(TokenError) {
            let request = TokenRequest(customer: customer, invoice: invoice)
            outcome = .success(try await broker.checkoutTokens.token(for: request))
        } catch {
            outcome = .failure(error)
        }
        await broker.shutdown()
        switch outcome {
        case .success(let token): try show(token, environment: broker.environment)
        case .failure(let error): throw Failure(error)
        }
    }

    private func show(_ token: Token, environment: String) throws(Failure) {
        let text = token.secret.reveal()
        let claims = UnverifiedJWT(text)?.claims ?? .null
        let expiresAt = token.expiresAt.formatted(.iso8601)
        if json {
            let all: JSONValue = [
                "token": .string(text), "claims": claims, "expiresAt": .string(expiresAt),
                "expiresIn": .number(Double(token.remaining.components.seconds)), "environment": .string(environment),
            ]
            try printResult(all.serialized + [UInt8(ascii: "\n")])
        } else {
            try printResult(
                """
                \(text)
                claims: \(String(decoding: claims.serialized, as: UTF8.self))
                expires: \(expiresAt), in \(token.remaining.components.seconds) s
                environment: \(environment)
                """
            )
        }
    }
}
#endif

#if CommandLineSupport
import ArgumentParser
import TokenBroker
import TokenBrokerSandbox

struct SandboxCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sandbox",
        abstract: "Run the vendor's API in miniature.",
        discussion: """
            Customer cus_demo owns every invoice inv_…, and customer cus_other every invoice oth_…. \
            GET /_sandbox/calls lists the calls received, POST /_sandbox/throttle with {"seconds": 3} asks for a pause, \
            and POST /_sandbox/revoke revokes the access tokens. Durations are written like 500ms, 5s, 2m, 1h.
            """
    )

    private static let ownID = "sandbox-client"
    private static let ownSecret = "sandbox-secret"

    @Option(help: "The address to listen on.")
    var host = "127.0.0.1"
    @Option(help: "The port to listen on; 0 for any free port.")
    var port = 8081
    @Option(help: ArgumentHelp("The lifetime of access tokens.", valueName: "duration"), transform: Lifetime.init)
    var accessTokenLifetime: Lifetime = Lifetime(.seconds(3600))
    @Option(help: ArgumentHelp("The lifetime of checkout tokens.", valueName: "duration"), transform: Lifetime.init)
    var checkoutTokenLifetime: Lifetime = Lifetime(.seconds(900))
    @Option(help: ArgumentHelp("The number of calls accepted in any second; 0 for no limit.", valueName: "number"))
    var requestsPerSecond = 5
    @Flag(
        name: .customLong("no-v1"),
        help: "Answer /v1/checkout-auth/init with 404, as some environments of the vendor do."
    )
    var withoutV1 = false
    @Option(help: "The client id to accept.")
    var clientId = SandboxCommand.ownID
    @Option(help: "The client secret to accept.")
    var clientSecret = SandboxCommand.ownSecret
    @OptionGroup var logging: LoggingOptions

    func validate() throws {
        guard Host(bare: host) != nil else {
            throw ValidationError("--host must be a host name or an IP address, without port or brackets")
        }
        guard (0...65_535).contains(port) else { throw ValidationError("--port must be from 0 to 65535") }
        guard requestsPerSecond >= 0 else { throw ValidationError("--requests-per-second must not be negative") }
    }

    func run() async throws {
        let logger = logging.makeLogger()
        let sandbox = await Sandbox(
            configuration: .init(
                clientID: clientId, clientSecret: clientSecret, accessTokenLifetime: accessTokenLifetime.duration,
                checkoutTokenLifetime: checkoutTokenLifetime.duration, requestsPerSecond: requestsPerSecond,
                servesV1: !withoutV1
            )
        )
        let server = try await HTTPService(
            sandbox.endpoints, host: host, port: port, setting: "--port", logger: logger)
        // The default id and secret are made up and worthless elsewhere. Other values may be real, so they are not
        // printed.
        let isOwn = clientId == Self.ownID && clientSecret == Self.ownSecret
        let credentials =
            isOwn ? "client id \(clientId), client secret \(clientSecret)" : "client id and secret as given"
        let announcement = Announcement { [host] in
            announcements.line("sandbox listens on \(address(host, server.port))")
            announcements.line(credentials)
            announcements.line("customer cus_demo owns every invoice inv_…, and customer cus_other every invoice oth_…")
        }
        try await token_broker.run([server, announcement], timeout: .seconds(5), logger: logger)
    }
}

/// A duration on the command line, written as in the configuration file.
struct Lifetime: CustomStringConvertible {
    let duration: Duration

    init(_ duration: Duration) { self.duration = duration }

    init(argument: String) throws {
        guard let duration = Duration(configured: argument), duration > .zero else {
            throw ValidationError("expected a duration such as 30s, 5m or 1h")
        }
        self.duration = duration
    }

    var description: String { duration.configured }
}
#endif

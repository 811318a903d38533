#if CommandLineSupport
import ArgumentParser

@main
struct TokenBrokerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token-broker",
        abstract: "Hands short-lived checkout tokens to pages; the API credentials stay on the server.",
        discussion: """
            Start with 'token-broker demo': it needs nothing and shows the whole job in a page.

            Exit codes: 0 done; 64 wrong usage; 65 the vendor refuses this customer or invoice; 69 the vendor is \
            unavailable; 70 internal error; 71 cannot listen; 77 the credentials are refused; 78 the configuration or \
            the credentials cannot be used.
            """,
        version: "0.1.0",
        subcommands: [Serve.self, Check.self, Mint.self, SandboxCommand.self, Demo.self, Plugins.self]
    )
}
#else
@main
struct TokenBrokerCommand {
    static func main() {
        print("token-broker was built without its trait. Build it with: swift build --traits CommandLineSupport")
    }
}
#endif

#if CommandLineSupport
import ArgumentParser
import TokenBrokerComposer

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

@main
struct TokenBrokerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token-broker",
        abstract: "Hand short-lived checkout tokens to pages, while the API credentials stay on the server.",
        discussion: """
            Start with 'token-broker demo', which shows everything in a page and needs no configuration.

            Exit codes: 0 success; 64 wrong usage; 65 the vendor refuses this customer or invoice; 69 the vendor is \
            unavailable; 70 internal error, or the program did not end even one second after server.shutdownTimeout \
            (0 if only requests were cut off); 71 cannot listen; 74 cannot write to standard output; 77 the \
            credentials are refused; 78 the configuration or the credentials cannot be used; 128 plus the number of \
            the signal that ended it at once.
            """,
        version: "0.1.0",
        subcommands: [
            Serve.self, Check.self, Mint.self, SandboxCommand.self, Demo.self, Plugins.self, MetricsCommand.self,
        ]
    )

    static func main() async {
        openClosedStreams()
        signal(SIGPIPE, SIG_IGN)
        signal(SIGUSR1, SIG_IGN)
        signal(SIGUSR2, SIG_IGN)
        // Otherwise Swift's crash handler prints the contents of memory.
        signal(SIGQUIT) { _exit(128 + $0) }
        let code = await run(Array(CommandLine.arguments.dropFirst()))
        // The streams may have no reader anymore, so the wait is bounded.
        announcements.flush(within: .milliseconds(100))
        standardError.flush(within: .seconds(1))
        leave(code.rawValue)
    }

    private static func run(_ arguments: [String]) async -> ExitCode {
        do {
            var command = try await asyncParseAsRoot(arguments)
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
            return .success
        } catch {
            do throws(Failure) {
                try show(error, arguments)
                return .success
            } catch {
                standardError.line("token-broker: \(error.message)")
                return error.code
            }
        }
    }

    /// Prints the requested text, such as the help, if that is what the parser threw.
    /// - Throws: The failure for any other error.
    private static func show(_ error: any Error, _ arguments: [String]) throws(Failure) {
        if let failure = error as? Failure { throw failure }
        let code = exitCode(for: error)
        guard code != .success else { return try printResult(fullMessage(for: error)) }
        guard code == .validationFailure else {
            throw Failure(code: ExitCode(70), message: "internal error: \(type(of: error))")
        }
        if let name = arguments.first, let nearest = nearestCommand(to: name) {
            throw Failure(code: code, message: "there is no command '\(name)'; did you mean '\(nearest)'?")
        }
        let message = fullMessage(for: error)
        throw Failure(code: code, message: message.hasPrefix("Error: ") ? String(message.dropFirst(7)) : message)
    }

    /// Returns the command that is closest to `name`, or `nil` if `name` is a command or none is close.
    private static func nearestCommand(to name: String) -> String? {
        let names = configuration.subcommands.map { $0.configuration.commandName ?? "\($0)".lowercased() } + ["help"]
        return names.contains(name) ? nil : nearest(to: name, among: names)
    }
}

// Calls the C function. The command type inherits a method of the same name.
private func leave(_ code: Int32) -> Never { exit(code) }

/// Opens `/dev/null` in place of closed standard streams. Otherwise the next file or connection would take the number
/// of a closed stream, and a printed token would go there. Writing to these streams fails.
private func openClosedStreams() {
    for (stream, mode) in [(STDIN_FILENO, O_WRONLY), (STDOUT_FILENO, O_RDONLY), (STDERR_FILENO, O_RDONLY)]
    where fcntl(stream, F_GETFD) < 0 {
        _ = open("/dev/null", mode)
    }
}
#else
@main
struct TokenBrokerCommand {
    static func main() {
        print("token-broker was built without its trait. Build it with: swift build --traits CommandLineSupport")
    }
}
#endif

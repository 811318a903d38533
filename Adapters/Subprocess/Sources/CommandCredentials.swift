#if CommandSupport
public import FoundationEssentials
public import Logging
import Subprocess
import SystemPackage
public import TokenBroker

/// A credential source that reads what a program prints, like `credential_process` of the AWS tools.
///
/// The program may ask a password manager or a cloud's secret store, for instance. It prints JSON: an object with
/// `client_id` and `client_secret`, or an array of such objects in order of preference. The first may have `expires_at`
/// (RFC 3339, or seconds since 1970), after which the output is no longer used.
///
/// It runs without a shell and without standard input, in a session of its own. After a timeout it is killed with its
/// process group. Its standard error is discarded. It gets the variables `PATH` and `LANG`, and those that are
/// configured.
///
/// The output is cached for ``Configuration/refresh``. While the program fails, its last output remains in use. An exit
/// code other than 0, no or too much output, and output in another form are errors. An empty array means that the
/// program has no credential.
public struct CommandCredentials: CredentialSource, CredentialPlaces {
    /// The program, and the reason why it has no credentials: it printed an empty array.
    public let places: [String]
    private let cache: CredentialCache

    /// The settings for running the program.
    public struct Configuration: Sendable {
        /// The environment variables to pass to the program, besides `PATH` and `LANG`.
        public var environment: [String: String] = [:]
        /// Whether the client has a secret. If not, a `client_id` is enough.
        public var needsSecret = true
        /// How long one run may take.
        public var timeout: Duration = .seconds(10)
        /// How long the output is used before the program runs again.
        public var refresh: Duration = .seconds(30)

        /// Creates a configuration with the defaults.
        public init() {}
    }

    /// Creates a credential source.
    ///
    /// - Parameters:
    ///   - command: The absolute path of a program, and its arguments.
    ///   - configuration: The settings for running it.
    ///   - clock: Measures the age of the output.
    ///   - wallClock: The time that `expires_at` is compared with.
    ///   - logger: Logs failures while earlier output is in use.
    public init(
        _ command: [String], configuration: Configuration = Configuration(),
        clock: some Clock<Duration> = ContinuousClock(), wallClock: @escaping @Sendable () -> Date = { Date() },
        logger: Logger? = nil
    ) {
        let run = CommandRun(
            command: command, configuration: configuration, alarm: Alarm(ContinuousClock()), wallClock: wallClock
        )
        places = ["\(run.source), which printed an empty array"]
        cache = CredentialCache(source: run.source, refresh: configuration.refresh, clock: clock, logger: logger) {
            () async throws(CredentialError) in try await run.read()
        }
    }

    /// Returns the cached credentials, or runs the program.
    ///
    /// - Throws: `CredentialError` if the program fails and no earlier output can be used.
    public func credentials(for account: Account) async throws(CredentialError) -> [Credential] {
        try await cache.credentials()
    }
}

private struct CommandRun: Sendable {
    let command: [String]
    let configuration: CommandCredentials.Configuration
    let alarm: Alarm
    let wallClock: @Sendable () -> Date

    var source: String { "command \(command.first ?? "")" }

    func read() async throws(CredentialError) -> CredentialCache.Reading {
        let output = try await run()
        if case .array(let elements)? = try? JSONValue.parse(output), elements.isEmpty { return .init([]) }
        let pairs = try pairs(inJSON: output, needsSecret: configuration.needsSecret, source: source)
        guard let end = try expiry(in: output) else { return .init(pairs) }
        let life = end.timeIntervalSince(wallClock())
        guard life > 0 else {
            throw CredentialError(.malformed, source: source, message: "its output has expired already")
        }
        return .init(pairs, life: .seconds(min(life, 366 * 86_400)))
    }

    private func expiry(in output: [UInt8]) throws(CredentialError) -> Date? {
        var value = try? JSONValue.parse(output)
        if case .array(let elements)? = value { value = elements.first }
        guard let member = value?["expires_at"], member != .null else { return nil }
        guard let date = timestamp(member) else {
            throw CredentialError(.malformed, source: source, message: "expires_at is not a time")
        }
        return date
    }

    private func run() async throws(CredentialError) -> [UInt8] {
        guard let program = command.first else {
            throw CredentialError(.incomplete, source: source, message: "there is no command")
        }
        var options = PlatformOptions()
        options.createSession = true
        options.teardownSequence = [
            .send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .seconds(1))
        ]
        var variables: [Environment.Key: String] = [
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8",
        ]
        for (name, value) in configuration.environment {
            if let key = Environment.Key(rawValue: name) { variables[key] = value }
        }
        let (arguments, environment, platformOptions) = (command.dropFirst(), variables, options)
        let result: ExecutionResult<Void, BytesOutput, DiscardedOutput>?
        do {
            result = try await withTimeLimit(configuration.timeout, alarm) {
                try await Subprocess.run(
                    .path(FilePath(program)), arguments: Arguments(Array(arguments)),
                    environment: .custom(environment), platformOptions: platformOptions,
                    output: .bytes(limit: 64 << 10), error: .discarded
                )
            }
        } catch let error as SubprocessError {
            throw failed(error)
        } catch {
            throw CredentialError(.unreadable, source: source, message: "it could not be run")
        }
        guard let result else {
            throw CredentialError(.unreadable, source: source, message: "it exceeded its timeout and was killed")
        }
        switch result.terminationStatus {
        case .exited(0): return Array(withoutByteOrderMark(result.standardOutput))
        case .exited(let code):
            throw CredentialError(.unreadable, source: source, message: "it ended with exit code \(code)")
        default: throw CredentialError(.unreadable, source: source, message: "it was terminated by a signal")
        }
    }

    private func failed(_ error: SubprocessError) -> CredentialError {
        switch error.code {
        case .executableNotFound:
            CredentialError(.unreadable, source: source, message: "there is no such program, or it cannot be run")
        case .outputLimitExceeded:
            CredentialError(.malformed, source: source, message: "it printed more than 65536 bytes")
        default: CredentialError(.unreadable, source: source, message: "it could not be run")
        }
    }
}
#endif

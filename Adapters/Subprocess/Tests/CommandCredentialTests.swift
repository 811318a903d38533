#if CommandSupport
import Foundation
import InMemoryLogging
import Logging
import TestSupport
import Testing
import TokenBroker
import TokenBrokerSubprocess
import TokenBrokerTesting

/// Tests with real programs. They run in a shell that the test names; the source itself uses no shell.
@Suite struct CommandCredentialTests {
    private let clock = ManualClock()

    private func source(
        _ script: String, timeout: Duration = .seconds(30), environment: [String: String] = [:],
        needsSecret: Bool = true, logger: Logger? = nil
    ) -> CommandCredentials {
        var configuration = CommandCredentials.Configuration()
        (configuration.environment, configuration.needsSecret, configuration.timeout) =
            (environment, needsSecret, timeout)
        return CommandCredentials(
            ["/bin/sh", "-c", script, "sh", "$(touch /tmp/never)"], configuration: configuration, clock: clock,
            logger: logger
        )
    }

    private func pairs(_ script: String, environment: [String: String] = [:]) async throws -> [[String]] {
        try await source(script, environment: environment).credentials(for: "x")
            .map { [$0.clientID.reveal(), $0.clientSecret.reveal()] }
    }

    private func error(_ source: CommandCredentials) async -> CredentialError? {
        do {
            _ = try await source.credentials(for: "x")
            return nil
        } catch {
            #expect(!"\(error) \(String(reflecting: error))".contains("sentinel"))
            return error
        }
    }

    @Test func `a command prints one credential, several or none`() async throws {
        #expect(try await pairs(#"echo '{"client_id": "id", "client_secret": "s", "Version": 1}'"#) == [["id", "s"]])
        #expect(
            try await pairs(
                #"echo '[{"client_id": "a", "client_secret": "1"}, {"client_id": "b", "client_secret": "2"}]'"#)
                == [["a", "1"], ["b", "2"]])
        #expect(try await pairs("echo '[]'") == [])
        let alone = source(#"echo '{"client_id": "id"}'"#, needsSecret: false)
        #expect(try await alone.credentials(for: "x") == [Credential(clientID: Secret("id"), clientSecret: Secret(""))])
    }

    @Test func `a command gets its arguments unchanged and no variable but those listed`() async throws {
        setenv("TOKEN_BROKER_TEST_SENTINEL", "sentinel", 1)
        let script = #"printf '{"client_id": "%s", "client_secret": "%s"}' "$1" "$TOKEN_BROKER_TEST_SENTINEL$A:$PATH""#
        let found = try await pairs(script, environment: ["A": "a"])
        #expect(found.first?.first == "$(touch /tmp/never)")
        #expect(found.first?.last?.hasPrefix("a:/usr/local/sbin:") == true)
        #expect(!FileManager.default.fileExists(atPath: "/tmp/never"))
    }

    @Test(arguments: [
        ("echo sentinel >&2; exit 3", "exit code 3"), ("kill -9 $$", "terminated by a signal"),
        ("true", "expected a JSON object without duplicate keys"),
        ("echo sentinel", "expected a JSON object without duplicate keys"),
        (#"echo '{"client_id": "sentinel"}'"#, "client_secret is missing"),
        ("yes sentinel", "more than 65536 bytes"), ("head -c 70000 /dev/zero", "more than 65536 bytes"),
        (#"echo '{"client_id": "a", "client_secret": "b", "expires_at": "soon"}'"#, "expires_at is not a time"),
        (#"echo '{"client_id": "a", "client_secret": "b", "expires_at": 1000}'"#, "has expired already"),
    ])
    func `a command's failure is reported without what it printed`(script: String, message: String) async throws {
        let handler = InMemoryLogHandler()
        let error = await error(source(script, logger: Logger(label: "test") { _ in handler }))
        #expect(error?.description.contains(message) == true, "\(error.map { "\($0)" } ?? "no error")")
        #expect(error?.source == "command /bin/sh")
        #expect(!"\(handler.entries)".contains("sentinel"))
    }

    @Test func `a missing program is reported as broken`() async throws {
        let missing = CommandCredentials(["/nowhere/get-secret"])
        #expect(await error(missing)?.description.contains("no such program") == true)
        #expect(await error(CommandCredentials([]))?.code == .incomplete)
    }

    /// Runs a script that writes its process id, which is also the id of its process group.
    private func group(_ script: String, timeout: Duration) async throws -> (pid_t, CredentialError?) {
        let folder = FileManager.default.temporaryDirectory.appending(path: "command-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let error = await error(source("echo $$ >\(folder)/group; \(script)", timeout: timeout))
        let text = try String(contentsOfFile: folder + "/group", encoding: .utf8)
        return (try #require(pid_t(text.trimmingCharacters(in: .whitespacesAndNewlines))), error)
    }

    @Test(
        .timeLimit(.minutes(2)), arguments: ["sleep 1000 & wait", "trap '' TERM; while true; do sleep 1000; done"]
    )
    func `a command that takes too long is killed with everything it started`(script: String) async throws {
        let (group, error) = try await group(script, timeout: .seconds(1))
        #expect(error?.description.contains("exceeded its timeout") == true)
        while kill(-group, 0) == 0 { try await Task.sleep(for: .milliseconds(10)) }
    }

    @Test(.timeLimit(.minutes(2))) func `a process that a command leaves behind does not hold it up`() async throws {
        let script = #"sleep 1000 & echo '{"client_id": "id", "client_secret": "s"}'"#
        let (group, error) = try await group(script, timeout: .seconds(600))
        #expect(error == nil)
        #expect(kill(-group, SIGKILL) == 0)
    }

    @Test func `a command runs once in a while, and a rotation takes effect`() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "command-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        func set(_ secret: String) throws {
            try Data(#"{"client_id": "id", "client_secret": "\#(secret)"}"#.utf8).write(
                to: URL(filePath: folder + "/pair"), options: .atomic)
        }
        let source = source("echo x >>\(folder)/runs; cat \(folder)/pair")
        func secret() async throws -> String? { try await source.credentials(for: "x").first?.clientSecret.reveal() }
        func runs() throws -> Int { try Data(contentsOf: URL(filePath: folder + "/runs")).count / 2 }
        try set("first")
        for _ in 0..<20 { #expect(try await secret() == "first") }
        #expect(try runs() == 1)
        try set("second")
        clock.advance(by: .seconds(30))
        try await waitUntil { try await secret() == "second" }
        #expect(try runs() == 2)
        // The last good credential stays in use.
        try FileManager.default.removeItem(atPath: folder + "/pair")
        clock.advance(by: .seconds(3600))
        #expect(try await secret() == "second")
    }

    @Test func `credentials that a command printed are not used after they expire`() async throws {
        let soon = Date(timeIntervalSinceNow: 100).timeIntervalSince1970
        let source = source(
            #"[ -e "$A" ] || exit 1; echo '{"client_id": "a", "client_secret": "b", "expires_at": \#(soon)}'"#,
            environment: ["A": "/bin/sh"])
        #expect(try await source.credentials(for: "x").count == 1)
    }
}
#endif

import Foundation
import InMemoryLogging
import Logging
import Testing
import TokenBroker

struct CredentialTests {
    private let names = CredentialNames(clientID: "AP_ID", clientSecret: "AP_SECRET")
    private let wanted = [Credential(clientID: Secret("id"), clientSecret: Secret("sentinel"))]

    private func environment(_ values: [String: String]) async throws -> [Credential] {
        try await EnvironmentCredentials(clientID: "AP_ID", clientSecret: "AP_SECRET", environment: values)
            .credentials(for: "x")
    }

    private func code(_ body: () async throws -> [Credential]) async -> CredentialError.Code? {
        do {
            _ = try await body()
            return nil
        } catch {
            #expect(!"\(error) \(String(reflecting: error))".contains("sentinel"))
            return (error as? CredentialError)?.code
        }
    }

    @Test func `environment credentials do not keep the environment`() async throws {
        let values = ["AP_ID": "id", "AP_SECRET": "sentinel", "DATABASE_PASSWORD": "sentinel"]
        var dumped = ""
        dump(EnvironmentCredentials(clientID: "AP_ID", clientSecret: "AP_SECRET", environment: values), to: &dumped)
        #expect(!dumped.contains("sentinel"))
    }

    @Test(arguments: ["\"sentinel\"", "'sentinel'", " \"sentinel\"\n", "\"\""])
    func `quotes that no shell removed are kept and cause a warning`(value: String) async throws {
        let handler = InMemoryLogHandler()
        let logger = Logger(label: "test") { _ in handler }
        let source = EnvironmentCredentials(
            clientID: "AP_ID", clientSecret: "AP_SECRET", environment: ["AP_ID": "id", "AP_SECRET": value],
            logger: logger
        )
        let secrets = SharedSecrets(variable: "SHARED", in: ["SHARED": value], minimumBytes: 1, logger: logger)
        let trimmed = value.trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(try await source.credentials(for: "x").first?.clientSecret.reveal() == trimmed)
        #expect(try secrets.load().map { $0.reveal() } == [trimmed])
        #expect(handler.entries.map(\.level) == [.warning, .warning])
        #expect(handler.entries.map { $0.metadata["variable"] } == ["AP_SECRET", "SHARED"])
        #expect(!"\(handler.entries)".contains("sentinel"))
    }

    @Test(arguments: ["sentinel", "\"sentinel", "sentinel'", "\"sentinel'", "sen\"ti\"nel", "\"", "", "\u{301}\"a\""])
    func `a value that is not in quotes causes no warning`(value: String) {
        let handler = InMemoryLogHandler()
        let logger = Logger(label: "test") { _ in handler }
        _ = EnvironmentCredentials(
            clientID: "AP_ID", clientSecret: "AP_SECRET", environment: ["AP_ID": value, "AP_SECRET": value],
            logger: logger
        )
        #expect(handler.entries.isEmpty)
    }

    @Test func `environment credentials are complete, absent or reported as broken`() async throws {
        #expect(try await environment(["AP_ID": "id\n", "AP_SECRET": " sentinel\r\n"]) == wanted)
        #expect(try await environment(["OTHER": "x"]) == [])
        for broken in [
            ["AP_ID": "id"], ["AP_SECRET": "sentinel"], ["AP_ID": "", "AP_SECRET": "sentinel"],
            ["AP_ID": "id", "AP_SECRET": "\n"],
        ] {
            #expect(await code { try await environment(broken) } == .incomplete)
        }
    }

    @Test(arguments: [
        #"{"client_id": "id", "client_secret": "sentinel"}"#,
        "\n{\"client_id\": \"id\\n\", \"client_secret\": \"sentinel\", \"x\": [1]}\n",
        "AP_ID=id\nAP_SECRET=sentinel", "# comment\r\nexport AP_ID = 'id'\r\n\r\nAP_SECRET=\"sentinel\" # why\r\n",
        "\u{FEFF}client_id=id\nclient_secret=sentinel # rotated\nOTHER=1",
    ])
    func `a credential file can be JSON or a dotenv file`(content: String) async throws {
        let folder = try Folder()
        let source = FileCredentials(path: try folder.file(content), names: names)
        #expect(try await source.credentials(for: "x") == wanted)
    }

    @Test(arguments: [
        ("", CredentialError.Code.incomplete), ("\n \n", .incomplete), (#"{"client_id": "id"}"#, .incomplete),
        (#"{"client_secret": "sentinel"}"#, .incomplete),
        (#"{"client_id": "", "client_secret": "sentinel"}"#, .incomplete),
        (#"{"client_id": 5, "client_secret": "sentinel"}"#, .malformed),
        (#"{"client_id": "id", "client_secret": "sentinel""#, .malformed),
        (#"{"client_id": "a", "client_id": "b", "client_secret": "sentinel"}"#, .malformed), ("{}", .incomplete),
        ("AP_ID=id", .incomplete), ("AP_ID=id\nAP_SECRET=", .incomplete), ("sentinel", .malformed),
        ("AP_ID=\"id\nAP_SECRET=sentinel", .malformed),
        ("OTHER=sentinel", .incomplete),
    ])
    func `a broken credential file is reported without its content`(
        content: String, expected: CredentialError.Code
    ) async throws {
        let folder = try Folder()
        let source = FileCredentials(path: try folder.file(content), names: names)
        #expect(await code { try await source.credentials(for: "x") } == expected)
    }

    @Test func `an unreadable credential file is broken, and a missing one absent`() async throws {
        let folder = try Folder()
        func source(_ path: String) -> FileCredentials { FileCredentials(path: path, names: names) }
        #expect(try await source(folder.url.path + "/missing").credentials(for: "x") == [])
        #expect(await code { try await source(folder.url.path).credentials(for: "x") } == .unreadable)
        let pipe = folder.url.path + "/pipe"
        #expect(mkfifo(pipe, 0o600) == 0)
        #expect(await code { try await source(pipe).credentials(for: "x") } == .unreadable)
        let large = try folder.file(String(repeating: "#", count: 70_000))
        #expect(await code { try await source(large).credentials(for: "x") } == .malformed)
        #expect(await code { try await source("/dev/zero").credentials(for: "x") } == .unreadable)
    }

    @Test func `a replaced credential file takes effect`() async throws {
        let folder = try Folder()
        let path = try folder.file(#"{"client_id": "a", "client_secret": "b"}"#)
        let source = FileCredentials(path: path, names: names)
        _ = try await source.credentials(for: "x")
        try Data(#"{"client_id": "id", "client_secret": "sentinel"}"#.utf8).write(to: URL(filePath: path))
        #expect(try await source.credentials(for: "x") == wanted)
    }

    @Test func `a credential file that others can read causes one warning`() async throws {
        let folder = try Folder()
        for (mode, expected) in [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1)] {
            let handler = InMemoryLogHandler()
            let logger = Logger(label: "test") { _ in handler }
            let content = #"{"client_id": "id", "client_secret": "sentinel"}"#
            let source = FileCredentials(path: try folder.file(content, mode: mode), names: names, logger: logger)
            for _ in 0..<3 { _ = try await source.credentials(for: "x") }
            #expect(handler.entries.count == expected)
            #expect(handler.entries.allSatisfy { $0.level == .warning })
        }
    }

    @Test func `a credential chain passes over an absent source and stops at a broken one`() async throws {
        let empty = EnvironmentCredentials(clientID: "A", clientSecret: "B", environment: [:])
        let full = EnvironmentCredentials(clientID: "A", clientSecret: "B", environment: ["A": "id", "B": "sentinel"])
        let broken = EnvironmentCredentials(clientID: "A", clientSecret: "B", environment: ["A": "id"])
        #expect(try await CredentialChain([empty, full, broken]).credentials(for: "x") == wanted)
        #expect(try await CredentialChain([empty, empty]).credentials(for: "x") == [])
        #expect(try await CredentialChain([]).credentials(for: "x") == [])
        #expect(await code { try await CredentialChain([empty, broken, full]).credentials(for: "x") } == .incomplete)
    }

    @Test func `malformed credential files never crash`() async throws {
        let folder = try Folder()
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("{}[]\"':,=\\\n\r\t #exportAP_ID=idéclient_id\u{0}")
        for _ in 0..<500 {
            let content = String(
                (0..<Int.random(in: 0..<60, using: &generator)).map { _ in
                    alphabet.randomElement(using: &generator) ?? "x"
                })
            let source = FileCredentials(path: try folder.file(content), names: names)
            _ = try? await source.credentials(for: "x")
        }
    }
}

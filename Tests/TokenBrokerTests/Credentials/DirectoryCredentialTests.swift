import Foundation
import InMemoryLogging
import Logging
import Synchronization
import Testing
import TokenBroker

struct DirectoryCredentialTests {
    private func credential(_ id: String, _ secret: String) -> Credential {
        Credential(clientID: Secret(id), clientSecret: Secret(secret))
    }

    private func code(_ source: DirectoryCredentials) async -> CredentialError.Code? {
        do {
            _ = try await source.credentials(for: "x")
            return nil
        } catch {
            #expect(!"\(error) \(String(reflecting: error))".contains("sentinel"))
            return error.code
        }
    }

    /// Mounts a secret as the kubelet does: each version has its own folder, and a link points to the current one.
    private func mount(_ folder: Folder, _ version: String, _ files: [String: String]) throws {
        try folder.makeFolder("..\(version)")
        for (name, content) in files { try folder.write("..\(version)/\(name)", content) }
        try folder.link("..data", to: "..\(version)")
        for name in files.keys { try folder.link(name, to: "..data/\(name)") }
    }

    @Test func `a credential directory is complete, absent or reported as broken`() async throws {
        let folder = try Folder()
        let source = DirectoryCredentials(path: folder.path)
        #expect(try await source.credentials(for: "x") == [])
        #expect(try await DirectoryCredentials(path: folder.path + "/missing").credentials(for: "x") == [])
        try folder.write("client_id", "id\n")
        #expect(await code(source) == .incomplete)
        try folder.write("client_secret", "\n")
        #expect(await code(source) == .incomplete)
        try folder.write("client_secret", "sentinel\r\n")
        #expect(try await source.credentials(for: "x") == [credential("id", "sentinel")])
        try folder.remove("client_id")
        #expect(await code(source) == .incomplete)
        try Data([0xff, 0xfe]).write(to: folder.url.appending(path: "client_id"))
        #expect(await code(source) == .malformed)
        try folder.remove("client_id")
        try folder.makeFolder("client_id")
        #expect(await code(source) == .unreadable)
        #expect(await code(DirectoryCredentials(path: folder.path + "/client_secret")) == .unreadable)
    }

    @Test func `the files of a credential directory can have other names`() async throws {
        let folder = try Folder()
        try folder.write("ap-id", "id")
        try folder.write("ap-key.pem", "sentinel")
        let source = DirectoryCredentials(
            path: folder.path, names: CredentialNames(clientID: "ap-id", clientSecret: "ap-key.pem"))
        #expect(try await source.credentials(for: "x") == [credential("id", "sentinel")])
    }

    @Test func `a client without a secret has credentials of an id alone`() async throws {
        let folder = try Folder()
        try folder.write("client_id", "id")
        let names = CredentialNames(clientID: "client_id", clientSecret: nil)
        let source = DirectoryCredentials(path: folder.path, names: names, secondNames: nil)
        #expect(try await source.credentials(for: "x") == [credential("id", "")])
        let file = FileCredentials(path: try folder.file(#"{"client_id": "id"}"#), names: names)
        #expect(try await file.credentials(for: "x") == [credential("id", "")])
        let environment = EnvironmentCredentials(clientID: "A", clientSecret: nil, environment: ["A": "id"])
        #expect(try await environment.credentials(for: "x") == [credential("id", "")])
    }

    @Test func `a second secret in a directory is a second credential`() async throws {
        let folder = try Folder()
        try folder.write("client_id", "id")
        try folder.write("client_secret", "new")
        try folder.write("client_secret_2", "old")
        let source = DirectoryCredentials(path: folder.path)
        #expect(try await source.credentials(for: "x") == [credential("id", "new"), credential("id", "old")])
        try folder.write("client_id_2", "former")
        #expect(try await source.credentials(for: "x") == [credential("id", "new"), credential("former", "old")])
        try folder.remove("client_secret_2")
        #expect(await code(source) == .incomplete)
    }

    @Test func `a rewritten secret takes effect even if its modification time is the same`() async throws {
        let folder = try Folder()
        let time = Date(timeIntervalSince1970: 1_700_000_000)
        let source = DirectoryCredentials(path: folder.path)
        try folder.write("client_id", "id")
        for secret in ["first", "again"] {
            try folder.write("client_secret", secret)
            let path = folder.path + "/client_secret"
            try FileManager.default.setAttributes([.modificationDate: time], ofItemAtPath: path)
            #expect(try await source.credentials(for: "x") == [credential("id", secret)])
        }
    }

    @Test func `a Kubernetes mount is read through its data link`() async throws {
        let folder = try Folder()
        let source = DirectoryCredentials(path: folder.path)
        try mount(folder, "1", ["client_id": "a", "client_secret": "1"])
        #expect(try await source.credentials(for: "x") == [credential("a", "1")])
        try mount(folder, "2", ["client_id": "b", "client_secret": "2"])
        try folder.remove("..1")
        #expect(try await source.credentials(for: "x") == [credential("b", "2")])
    }

    /// This test fails within a few swaps if each file is opened by its path.
    @Test(arguments: [true, false])
    func `an id and secret are never mixed while their directory is swapped`(isKubernetes: Bool) async throws {
        let folder = try Folder()
        let path = isKubernetes ? folder.path : folder.path + "/current"
        @Sendable func swap(_ number: Int) throws {
            let files = ["client_id": "\(number)", "client_secret": "\(number)"]
            if isKubernetes {
                try mount(folder, "\(number)", files)
            } else {
                try folder.makeFolder("\(number)")
                for (name, content) in files { try folder.write("\(number)/\(name)", content) }
                try folder.link("current", to: "\(number)")
            }
            if number > 0 { try folder.remove((isKubernetes ? ".." : "") + "\(number - 1)") }
        }
        try swap(0)
        let isDone = Mutex(false)
        let source = DirectoryCredentials(path: path)
        let reader = Task {
            var newest = 0
            while !isDone.withLock({ $0 }) {
                let pair = try #require(try await source.credentials(for: "x").first)
                #expect(pair.clientID == pair.clientSecret)
                let number = try #require(Int(pair.clientID.reveal()))
                #expect(number >= newest)
                newest = number
                await Task.yield()
            }
        }
        for number in 1...500 {
            try swap(number)
            await Task.yield()
        }
        isDone.withLock { $0 = true }
        try await reader.value
        #expect(try await source.credentials(for: "x") == [credential("500", "500")])
    }

    @Test func `a credential directory whose files others can read causes one warning`() async throws {
        for (directory, mode, expected) in [(0o755, 0o600, 0), (0o755, 0o644, 1), (0o755, 0o440, 1), (0o700, 0o644, 0)]
        {
            let folder = try Folder()
            try folder.write("client_id", "id", mode: mode)
            try folder.write("client_secret", "sentinel", mode: mode)
            try FileManager.default.setAttributes([.posixPermissions: directory], ofItemAtPath: folder.path)
            let handler = InMemoryLogHandler()
            let source = DirectoryCredentials(path: folder.path, logger: Logger(label: "test") { _ in handler })
            for _ in 0..<3 { _ = try await source.credentials(for: "x") }
            #expect(handler.entries.count == expected)
            #expect(handler.entries.allSatisfy { $0.level == .warning && !"\($0)".contains("sentinel") })
        }
    }
}

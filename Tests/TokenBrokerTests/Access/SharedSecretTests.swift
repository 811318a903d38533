import Foundation
import InMemoryLogging
import Logging
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

@Suite(.timeLimit(.minutes(2))) struct `Secrets in a file` {
    private static let old = "old-secret-of-32-bytes-xxxxxxxxx"
    private static let new = "new-secret-of-32-bytes-yyyyyyyyy"

    /// Rewrites a file in place, in small pieces.
    private static func rewrite(_ path: String, _ content: String) throws {
        let descriptor = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0o600)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        for piece in Array(content.utf8).chunks(of: 4) {
            try #require(piece.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) } == piece.count)
            sched_yield()
        }
    }

    private func texts(_ secrets: [Secret]) -> [String] { secrets.map { $0.reveal() } }

    @Test(arguments: [(0o600, 0), (0o400, 0), (0o640, 1), (0o644, 1), (0o604, 1)])
    func `secrets in a file that others can read cause one warning`(mode: Int, warnings: Int) throws {
        let handler = InMemoryLogHandler()
        let folder = try Folder()
        let path = try folder.file(Self.old)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        let secrets = SharedSecrets(file: path, logger: Logger(label: "t") { _ in handler })
        for _ in 0..<2 { #expect(texts(try secrets.load()) == [Self.old]) }
        #expect(handler.entries.filter { $0.message.description.contains("group or others") }.count == warnings)
        #expect(!"\(handler.entries)".contains(Self.old))
    }

    @Test func `secrets in a file are never read half written`() async throws {
        let folder = try Folder()
        let path = try folder.file(Self.old)
        let secrets = SharedSecrets(file: path, minimumBytes: 16)
        #expect(texts(try await secrets.current()) == [Self.old])
        let isDone = Mutex(false)
        let writer = Thread {
            var count = 0
            while !isDone.withLock({ $0 }) {
                count += 1
                try? Self.rewrite(path, count.isMultiple(of: 2) ? Self.old : Self.new)
            }
            try? Self.rewrite(path, Self.new)
        }
        writer.start()
        for _ in 0..<20_000 {
            // While the file changes, the last secret stays in use. The other one may take over when the file is
            // briefly stable.
            let now = texts(try await secrets.current())
            #expect(now == [Self.old] || now == [Self.new])
            if now != [Self.old], now != [Self.new] { break }
        }
        isDone.withLock { $0 = true }
        try await waitUntil { texts(try await secrets.current()) == [Self.new] }
        #expect(texts(try secrets.load()) == [Self.new])
    }

    @Test func `new secrets in a file count once the file has been unchanged for a moment`() async throws {
        let folder = try Folder()
        let path = try folder.file(Self.old)
        let clock = ManualClock()
        let secrets = SharedSecrets(file: path, clock: clock)
        #expect(texts(try secrets.load()) == [Self.old])
        try Self.rewrite(path, String(Self.new.prefix(16)))
        #expect(texts(try secrets.load()) == [Self.old])
        let asked = Task { texts(try await secrets.current()) }
        await clock.sleepers(1)
        // Other callers are not blocked meanwhile.
        #expect(texts(try await secrets.current()) == [Self.old])
        try Self.rewrite(path, Self.new)
        clock.advance(by: .milliseconds(499))
        clock.advance(by: .milliseconds(1))
        await clock.sleepers(1)
        #expect(texts(try secrets.load()) == [Self.old])
        clock.advance(by: .milliseconds(500))
        #expect(try await asked.value == [Self.new])
        #expect(texts(try secrets.load()) == [Self.new])
    }

    @Test(arguments: ["", "\n", "short", "\u{1}"], [true, false])
    func `the last good secrets stay in use while a file is unusable or gone, with one warning`(
        content: String, isRemoved: Bool
    ) async throws {
        let folder = try Folder()
        let path = try folder.file(Self.old)
        let handler = InMemoryLogHandler()
        let clock = ManualClock()
        let secrets = SharedSecrets(file: path, clock: clock, logger: Logger(label: "t") { _ in handler })
        _ = try secrets.load()
        if isRemoved {
            try FileManager.default.removeItem(atPath: path)
        } else {
            try Data(content.utf8).write(to: URL(filePath: path))
            #expect(texts(try secrets.load()) == [Self.old])
            clock.advance(by: .milliseconds(500))
        }
        for _ in 0..<5 { #expect(texts(try secrets.load()) == [Self.old]) }
        #expect(handler.entries.filter { $0.message.description.contains("cannot be used") }.count == 1)
        #expect(handler.entries.allSatisfy { $0.level == .warning && !"\($0)".contains("secret-of") })
        try Data(Self.new.utf8).write(to: URL(filePath: path))
        #expect(texts(try secrets.load()) == [Self.old])
        clock.advance(by: .milliseconds(500))
        #expect(texts(try secrets.load()) == [Self.new])
        #expect(handler.entries.filter { $0.message.description.contains("cannot be used") }.count == 1)
    }

    @Test func `a byte order mark is not part of a shared secret`() async throws {
        let folder = try Folder()
        let mark = "\u{FEFF}"
        #expect(texts(try SharedSecrets(file: try folder.file(mark + Self.old)).load()) == [Self.old])
        #expect(texts(try SharedSecrets(variable: "S", in: ["S": mark + Self.old]).load()) == [Self.old])
    }
}

@Suite struct `A byte order mark` {
    private let wanted = [Credential(clientID: Secret("id"), clientSecret: Secret("secret"))]
    private let names = CredentialNames(clientID: "ID", clientSecret: "SECRET")

    @Test(arguments: [#"{"client_id": "id", "client_secret": "secret"}"#, "ID=id\nSECRET=secret", "'"])
    func `a byte order mark is not part of credentials in a file`(content: String) async throws {
        let folder = try Folder()
        let source = FileCredentials(path: try folder.file("\u{FEFF}" + content), names: names)
        guard content != "'" else {
            await #expect(throws: CredentialError.self) { try await source.credentials(for: "x") }
            return
        }
        #expect(try await source.credentials(for: "x") == wanted)
    }

    @Test func `a byte order mark is not part of credentials in a directory or variable`() async throws {
        let folder = try Folder()
        try folder.write("client_id", "\u{FEFF}id\n")
        try folder.write("client_secret", "\u{FEFF}secret\r\n")
        #expect(try await DirectoryCredentials(path: folder.path).credentials(for: "x") == wanted)
        let environment = ["ID": "\u{FEFF}id", "SECRET": "\u{FEFF}secret"]
        let source = EnvironmentCredentials(clientID: "ID", clientSecret: "SECRET", environment: environment)
        #expect(try await source.credentials(for: "x") == wanted)
    }
}

@Suite(.timeLimit(.minutes(2))) struct `Credentials in files that are being written` {
    /// Returns a credential whose id and secret are equal, so that a torn or mixed one is detected.
    private static func pair(_ number: Int) -> String {
        let text = String(repeating: "\(number % 10)", count: 40)
        return "ID=\(text)\nSECRET=\(text)\n"
    }

    @Test func `credentials in a file are never read half written`() async throws {
        let folder = try Folder()
        let path = try folder.file(Self.pair(0))
        let source = FileCredentials(path: path, names: CredentialNames(clientID: "ID", clientSecret: "SECRET"))
        _ = try await source.credentials(for: "x")
        let isDone = Mutex(false)
        let writer = Thread {
            var number = 0
            while !isDone.withLock({ $0 }) {
                number += 1
                let descriptor = open(path, O_WRONLY | O_TRUNC, 0o600)
                for piece in Array(Self.pair(number).utf8).chunks(of: 8) {
                    _ = piece.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
                    sched_yield()
                }
                close(descriptor)
            }
        }
        writer.start()
        for _ in 0..<3 {
            // A file that is being written throws, and the caller keeps the previous credential.
            if let pair = try? await source.credentials(for: "x").first {
                #expect(pair.clientID == pair.clientSecret)
                #expect(pair.clientID.reveal().utf8.count == 40)
            }
        }
        isDone.withLock { $0 = true }
        try await waitUntil { (try? await source.credentials(for: "x"))?.first?.clientID != nil }
        let pair = try #require(try await source.credentials(for: "x").first)
        #expect(pair.clientID == pair.clientSecret && pair.clientID.reveal().utf8.count == 40)
    }
}

extension Array {
    fileprivate func chunks(of count: Int) -> [[Element]] {
        stride(from: 0, to: self.count, by: count).map { Array(self[$0..<Swift.min($0 + count, self.count)]) }
    }
}

import Foundation
import HTTPTypes
import Synchronization
import Testing
import TokenBroker
import TokenBrokerTesting

private struct StaticFixture: CredentialSourceFixture {
    static let capabilities: CredentialSourceContract.Capabilities = [.absent, .several]

    func withSource(
        _ content: CredentialSourceContract.Content,
        _ body: (CredentialSourceContract.Subject) async throws -> Void
    ) async throws {
        guard case .credentials(let credentials) = content else { return try await body(.init(StaticCredentials([]))) }
        try await body(.init(StaticCredentials(credentials)))
    }
}

private struct EnvironmentFixture: CredentialSourceFixture {
    static let capabilities: CredentialSourceContract.Capabilities = [.absent, .broken]

    func withSource(
        _ content: CredentialSourceContract.Content,
        _ body: (CredentialSourceContract.Subject) async throws -> Void
    ) async throws {
        var environment: [String: String] = [:]
        switch content {
        case .credentials(let credentials):
            environment["ID"] = credentials.first?.clientID.reveal()
            environment["SECRET"] = credentials.first?.clientSecret.reveal()
        case .broken(let text): environment["ID"] = text
        case .absent: break
        }
        let source = EnvironmentCredentials(clientID: "ID", clientSecret: "SECRET", environment: environment)
        try await body(.init(source))
    }
}

/// A file, or a directory with one file for the id and one for the secret. Their contents change as deployments change
/// them.
private struct FileFixture: CredentialSourceFixture {
    static let capabilities: CredentialSourceContract.Capabilities = [.absent, .broken, .changes, .several]

    func withSource(
        _ content: CredentialSourceContract.Content,
        _ body: (CredentialSourceContract.Subject) async throws -> Void
    ) async throws {
        try await withFolder { folder in
            let file = folder.appending(path: "credentials.json")
            try write(content, to: file)
            let names = CredentialNames(clientID: "CLIENT_ID", clientSecret: "CLIENT_SECRET")
            try await body(.init(FileCredentials(path: file.path, names: names)) { try write($0, to: file) })
        }
    }

    private func write(_ content: CredentialSourceContract.Content, to file: URL) throws {
        switch content {
        case .credentials(let credentials):
            let members = credentials.map { credential -> JSONValue in
                [
                    "client_id": .string(ExactString(credential.clientID.reveal())),
                    "client_secret": .string(ExactString(credential.clientSecret.reveal())),
                ]
            }
            try replace(file, JSONValue.array(members).serialized)
        case .broken(let text): try replace(file, Array(#"{"client_id": "\#(text)"}"#.utf8))
        case .absent: try? FileManager.default.removeItem(at: file)
        }
    }
}

private struct DirectoryFixture: CredentialSourceFixture {
    static let capabilities: CredentialSourceContract.Capabilities = [.absent, .broken, .changes]

    func withSource(
        _ content: CredentialSourceContract.Content,
        _ body: (CredentialSourceContract.Subject) async throws -> Void
    ) async throws {
        try await withFolder { folder in
            // A link that is replaced atomically, as when Kubernetes mounts a secret.
            let link = folder.appending(path: "mount")
            try write(content, to: folder, link)
            let source = DirectoryCredentials(path: link.path)
            try await body(.init(source) { try write($0, to: folder, link) })
        }
    }

    private func write(_ content: CredentialSourceContract.Content, to folder: URL, _ link: URL) throws {
        let version = folder.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: version, withIntermediateDirectories: true)
        switch content {
        case .credentials(let credentials):
            guard let credential = credentials.first else { break }
            try replace(version.appending(path: "client_id"), Array(credential.clientID.reveal().utf8))
            try replace(version.appending(path: "client_secret"), Array(credential.clientSecret.reveal().utf8))
        case .broken(let text): try replace(version.appending(path: "client_id"), Array(text.utf8))
        case .absent: break
        }
        let next = folder.appending(path: "next-\(UUID().uuidString)")
        try FileManager.default.createSymbolicLink(at: next, withDestinationURL: version)
        guard rename(next.path, link.path) == 0 else { throw POSIXError(.EIO) }
    }
}

private struct ChainFixture: CredentialSourceFixture {
    static let capabilities: CredentialSourceContract.Capabilities = [.absent, .broken, .changes, .several]

    func withSource(
        _ content: CredentialSourceContract.Content,
        _ body: (CredentialSourceContract.Subject) async throws -> Void
    ) async throws {
        try await FileFixture().withSource(content) { subject in
            try await body(
                .init(CredentialChain([StaticCredentials([]), subject.source]), change: subject.change))
        }
    }
}

private func withFolder(_ body: (URL) async throws -> Void) async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "contract-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try await body(folder)
}

/// Replaces a file atomically.
private func replace(_ file: URL, _ bytes: [UInt8]) throws {
    let next = file.deletingLastPathComponent().appending(path: "next-\(UUID().uuidString)")
    try Data(bytes).write(to: next)
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: next.path)
    guard rename(next.path, file.path) == 0 else { throw POSIXError(.EIO) }
}

struct CredentialSourceContractTests {
    @Test(arguments: CredentialSourceContract.cases(for: StaticFixture.self))
    func `static credentials pass the credential source contract`(_ test: CredentialSourceContract.Case) async throws {
        try await test.run(on: StaticFixture())
    }

    @Test(arguments: CredentialSourceContract.cases(for: EnvironmentFixture.self))
    func `environment credentials pass the credential source contract`(
        _ test: CredentialSourceContract.Case
    ) async throws {
        try await test.run(on: EnvironmentFixture())
    }

    @Test(arguments: CredentialSourceContract.cases(for: FileFixture.self))
    func `file credentials pass the credential source contract`(_ test: CredentialSourceContract.Case) async throws {
        try await test.run(on: FileFixture())
    }

    @Test(arguments: CredentialSourceContract.cases(for: DirectoryFixture.self))
    func `directory credentials pass the credential source contract`(
        _ test: CredentialSourceContract.Case
    ) async throws {
        try await test.run(on: DirectoryFixture())
    }

    @Test(arguments: CredentialSourceContract.cases(for: ChainFixture.self))
    func `a chain of credential sources passes the credential source contract`(
        _ test: CredentialSourceContract.Case
    ) async throws {
        try await test.run(on: ChainFixture())
    }
}

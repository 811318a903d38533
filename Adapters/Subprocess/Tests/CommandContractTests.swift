#if CommandSupport
import Foundation
import Testing
import TokenBroker
import TokenBrokerSubprocess
import TokenBrokerTesting

/// A program that prints the content of a file.
private struct CommandFixture: CredentialSourceFixture {
    static let capabilities: CredentialSourceContract.Capabilities = [.absent, .broken, .changes, .several]

    func withSource(
        _ content: CredentialSourceContract.Content,
        _ body: (CredentialSourceContract.Subject) async throws -> Void
    ) async throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "printed-\(UUID().uuidString).json")
        defer { try? FileManager.default.removeItem(at: file) }
        try write(content, to: file)
        var configuration = CommandCredentials.Configuration()
        configuration.refresh = .seconds(1)
        let source = CommandCredentials(["/bin/cat", file.path], configuration: configuration)
        try await body(.init(source) { try write($0, to: file) })
    }

    private func write(_ content: CredentialSourceContract.Content, to file: URL) throws {
        let bytes: [UInt8]
        switch content {
        case .credentials(let credentials):
            bytes =
                JSONValue.array(
                    credentials.map { credential in
                        [
                            "client_id": .string(credential.clientID.reveal()),
                            "client_secret": .string(credential.clientSecret.reveal()),
                        ]
                    }
                ).serialized
        case .absent: bytes = Array("[]".utf8)
        case .broken(let text): bytes = Array(text.utf8)
        }
        let next = file.deletingLastPathComponent().appending(path: "next-\(UUID().uuidString)")
        try Data(bytes).write(to: next)
        guard rename(next.path, file.path) == 0 else { throw POSIXError(.EIO) }
    }
}

struct CommandContractTests {
    @Test(arguments: CredentialSourceContract.cases(for: CommandFixture.self))
    func `what a program prints keeps the contract of a credential source`(
        _ test: CredentialSourceContract.Case
    ) async throws {
        try await test.run(on: CommandFixture())
    }
}
#endif

import Foundation
import HTTPTypes
import InMemoryLogging
import Logging
import Synchronization
import Testing
import TokenBroker
import TokenBrokerTesting

private func field(_ name: String, of request: HTTPRequest) -> String? {
    request.headerFields.first { $0.name.rawName == name }?.value
}

/// A double of Vault's `GET /v1/:mount/data/:path` (API of the KV secrets engine, version 2) and its status codes,
/// according to Vault's documentation. It was never compared with a real Vault.
private final class VaultDouble: Sendable {
    struct State {
        /// The data of each version; `nil` for a deleted one.
        var versions: [[String: String]?] = []
        var token = "hvs.sentinel"
        var status: Int?
        var requests: [HTTPRequest] = []
    }
    let state = Mutex(State())

    init(_ versions: [String: String]?...) { state.withLock { $0.versions = versions } }

    var requests: [HTTPRequest] { state.withLock { $0.requests } }
    var transport: InMemoryTransport { InMemoryTransport { [self] request, _ in answer(request) } }

    private func answer(_ request: HTTPRequest) -> TransportResponse {
        state.withLock { state in
            state.requests.append(request)
            if let status = state.status { return respond(status, #"{"errors": ["sentinel"]}"#) }
            guard field("X-Vault-Token", of: request) == state.token else {
                return respond(403, #"{"errors": ["permission denied sentinel"]}"#)
            }
            let parts = (request.path ?? "").split(separator: "?")
            guard parts.first == "/v1/secret/data/payments/ap", request.method == .get else {
                return respond(404, #"{"errors": []}"#)
            }
            let asked = parts.count > 1 ? parts[1].split(separator: "=").last.flatMap { Int($0) } ?? 0 : 0
            let number = asked == 0 ? state.versions.count : asked
            guard state.versions.indices.contains(number - 1) else { return respond(404, #"{"errors": []}"#) }
            let metadata =
                #""created_time": "2026-03-22T02:24:06.945319214Z", "custom_metadata": null, "destroyed": false, "version": \#(number)"#
            guard let data = state.versions[number - 1] else {
                return respond(
                    404,
                    #"{"data": {"data": null, "metadata": {\#(metadata), "deletion_time": "2026-03-23T00:00:00Z"}}}"#)
            }
            let members = data.map { "\"\($0)\": \"\($1)\"" }.joined(separator: ", ")
            return respond(
                200,
                #"{"request_id": "r", "lease_id": "", "renewable": false, "lease_duration": 0, "data": {"data": {\#(members)}, "metadata": {\#(metadata), "deletion_time": ""}}, "wrap_info": null, "warnings": null, "auth": null}"#
            )
        }
    }

    private func respond(_ status: Int, _ body: String) -> TransportResponse {
        TransportResponse(head: HTTPResponse(status: .init(code: status)), body: Array(body.utf8))
    }
}

struct VaultCredentialTests {
    private let clock = ManualClock()

    private func source(
        _ vault: VaultDouble, path: String = "payments/ap", mount: String = "secret", versions: Int = 1,
        token: VaultCredentials.VaultToken = .variable("VAULT_TOKEN", environment: ["VAULT_TOKEN": "hvs.sentinel\n"]),
        transport: (any HTTPTransport)? = nil, logger: Logger? = nil
    ) throws -> VaultCredentials {
        var configuration = VaultCredentials.Configuration(
            address: try ServerURL("https://vault.example:8200"), path: path, token: token)
        (configuration.mount, configuration.versions, configuration.namespace) = (mount, versions, "team")
        return VaultCredentials(
            configuration: configuration, transport: transport ?? vault.transport, clock: clock, logger: logger)
    }

    private func pair(_ number: String) -> [String: String] {
        ["client_id": "id\(number)", "client_secret": "s\(number)"]
    }

    private func ids(_ source: VaultCredentials) async throws -> [String] {
        try await source.credentials(for: "x").map { $0.clientID.reveal() }
    }

    private func error(_ source: VaultCredentials) async -> CredentialError? {
        do {
            _ = try await source.credentials(for: "x")
            return nil
        } catch {
            #expect(!"\(error) \(String(reflecting: error))".contains("sentinel"))
            return error
        }
    }

    @Test func `the newest version of a Vault secret is requested as documented`() async throws {
        let vault = VaultDouble(pair("1"), pair("2"))
        let found = try await source(vault).credentials(for: "x")
        #expect(found == [Credential(clientID: Secret("id2"), clientSecret: Secret("s2"))])
        let request = try #require(vault.requests.first)
        #expect(vault.requests.count == 1)
        #expect(request.scheme == "https" && request.authority == "vault.example:8200")
        #expect(request.path == "/v1/secret/data/payments/ap")
        #expect(field("X-Vault-Request", of: request) == "true")
        #expect(field("X-Vault-Namespace", of: request) == "team")
    }

    @Test func `the previous version of a Vault secret can be a second credential`() async throws {
        let vault = VaultDouble(pair("1"), pair("2"))
        #expect(try await ids(source(vault, versions: 2)) == ["id2", "id1"])
        #expect(vault.requests.map(\.path) == ["/v1/secret/data/payments/ap", "/v1/secret/data/payments/ap?version=1"])
        #expect(try await ids(source(VaultDouble(pair("1")), versions: 2)) == ["id1"])
        #expect(try await ids(source(VaultDouble(nil, pair("2")), versions: 2)) == ["id2"])
        #expect(try await ids(source(VaultDouble(pair("1"), pair("1")), versions: 2)) == ["id1"])
    }

    @Test func `a Vault secret that does not exist is absent`() async throws {
        #expect(try await ids(source(VaultDouble())) == [])
        #expect(try await ids(source(VaultDouble(pair("1"), nil))) == [])
        #expect(try await ids(source(VaultDouble(pair("1")), path: "payments/other")) == [])
    }

    @Test func `a failure to read from Vault is reported without the secret's content`() async throws {
        #expect(await error(try source(VaultDouble(["client_id": "sentinel"])))?.code == .incomplete)
        #expect(await error(try source(VaultDouble(["other": "sentinel"])))?.code == .incomplete)
        let refused = VaultCredentials.VaultToken.variable("T", environment: ["T": "other-sentinel"])
        let refusal = await error(try source(VaultDouble(pair("1")), token: refused))
        #expect(
            refusal?.description
                == "unreadable credentials in Vault secret secret/payments/ap: Vault refuses the token (403)")
        let unset = await error(try source(VaultDouble(pair("1")), token: .variable("T", environment: [:])))
        #expect(unset?.code == .incomplete && unset?.message.contains("variable T is not set") == true)
        for status in [400, 429, 473, 500, 503] {
            let vault = VaultDouble(pair("1"))
            vault.state.withLock { $0.status = status }
            #expect(await error(try source(vault))?.code == .unreadable)
        }
        for body in ["", "{", "[]", #"{"data": {"client_id": "sentinel"}}"#, #"{"data": {"data": []}}"#] {
            let transport = ScriptedTransport([.respond(.ok, body)])
            #expect(await error(try source(VaultDouble(), transport: transport))?.code == .malformed)
        }
        let down = ScriptedTransport([.fail(.connect)])
        #expect(await error(try source(VaultDouble(), transport: down))?.code == .unreadable)
    }

    @Test func `a Vault path cannot leave its secrets engine`() async throws {
        let vault = VaultDouble(pair("1"))
        _ = try await source(vault, path: "a b/ü?version=1#x").credentials(for: "x")
        #expect(vault.requests.first?.path == "/v1/secret/data/a%20b/%C3%BC%3Fversion%3D1%23x")
    }

    @Test func `a Vault token is read from its file each time`() async throws {
        let folder = try Folder()
        try folder.write("token", "hvs.sentinel\n", mode: 0o644)
        let vault = VaultDouble(pair("1"))
        let handler = InMemoryLogHandler()
        let source = try source(
            vault, token: .file(folder.path + "/token"), logger: Logger(label: "test") { _ in handler })
        #expect(try await ids(source) == ["id1"])
        vault.state.withLock { $0.token = "hvs.renewed" }
        try folder.write("token", "hvs.renewed", mode: 0o644)
        vault.state.withLock { $0.versions.append(pair("2")) }
        clock.advance(by: .seconds(60))
        #expect(try await ids(source) == ["id2"])
        #expect(handler.entries.count == 1 && handler.entries.first?.level == .warning)
        #expect(!"\(handler.entries)".contains("hvs"))

        try folder.write("token", "two words", mode: 0o600)
        #expect(await error(try self.source(vault, token: .file(folder.path + "/token")))?.code == .malformed)
        #expect(await error(try self.source(vault, token: .file(folder.path + "/none")))?.code == .unreadable)
    }

    @Test func `a rotation in Vault takes effect, and an outage changes nothing`() async throws {
        let vault = VaultDouble(pair("1"))
        let credentials = try source(vault)
        let transport = InMemoryTransport { _, _ in
            .init(head: HTTPResponse(status: .ok), body: Array(#"{"access_token": "t"}"#.utf8))
        }
        let provider = ClientCredentialsProvider(
            vendor: try testVendor(), credentials: credentials, transport: transport, clock: clock)
        let first = try await provider.token(for: TokenRequest())
        // The composer refreshes every two seconds. For a minute, Vault gets at most one request every ten seconds.
        for _ in 0..<30 {
            clock.advance(by: .seconds(2))
            await provider.refresh()
        }
        #expect((1...7).contains(vault.requests.count))
        #expect(first.lineage.state == .current)

        vault.state.withLock { $0.status = 503 }
        clock.advance(by: .seconds(3600))
        await provider.refresh()
        #expect(first.lineage.state == .current)
        _ = try await provider.token(for: TokenRequest())

        vault.state.withLock { ($0.status, $0.versions) = (nil, [pair("1"), pair("2")]) }
        clock.advance(by: .seconds(20))
        await provider.refresh()
        #expect(first.lineage.state == .superseded)
    }
}

/// Credentials in a Vault that is written to while they are in use.
private struct VaultFixture: CredentialSourceFixture {
    static let capabilities: CredentialSourceContract.Capabilities = [.absent, .broken, .changes]

    func withSource(
        _ content: CredentialSourceContract.Content,
        _ body: (CredentialSourceContract.Subject) async throws -> Void
    ) async throws {
        let vault = VaultDouble()
        write(content, to: vault)
        var configuration = VaultCredentials.Configuration(
            address: try ServerURL("https://vault.example:8200"), path: "payments/ap",
            token: .variable("VAULT_TOKEN", environment: ["VAULT_TOKEN": "hvs.sentinel"]))
        configuration.refresh = .seconds(1)
        let source = VaultCredentials(configuration: configuration, transport: vault.transport)
        try await body(.init(source) { write($0, to: vault) })
    }

    private func write(_ content: CredentialSourceContract.Content, to vault: VaultDouble) {
        vault.state.withLock { state in
            switch content {
            case .credentials(let credentials):
                for credential in credentials {
                    state.versions.append([
                        "client_id": credential.clientID.reveal(), "client_secret": credential.clientSecret.reveal(),
                    ])
                }
            case .absent: state.versions = []
            case .broken(let text): state.versions.append(["client_id": text])
            }
        }
    }
}

struct VaultContractTests {
    @Test(arguments: CredentialSourceContract.cases(for: VaultFixture.self))
    func `a secret in Vault keeps the contract of a credential source`(
        _ test: CredentialSourceContract.Case
    ) async throws {
        try await test.run(on: VaultFixture())
    }
}

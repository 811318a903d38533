#if ConfigurationSupport
import Foundation
import HTTPTypes
import Logging
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerComposer
import TokenBrokerTesting

/// A vendor that grants every client an access token and records the requests.
private final class Issuer: HTTPTransport {
    let requests = Mutex<[(head: HTTPRequest, body: String)]>([])
    /// The responses of other servers, by path.
    private let others: Mutex<[String: String]>

    init(others: [String: String] = [:]) { self.others = Mutex(others) }

    func answer(_ path: String, _ text: String) { others.withLock { $0[path] = text } }

    var last: (head: HTTPRequest, body: String)? { requests.withLock { $0.last } }

    func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        let answer = others.withLock { $0[request.path ?? ""] } ?? #"{"access_token": "granted", "expires_in": 3600}"#
        requests.withLock { $0.append((request, String(decoding: body, as: UTF8.self))) }
        return TransportResponse(head: HTTPResponse(status: .ok), body: Array(answer.utf8))
    }
}

private func broker(
    _ values: [String: String], environment: [String: String] = [:], issuer: Issuer = Issuer(),
    clock: ManualClock = ManualClock()
) async throws -> Broker {
    try await Composer(registry: .everything).compose(
        try BrokerConfiguration(yaml(minimal.with(values)), name: "broker.yaml", environment: environment),
        transport: issuer, clock: clock, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    )
}

private func basic(_ pair: String) -> String { "Basic " + Data(pair.utf8).base64EncodedString() }

private func withFolder(_ body: (String) async throws -> Void) async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sources-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try await body(folder)
}

private func write(_ content: String, _ path: String) throws {
    try Data(content.utf8).write(to: URL(filePath: path), options: .atomic)
}

@Suite struct `A credential source from the file` {
    @Test func `credentials in a directory can be rotated by a symbolic link within seconds`() async throws {
        try await withFolder { folder in
            for version in ["1", "2"] {
                try FileManager.default.createDirectory(
                    atPath: "\(folder)/..\(version)", withIntermediateDirectories: true)
                try write("id\(version)\n", "\(folder)/..\(version)/client_id")
                try write("s\(version)\n", "\(folder)/..\(version)/client_secret")
            }
            try FileManager.default.createSymbolicLink(atPath: "\(folder)/..data", withDestinationPath: "..1")
            let (issuer, clock) = (Issuer(), ManualClock())
            let values = ["credentials.sources": "[directory]", "credentials.directory.path": folder]
            let broker = try await broker(values, issuer: issuer, clock: clock)
            let first = try await broker.accessTokens.token(for: TokenRequest())
            #expect(issuer.last?.head.headerFields[.authorization] == basic("id1:s1"))

            try FileManager.default.createSymbolicLink(atPath: "\(folder)/..data_tmp", withDestinationPath: "..2")
            #expect(rename("\(folder)/..data_tmp", "\(folder)/..data") == 0)
            await clock.sleepers(1)
            clock.advance(by: .seconds(2))
            try await waitUntil { first.lineage.state != .current }
            try await waitUntil { try await broker.accessTokens.token(for: TokenRequest()).id != first.id }
            #expect(issuer.last?.head.headerFields[.authorization] == basic("id2:s2"))
            await broker.shutdown()
        }
    }

    @Test func `the credential directory is systemd's unless configured`() async throws {
        try await withFolder { folder in
            try write("id", folder + "/ap-id")
            try write("s", folder + "/ap-secret")
            let values = [
                "credentials.sources": "[directory, environment]", "credentials.directory.clientID": "ap-id",
                "credentials.directory.clientSecret": "ap-secret",
            ]
            let issuer = Issuer()
            let found = try await broker(values, environment: ["CREDENTIALS_DIRECTORY": folder], issuer: issuer)
            _ = try await found.accessTokens.token(for: TokenRequest())
            #expect(issuer.last?.head.headerFields[.authorization] == basic("id:s"))
            // Without a credential, the next source is used.
            _ = try await broker(values, environment: credentials, issuer: issuer).accessTokens.token(
                for: TokenRequest())
            #expect(issuer.last?.head.headerFields[.authorization] == basic("id:sentinel-secret"))
        }
    }

    @Test func `credentials in Vault are read over the transport and can be rotated within seconds`() async throws {
        func version(_ number: Int) -> String {
            #"{"data": {"data": {"id": "i", "secret": "s\#(number)"}, "metadata": {"version": \#(number)}}}"#
        }
        let (issuer, clock) = (Issuer(others: ["/v1/kv/data/ap": version(1)]), ManualClock())
        let values = [
            "credentials.sources": "[vault]", "credentials.vault.address": "https://vault.example",
            "credentials.vault.mount": "kv", "credentials.vault.path": "ap", "credentials.vault.clientID": "id",
            "credentials.vault.clientSecret": "secret",
        ]
        let broker = try await broker(values, environment: ["VAULT_TOKEN": "t"], issuer: issuer, clock: clock)
        let first = try await broker.accessTokens.token(for: TokenRequest())
        let requests = issuer.requests.withLock { $0 }
        #expect(requests.map(\.head.authority) == ["vault.example", "public-api.demo.alternativepayments.io"])
        #expect(requests.last?.head.headerFields[.authorization] == basic("i:s1"))

        issuer.answer("/v1/kv/data/ap", version(2))
        try await waitUntil {
            clock.advance(by: .seconds(2))
            for _ in 0..<100 { await Task.yield() }
            return first.lineage.state != .current
        }
        try await waitUntil { try await broker.accessTokens.token(for: TokenRequest()).id != first.id }
        #expect(issuer.last?.head.headerFields[.authorization] == basic("i:s2"))
        await broker.shutdown()
    }

    @Test(arguments: [
        ("directory", "clientID", "a/b", "the name of a file, without a path"),
        ("directory", "clientSecret", "..", "the name of a file, without a path"),
        ("vault", "address", "http://vault.example", "an https URL"),
        ("vault", "path", "/a", "a path without empty or dot segments"), ("vault", "path", "a/../b", "a path without"),
        ("vault", "versions", "3", "a whole number from 1 to 2"),
        ("vault", "refresh", "0s", "a duration from 1s to 1h"),
        ("vault", "tokenVariable", "hvs.x", "the name of an environment variable"),
    ])
    func `an invalid setting of a credential source is refused`(
        source: String, key: String, written: String, expected: String
    ) throws {
        var values = ["credentials.sources": "[\(source)]", "credentials.\(source).\(key)": "\"\(written)\""]
        if Int(written) != nil { values["credentials.\(source).\(key)"] = written }
        let problem = try #require(problems(minimal.with(values)).first { $0.key == "credentials.\(source).\(key)" })
        #expect(problem.message.contains("expected \(expected)"), "\(problem)")
        #expect(!problem.message.contains("hvs.x"))
    }

    #if CommandSupport
    @Test func `credentials are what the configured command prints`() async throws {
        let issuer = Issuer()
        let values = [
            "credentials.sources": "[command]",
            "credentials.command.run": #"["/usr/bin/printf", '{"client_id": "%s", "client_secret": "$(x)"}', "a b"]"#,
        ]
        _ = try await broker(values, issuer: issuer).accessTokens.token(for: TokenRequest())
        #expect(issuer.last?.head.headerFields[.authorization] == basic("a+b:%24%28x%29"))
        let problem = try #require(
            problems(minimal.with(["credentials.sources": "[command]", "credentials.command.run": "[op, read]"])).first)
        #expect(problem.message.contains("the absolute path of a program"))
    }
    #else
    @Test func `the command source of credentials needs its trait`() throws {
        let problem = try #require(problems(minimal.with(["credentials.sources": "[command]"])).first)
        #expect(
            problem.message.contains("found command as element 1; command needs the trait CommandSupport")
        )
    }
    #endif
}

@Suite struct `The client proves itself` {
    @Test func `client_secret_post sends the client's credentials in the body`() async throws {
        let issuer = Issuer()
        let broker = try await broker(
            ["vendor.clientAuthentication": "client_secret_post"], environment: credentials, issuer: issuer)
        _ = try await broker.accessTokens.token(for: TokenRequest())
        #expect(issuer.last?.head.headerFields[.authorization] == nil)
        #expect(issuer.last?.body.hasSuffix("&client_id=id&client_secret=sentinel-secret") == true)
    }

    @Test func `tls_client_auth sends the client id alone`() async throws {
        let issuer = Issuer()
        let broker = try await broker(
            ["vendor.clientAuthentication": "tls_client_auth"], environment: ["ALTERNATIVE_CLIENT_ID": "id"],
            issuer: issuer)
        _ = try await broker.accessTokens.token(for: TokenRequest())
        #expect(issuer.last?.body == "grant_type=client_credentials&client_id=id")
    }

    @Test func `assertion settings cause a warning unless the client signs an assertion`() throws {
        let warnings = try warnings(minimal.with(["vendor.assertion.audience": "x"]))
        #expect(warnings.first?.contains("vendor.assertion has no effect") == true)
        let unknown = minimal.with(["vendor.clientAuthentication": "private_key_jwt", "vendor.assertion.kind": "hsm"])
        #expect(problems(unknown).first?.key == "vendor.assertion.kind")
    }

    #if JWTSupport
    @Test func `private_key_jwt sends a new assertion each time`() async throws {
        // The example in RFC 8410, section 10.3.
        let key = """
            -----BEGIN PRIVATE KEY-----
            MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
            -----END PRIVATE KEY-----
            """
        let issuer = Issuer()
        let values = [
            "vendor.clientAuthentication": "private_key_jwt", "vendor.assertion.audience": "\"https://issuer.example\"",
            "vendor.assertion.keyID": "k1", "vendor.assertion.algorithm": "EdDSA",
        ]
        let broker = try await broker(
            values, environment: ["ALTERNATIVE_CLIENT_ID": "id", "ALTERNATIVE_CLIENT_SECRET": key], issuer: issuer)
        let first = try await broker.accessTokens.token(for: TokenRequest())
        _ = try await broker.accessTokens.token(for: TokenRequest(), demand: TokenDemand(replacing: first.id))
        var ids: Set<String> = []
        for request in issuer.requests.withLock({ $0 }) {
            let jwt = try #require(request.body.split(separator: "&").last { $0.hasPrefix("client_assertion=") })
                .dropFirst(17)
            let claims = try #require(UnverifiedJWT(String(jwt))?.claims)
            #expect(claims["aud"] == "https://issuer.example" && claims["iss"] == "id")
            ids.insert(try #require(claims["jti"]?.string).unicode)
            #expect(!request.body.contains("PRIVATE") && request.head.headerFields[.authorization] == nil)
        }
        #expect(ids.count == 2)
    }
    #else
    @Test func `private_key_jwt needs its trait`() throws {
        let problem = try #require(problems(minimal.with(["vendor.clientAuthentication": "private_key_jwt"])).first)
        #expect(problem.message.contains("JWTSupport"))
    }
    #endif
}
#endif

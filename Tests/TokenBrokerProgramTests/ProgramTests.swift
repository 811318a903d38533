#if CommandLineSupport
import CurlTransport
import Foundation
import HTTPTypes
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

/// Tests of the program as a user runs it, with processes, files and sockets.
@Suite(.serialized) struct ProgramTests {
    private let transport: CurlTransport

    init() throws { transport = try CurlTransport() }

    private func configuration(_ text: String) throws -> String {
        let path = FileManager.default.temporaryDirectory.appending(path: "broker-\(UUID().uuidString).yaml").path
        try Data(text.utf8).write(to: URL(filePath: path))
        return path
    }

    private func broker(vendor: String, requestsPerSecond: Int = 1_000_000, extra: String = "") -> String {
        """
        server: {port: 0}
        vendor: {profile: alternative-payments, environment: sandbox, baseURL: "\(vendor)"}
        credentials: {sources: [environment]}
        access: {mode: open}
        tokens: {requestsPerSecond: \(requestsPerSecond)}
        \(extra)
        """
    }

    private func credentials(_ id: String = "sandbox-client", _ secret: String = "sandbox-secret") -> [String: String] {
        ["ALTERNATIVE_CLIENT_ID": id, "ALTERNATIVE_CLIENT_SECRET": secret]
    }

    private func send(
        _ authority: String, _ path: String, method: HTTPRequest.Method = .get, fields: HTTPFields = [:],
        _ body: String = ""
    ) async throws -> TransportResponse {
        let request = HTTPRequest(
            method: method, scheme: "http", authority: authority, path: path, headerFields: fields)
        return try await transport.send(request, body: Array(body.utf8), options: .init(timeout: .seconds(10)))
    }

    private func post(_ authority: String, invoice: String, customer: String = "cus_demo") async throws
        -> TransportResponse
    {
        try await send(
            authority, "/api/checkout-token", method: .post, fields: [.contentType: "application/json"],
            #"{"customerId": "\#(customer)", "invoiceId": "\#(invoice)"}"#
        )
    }

    private func json(_ response: TransportResponse) throws -> JSONValue {
        try JSONValue.parse(response.body)
    }

    private func accessTokenCalls(_ sandbox: String) async throws -> Double {
        try json(try await send(sandbox, "/_sandbox/calls"))["calls"]?["POST /oauth/token"]?.number ?? 0
    }

    @Test(arguments: [("plugins", ["configuration.md", "plugins.md"]), ("metrics", ["metrics.md"])])
    func `the tables in the documentation match the program's output`(command: String, pages: [String]) async throws {
        let program = try RunningProgram.tokenBroker([command, "--format", "markdown"])
        #expect(await program.exitCode() == 0)
        let docs = URL(filePath: #filePath).appending(path: "../../../docs").standardized
        let written = try pages.flatMap { name in
            let page = try String(contentsOf: docs.appending(path: name), encoding: .utf8)
            let begin = try #require(page.firstRange(of: "<!-- begin: token-broker \(command)"))
            let end = try #require(page.firstRange(of: "<!-- end: token-broker \(command)"))
            return page[begin.lowerBound..<end.lowerBound].split(separator: "\n").dropFirst().map(String.init)
        }
        let printed = program.output.split(separator: "\n").map(String.init)
        let difference = printed.difference(from: written).map { change in
            switch change {
            case .remove(_, let line, _): "- \(line)"
            case .insert(_, let line, _): "+ \(line)"
            }
        }
        if !difference.isEmpty {
            Issue.record(
                "the tables in docs/ are out of date; 'make tables' writes:\n\(difference.joined(separator: "\n"))")
        }
    }

    @Test func `a line of the JSON log has only documented fields, and the id of its request`() async throws {
        let file = try configuration(broker(vendor: "http://127.0.0.1:1"))
        let server = try RunningProgram.tokenBroker(
            ["serve", "--config", file, "--log-format", "json", "--log-level", "trace"], environment: credentials())
        let authority = try await server.authority(inLine: "token-broker listens on")
        let answer = try await send(authority, "/api/checkout-token")
        let id = try #require(HTTPField.Name("X-Request-ID").flatMap { answer.headerFields[$0] })
        #expect(id.count == 16)
        #expect(await server.terminate() == 0)
        let lines = try server.output.split(separator: "\n").filter { $0.hasPrefix("{") }
            .map { try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: String] ?? [:] }
        let page = try String(
            contentsOf: URL(filePath: #filePath).appending(path: "../../../docs/log-fields.md").standardized,
            encoding: .utf8)
        let documented = Set(page.matches(of: /`([A-Za-z]+)`/).map { String($0.1) })
        #expect(lines.count >= 2)
        for line in lines {
            #expect(Set(line.keys).isSubset(of: documented))
            #expect(Set(line.keys).isSuperset(of: ["time", "level", "label", "module", "message"]))
        }
        #expect(lines.contains { $0["request"] == id && $0["reason"] == "method" })
    }

    @Test func `metrics are served on a listener of their own, and only there`() async throws {
        let file = try configuration(
            broker(vendor: "http://127.0.0.1:1") + "\nmetrics: {port: 0}")
        let server = try RunningProgram.tokenBroker(["serve", "--config", file], environment: credentials())
        let authority = try await server.authority(inLine: "token-broker listens on")
        let metrics = try await metricsAuthority(of: server)
        #expect(try await send(authority, "/metrics").status == .notFound)
        #expect(try await send(metrics, "/readyz").status == .notFound)
        let answer = try await send(metrics, "/metrics")
        #expect(answer.status == .ok)
        let text = String(decoding: answer.body, as: UTF8.self)
        for line in [
            "# TYPE token_broker_requests_in_flight gauge", "token_broker_build_info{version=\"0.1.0\"} 1",
            "token_broker_connections 1", "# TYPE process_start_time_seconds gauge",
        ] {
            #expect(text.contains(line))
        }
    }

    @Test func `serve gives out tokens before and after the access token expires`() async throws {
        let sandbox = try RunningProgram.tokenBroker(
            ["sandbox", "--port", "0", "--no-v1", "--requests-per-second", "0", "--access-token-lifetime", "4s"]
        )
        let vendor = try await sandbox.authority(inLine: "sandbox listens on")
        let file = try configuration(broker(vendor: "http://\(vendor)"))
        let server = try RunningProgram.tokenBroker(["serve", "--config", file], environment: credentials())
        let authority = try await server.authority(inLine: "token-broker listens on")
        let start = ContinuousClock.now
        try await withThrowingTaskGroup(of: (Int, TransportResponse).self) { group in
            for index in 1...200 { group.addTask { (index, try await post(authority, invoice: "inv_\(index)")) } }
            for try await (index, response) in group {
                #expect(response.status == .ok)
                let token = try #require(try json(response)["token"]?.string?.unicode)
                let claims = try #require(UnverifiedJWT(token)).claims
                #expect(claims["customer_id"] == "cus_demo")
                #expect(claims["invoice_id"] == .string("inv_\(index)"))
            }
        }
        let calls = try await accessTokenCalls(vendor)
        // One call, and on a slow machine one more only after 65 % of a token's lifetime.
        #expect(calls <= 1 + (start.duration(to: .now) / .seconds(2.6)).rounded(.down), "\(calls) calls")
        // New sessions still work while the access token is renewed.
        var index = 200
        while try await accessTokenCalls(vendor) < 3 {
            index += 1
            #expect(try await post(authority, invoice: "inv_\(index)").status == .ok)
            try #require(start.duration(to: .now) < .seconds(30))
        }
        #expect(await server.terminate() == 0)
        #expect(await sandbox.terminate() == 0)
    }

    #if AsyncHTTPClientSupport
    @Test func `the transport is chosen in the configuration file`() async throws {
        let sandbox = try RunningProgram.tokenBroker(["sandbox", "--port", "0", "--requests-per-second", "0"])
        let vendor = try await sandbox.authority(inLine: "sandbox listens on")
        let kind = "kind: async-http-client"
        let file = try configuration(
            broker(vendor: "http://\(vendor)", extra: "transport: {\(kind), connectTimeout: 5s}"))
        let server = try RunningProgram.tokenBroker(["serve", "--config", file], environment: credentials())
        let response = try await post(try await server.authority(inLine: "token-broker listens on"), invoice: "inv_1")
        #expect(response.status == .ok)
        #expect(
            try UnverifiedJWT(#require(try json(response)["token"]?.string?.unicode))?.claims["invoice_id"] == "inv_1")
        #expect(await server.terminate() == 0)
        #expect(await sandbox.terminate() == 0)

        // The other transport's keys are refused, and invalid values are reported at the start.
        for (keys, text) in [("unixSocket: /x", "transport.unixSocket"), ("caFile: /nowhere", "caFile cannot be read")]
        {
            let file = try configuration(
                broker(vendor: "http://\(vendor)", extra: "transport: {\(kind), \(keys)}"))
            let program = try RunningProgram.tokenBroker(["check", "--config", file], environment: credentials())
            #expect(await program.exitCode() == 78)
            #expect(program.output.contains(text), "\(program.output)")
        }
    }
    #endif

    private static let transports: [String] = {
        #if AsyncHTTPClientSupport
        ["curl", "async-http-client"]
        #else
        ["curl"]
        #endif
    }()

    @Test(.tags(.slow)) func `the vendor's limit is kept, and callers that wait as told get a token`() async throws {
        let sandbox = try RunningProgram.tokenBroker(["sandbox", "--port", "0", "--requests-per-second", "5"])
        let vendor = try await sandbox.authority(inLine: "sandbox listens on")
        let file = try configuration(broker(vendor: "http://\(vendor)", requestsPerSecond: 5))
        let server = try RunningProgram.tokenBroker(["serve", "--config", file], environment: credentials())
        let authority = try await server.authority(inLine: "token-broker listens on")
        let start = ContinuousClock.now
        try await withThrowingTaskGroup(of: Int.self) { group in
            for index in 1...60 {
                group.addTask {
                    var turnedAway = 0
                    while true {
                        let response = try await post(authority, invoice: "inv_\(index)")
                        if response.status == .ok { return turnedAway }
                        #expect(response.status == .serviceUnavailable)
                        #expect(try json(response)["code"] == "vendor_busy")
                        turnedAway += 1
                        // The machine may delay a call, so that the vendor counts it in the next second.
                        try #require(turnedAway < 4, "turned away again and again after waiting as told")
                        let pause = try #require(response.headerFields[.retryAfter].flatMap { Int($0) })
                        try await Task.sleep(for: .seconds(pause))
                    }
                }
            }
            var turnedAway = 0
            for try await count in group { turnedAway += count }
            #expect(turnedAway > 0)
        }
        // 61 calls at five a second, five of which may go out at once; `LimitedVendorTests` counts each second.
        #expect(start.duration(to: .now) > .seconds(11))
        #expect(await server.terminate() == 0)
        await sandbox.terminate()
    }

    @Test func `the program's answers have the documented statuses and codes`() async throws {
        let sandbox = try RunningProgram.tokenBroker(["sandbox", "--port", "0", "--requests-per-second", "0"])
        let vendor = try await sandbox.authority(inLine: "sandbox listens on")
        let file = try configuration(broker(vendor: "http://\(vendor)"))
        let server = try RunningProgram.tokenBroker(["serve", "--config", file], environment: credentials())
        let authority = try await server.authority(inLine: "token-broker listens on")
        func check(_ response: TransportResponse, _ status: Int, _ code: String) throws {
            #expect(response.status.code == status)
            #expect(try json(response)["code"] == .string(code))
        }
        let jsonType: HTTPFields = [.contentType: "application/json"]
        let path = "/api/checkout-token"
        try check(try await post(authority, invoice: "oth_1"), 422, "session_rejected")
        try check(try await post(authority, invoice: "nope"), 422, "session_rejected")
        try check(try await send(authority, path, method: .post, fields: jsonType, "{"), 400, "invalid_request")
        try check(try await send(authority, path, method: .post, "{}"), 415, "unsupported_media_type")
        try check(try await send(authority, path), 405, "method_not_allowed")
        let large = String(repeating: "x", count: 100_000)
        try check(try await send(authority, path, method: .post, fields: jsonType, large), 413, "too_large")
        let proxied: HTTPFields = [.contentType: "application/json", try #require(.init("X-Forwarded-For")): "1.2.3.4"]
        try check(try await send(authority, path, method: .post, fields: proxied, "{}"), 401, "unauthenticated")
        #expect(try await send(authority, "/healthz").status == .ok)
        #expect(try await send(authority, "/readyz").status == .ok)
        #expect(try await send(authority, "/other").status == .notFound)
        await server.terminate()
        await sandbox.terminate()
    }

    @Test(arguments: transports)
    func `an expired certificate makes the vendor unavailable`(transport: String) async throws {
        let servers = try TLSServers()
        defer { servers.stop() }
        let port = try #require(servers.ports["expired"])
        let file = try configuration(
            broker(
                vendor: "https://localhost:\(port)",
                extra: "transport: {kind: \(transport), caFile: \"\(servers.caFile)\"}"
            )
        )
        let server = try RunningProgram.tokenBroker(["serve", "--config", file], environment: credentials())
        let response = try await post(try await server.authority(inLine: "token-broker listens on"), invoice: "inv_1")
        #expect(response.status == .serviceUnavailable)
        #expect(try json(response)["code"] == "vendor_unavailable")
        #expect(response.headerFields[.retryAfter] != nil)
        await server.terminate()
        #expect(server.output.contains("trust"))
    }

    @Test func `exit codes say what is wrong`() async throws {
        let sandbox = try RunningProgram.tokenBroker(["sandbox", "--port", "0", "--requests-per-second", "0"])
        let vendor = try await sandbox.authority(inLine: "sandbox listens on")
        let good = try configuration(broker(vendor: "http://\(vendor)"))
        let misspelt = try configuration(broker(vendor: "http://\(vendor)", extra: "routes: {path: /x}"))
        let unreachable = try configuration(broker(vendor: "http://127.0.0.1:1"))
        let taken = try configuration(
            broker(vendor: "http://\(vendor)").replacing(
                "port: 0", with: "port: \(vendor.split(separator: ":").last ?? "")")
        )
        let session = ["--customer", "cus_demo", "--invoice"]
        for (arguments, environment, code, text) in [
            (["check", "--config", good], credentials(), 0, "credentials: found"),
            (["check", "--live", "--config", good], credentials(), 0, "access token: issued"),
            (["check", "--live", "--config", good], credentials("sandbox-client", "x"), 77, "credentialsRejected"),
            (
                ["check", "--config", good], [:], 78,
                "looked at the variable ALTERNATIVE_CLIENT_ID and the variable ALTERNATIVE_CLIENT_SECRET, which are not set"
            ),
            (["serve"], [:], 78, "--config or TOKEN_BROKER_CONFIG"),
            (["check", "--config", good], ["ALTERNATIVE_CLIENT_ID": "x"], 78, "ALTERNATIVE_CLIENT_SECRET is missing"),
            (["check", "--config", misspelt], credentials(), 78, "route"),
            (["check", "--config", "/does/not/exist"], credentials(), 78, "/does/not/exist"),
            (["check", "--live", "--config", unreachable], credentials(), 69, "connect"),
            (["serve", "--config", taken], credentials(), 71, "cannot listen"),
            (["mint", "--config", good] + session + ["inv_1"], credentials(), 0, "\"invoice_id\":\"inv_1\""),
            (
                ["mint", "--json", "--config", good] + session + ["inv_1"], credentials(), 0,
                "\"customer_id\":\"cus_demo\""
            ),
            (["mint", "--config", good] + session + ["oth_1"], credentials(), 65, "check both ids"),
            (["serve", "--nonsense"], [:], 64, "nonsense"), (["sandbox", "--port", "99999"], [:], 64, "--port"),
            (["sandbox", "--checkout-token-lifetime", "5"], [:], 64, "checkout-token-lifetime"),
            (["--help"], [:], 0, "demo"),
        ] as [([String], [String: String], Int32, String)] {
            let program = try RunningProgram.tokenBroker(arguments, environment: environment)
            #expect(await program.exitCode() == code, "\(arguments): \(program.output)")
            #expect(program.output.contains(text), "\(arguments): \(program.output)")
        }
        await sandbox.terminate()
    }

    @Test func `a request in progress at SIGTERM is answered`() async throws {
        let sandbox = try RunningProgram.tokenBroker(["sandbox", "--port", "0", "--requests-per-second", "0"])
        let vendor = try await sandbox.authority(inLine: "sandbox listens on")
        // Ten calls start at once, and the last one starts after 3.5 s.
        let file = try configuration(
            broker(vendor: "http://\(vendor)", requestsPerSecond: 10) + "\nmetrics: {port: 0}")
        let server = try RunningProgram.tokenBroker(["serve", "--config", file], environment: credentials())
        let authority = try await server.authority(inLine: "listens on")
        let metrics = try await metricsAuthority(of: server)
        let statuses = try await withThrowingTaskGroup(of: HTTPResponse.Status.self) { group in
            for number in 0..<45 {
                group.addTask { try await post(authority, invoice: "inv_\(number)").status }
            }
            // All have arrived, and some wait.
            try await waitUntil {
                let text = String(decoding: try await send(metrics, "/metrics").body, as: UTF8.self)
                func value(_ name: String) -> Int {
                    text.split(separator: "\n").filter { $0.hasPrefix(name) }
                        .compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }.reduce(0, +)
                }
                let waiting = value("token_broker_requests_in_flight ")
                return waiting > 0 && waiting + value("token_broker_requests_total") == 45
            }
            server.send(SIGTERM)
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(statuses == Array(repeating: .ok, count: 45))
        #expect(await server.exitCode() == 0)
        await sandbox.terminate()
    }

    /// Returns the address at which a program serves its metrics.
    private func metricsAuthority(of server: RunningProgram) async throws -> String {
        // The log and the announcement are different streams, so that either line may come first.
        try await waitUntil { server.output.contains("/metrics") }
        let line = try #require(server.output.split(separator: "\n").first { $0.contains("/metrics") })
        return String(try #require(line.firstMatch(of: /http:\/\/([0-9.:]+)\/metrics/)).1)
    }

    /// Starts a server whose responses `answer` returns for a request's first line.
    private func server(_ answer: @escaping @Sendable (String) -> String) throws -> RawServer {
        try RawServer { connection in
            guard let request = connection.readRequest() else { return }
            connection.send(answer(String(request.prefix { $0 != "\r\n" })))
            connection.finish()
        }
    }

    private static func answer(_ status: String, _ body: String = "") -> String {
        "HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\nContent-Type: application/json\r\n\r\n\(body)"
    }

    private static let key = """
        {"keys": [{"kty": "EC", "crv": "P-256", "kid": "1", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}
        """

    @Test(arguments: [
        ("200 OK", key, "403 Forbidden", "", 0, ["1 signature key", "denies a made-up invoice"]),
        ("200 OK", key, "200 OK", "{\"allow\": true}", 0, ["allows a made-up invoice"]),
        ("200 OK", key, "401 Unauthorized", "", 69, ["access callback at 127.0.0.1: unavailable", "found 401"]),
        ("200 OK", key, "200 OK", "yes", 69, ["found 200 with another body"]),
        ("404 Not Found", "", "404 Not Found", "", 69, ["verification keys at 127.0.0.1: unavailable", "status 404"]),
        (
            "200 OK", "{\"keys\": []}", "500 Internal Server Error", "", 69,
            ["access token: issued", "no usable signature key", "found 500"]
        ),
    ])
    func `check tries the servers that access depends on and names each that fails`(
        keysStatus: String, keys: String, status: String, body: String, code: Int32, texts: [String]
    ) async throws {
        let server = try server { line in
            line.contains("/keys") ? Self.answer(keysStatus, keys) : Self.answer(status, body)
        }
        defer { server.stop() }
        let sandbox = try RunningProgram.tokenBroker(["sandbox", "--port", "0", "--requests-per-second", "0"])
        let vendor = try await sandbox.authority(inLine: "sandbox listens on")
        let file = try configuration(
            broker(vendor: "http://\(vendor)").replacing(
                "access: {mode: open}",
                with: """
                    access:
                      authenticator:
                        {kind: jwt, issuer: me, audience: us, algorithms: [ES256], jwksURL: "http://127.0.0.1:\(server.port)/keys"}
                      policy:
                        {kind: callback, url: "http://127.0.0.1:\(server.port)/may", secretVariable: CALLBACK_SECRET}
                    """))
        let check = try RunningProgram.tokenBroker(
            ["check", "--live", "--config", file],
            environment: credentials().merging(["CALLBACK_SECRET": "sentinel-of-the-callback-0123456789"]) { $1 })
        #expect(await check.exitCode() == code, "\(check.output)")
        for text in texts { #expect(check.output.contains(text), "\(check.output)") }
        #expect(!check.output.contains("sentinel"))
        await sandbox.terminate()
    }

    @Test func `serve reads broker.yaml in its working directory and says so`() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data(broker(vendor: "http://127.0.0.1:1").utf8).write(to: folder.appending(path: "broker.yaml"))
        let server = try RunningProgram(
            "/bin/sh", ["-c", "cd '\(folder.path)' && exec '\(try RunningProgram.tokenBrokerPath)' serve"],
            environment: credentials())
        let authority = try await server.authority(inLine: "listens on")
        #expect(try await send(authority, "/healthz").status == .ok)
        #expect(await server.terminate() == 0)
        #expect(server.output.contains("broker.yaml in the working directory"))
    }

    @Test func `a sandbox prints the ids and credentials that it accepts`() async throws {
        let own = try RunningProgram.tokenBroker(["sandbox", "--port", "0"])
        _ = try await own.line(containing: "customer cus_demo owns every invoice inv_")
        #expect(await own.terminate() == 0)
        #expect(own.output.contains("sandbox-client") && own.output.contains("sandbox-secret"))
    }
}
#endif

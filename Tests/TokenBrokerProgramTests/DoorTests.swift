#if CommandLineSupport
import CurlTransport
import Foundation
import HTTPTypes
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

/// Tests of `serve` and `demo` with hostile and friendly clients, over sockets and byte by byte.
@Suite(.serialized, .tags(.slow)) struct DoorTests {
    /// Starts `serve` without a vendor, which no request here reaches.
    /// - Parameter openFiles: The program's limit of open files.
    private func withServer(
        _ extra: String = "", openFiles: Int? = nil,
        _ body: (_ server: RunningProgram, _ port: UInt16) async throws -> Void
    ) async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "door-\(UUID().uuidString).yaml").path
        let text = """
            vendor: {environment: sandbox, baseURL: "http://127.0.0.1:1"}
            access: {mode: open}
            \(extra.contains("server:") ? "" : "server: {port: 0}")
            \(extra)
            """
        try Data(text.utf8).write(to: URL(filePath: path))
        let limit = openFiles.map { "ulimit -n \($0); " } ?? ""
        let server = try RunningProgram(
            "/bin/sh", ["-c", "\(limit)exec '\(RunningProgram.tokenBrokerPath)' serve --config '\(path)'"],
            environment: ["ALTERNATIVE_CLIENT_ID": "id", "ALTERNATIVE_CLIENT_SECRET": "secret"]
        )
        let authority = try await server.authority(inLine: "token-broker listens on")
        let port = try #require(authority.split(separator: ":").last.flatMap { UInt16($0) })
        try await body(server, port)
        // The server still serves other clients.
        #expect(
            try await answer(port, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").hasPrefix(
                "HTTP/1.1 200"))
        #expect(await server.terminate() == 0)
    }

    /// Sends a request, and returns everything received until the server closes the connection.
    private func answer(_ port: UInt16, _ request: String) async throws -> String {
        let client = try RawClient(port: port)
        defer { client.close() }
        client.send(request)
        return await rest(client)
    }

    private func rest(_ client: RawClient) async -> String {
        await onThread {
            var bytes: [UInt8] = []
            while let more = client.read() { bytes += more }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    /// Runs a blocking call on its own thread, so that it does not block other tests.
    private func onThread<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: body()) }
        }
    }

    private let post = "POST /api/checkout-token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

    @Test func `request headers are bounded in size and number`() async throws {
        try await withServer("server: {port: 0, headerBytes: 4096}") { _, port in
            for bomb in [
                "X: \(String(repeating: "a", count: 5000))\r\n",
                String(repeating: "X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", count: 90),
                String(repeating: "X: a\r\n", count: 101),
            ] {
                let answer = try await answer(port, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\(bomb)\r\n")
                #expect(answer.hasPrefix("HTTP/1.1 400"), "\(answer.prefix(100))")
            }
            let fine = String(repeating: "X: a\r\n", count: 80)
            #expect(
                try await answer(port, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\(fine)\r\n")
                    .hasPrefix("HTTP/1.1 200"))
            // An endless header is cut off rather than buffered.
            let endless = try RawClient(port: port)
            endless.send("GET /healthz HTTP/1.1\r\nX: ")
            let sent = await onThread {
                var sent = 0
                while sent < 64 << 20, endless.send([UInt8](repeating: 97, count: 65_536)) { sent += 65_536 }
                return sent
            }
            #expect(sent < 64 << 20)
            endless.close()
        }
    }

    @Test func `a request head that arrives too slowly ends its connection`() async throws {
        try await withServer("server: {port: 0, headTimeout: 500ms, idleTimeout: 1h}") { _, port in
            // One client sends nothing, one half a head, and one half a second head after a whole request.
            let silent = try RawClient(port: port)
            let half = try RawClient(port: port)
            half.send("GET /healthz HTTP/1.1\r\nHo")
            let later = try RawClient(port: port)
            later.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            let first = await onThread { later.read() }
            #expect(String(decoding: try #require(first), as: UTF8.self).hasPrefix("HTTP/1.1 200"))
            later.send("GET /heal")
            #expect(await !rest(silent).contains("200"))
            #expect(await !rest(half).contains("200"))
            // The body of the first response may still arrive.
            #expect(await !rest(later).contains("HTTP/1.1"))
            for client in [silent, half, later] { client.close() }
        }
    }

    @Test func `an idle connection is closed`() async throws {
        try await withServer("server: {port: 0, idleTimeout: 500ms}") { _, port in
            let start = ContinuousClock.now
            let answer = try await answer(port, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 200"))
            // This is well below the default of 75 s.
            #expect(start.duration(to: .now) < .seconds(40))
        }
    }

    @Test func `connections are bounded, and a freed one serves the next client`() async throws {
        let limits = "connections: 2, connectionsPerAddress: 5, headTimeout: 1s"
        try await withServer("server: {port: 0, \(limits)}") { _, port in
            let clients = try (0..<5).map { _ in try RawClient(port: port) }
            for client in clients.dropFirst(2) {
                client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            }
            // The first two clients send nothing until they are closed. Then the others are served.
            for client in clients.dropFirst(2) {
                #expect(await rest(client).hasPrefix("HTTP/1.1 200"))
                // Until the client closes, the server keeps the connection half-closed.
                client.close()
            }
            for client in clients.prefix(2) { client.close() }
        }
    }

    @Test func `with few file descriptors, connections are fewer and shared between addresses`() async throws {
        try await withServer("server: {port: 0}", openFiles: 256) { server, port in
            // The limit is 128 connections, and a quarter of them for each address.
            let health = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
            var clients: [RawClient] = []
            for _ in 0..<200 { clients.append(try RawClient(port: port, from: 2)) }
            #expect(
                try await answer(port, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    .hasPrefix("HTTP/1.1 200"))
            for address in 3...6 as ClosedRange<UInt8> {
                for _ in 0..<32 { clients.append(try RawClient(port: port, from: address)) }
            }
            // All connections are taken, so this client waits until some are closed.
            let waiting = try RawClient(port: port, from: 7)
            waiting.send(health)
            _ = try await server.line(containing: "the connection limit has been reached")
            for client in clients { client.close() }
            let bytes = await onThread { waiting.read() }
            #expect(String(decoding: try #require(bytes), as: UTF8.self).hasPrefix("HTTP/1.1 200"))
            waiting.close()
            #expect(server.output.components(separatedBy: "may not open as many files").count == 2)
            #expect(server.output.components(separatedBy: "the connection limit has been reached").count == 2)
        }
    }

    @Test(arguments: [["sandbox"], ["demo"]])
    func `a port that is taken is reported at once`(command: [String]) async throws {
        let other = try RawServer { _ in }
        defer { other.stop() }
        let program = try RunningProgram.tokenBroker(command + ["--port", "\(other.port)"])
        #expect(await program.exitCode() == 71)
        #expect(
            program.output.contains(
                "cannot listen on http://127.0.0.1:\(other.port): the port is taken; choose another with --port"),
            "\(program.output)")
        #expect(!program.output.contains("listens on"))
    }

    @Test func `one address cannot take all connections`() async throws {
        let limits = "connections: 100, connectionsPerAddress: 3, trustedProxies: [127.0.0.3]"
        try await withServer("server: {port: 0, \(limits)}") { server, port in
            /// Returns a connection that was served and is kept; `nil` if it was closed instead.
            func served(from host: UInt8) async throws -> RawClient? {
                let client = try RawClient(port: port, from: host)
                client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                if let answer = await onThread({ client.read() }) {
                    #expect(String(decoding: answer, as: UTF8.self).hasPrefix("HTTP/1.1 200"))
                    return client
                }
                client.close()
                return nil
            }
            var clients: [RawClient] = []
            for _ in 0..<3 { clients.append(try #require(try await served(from: 2))) }
            for _ in 0..<3 { #expect(try await served(from: 2) == nil) }
            _ = try await server.line(containing: "an address has reached its connection limit")
            // Other addresses are not affected, and the limit does not apply to a trusted proxy.
            for host in [4, 4, 4] + Array(repeating: 3, count: 10) as [UInt8] {
                clients.append(try #require(try await served(from: host)))
            }
            #expect(try await served(from: 4) == nil)
            // A closed connection makes room for another.
            clients.removeFirst().close()
            var another: RawClient?
            while another == nil { another = try await served(from: 2) }
            for client in clients + [another].compactMap({ $0 }) { client.close() }
        }
    }

    @Test func `a body that arrives too slowly is refused before the route's timeout`() async throws {
        try await withServer("route: {timeout: 60s}") { _, port in
            for framing in ["Content-Length: 100\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"] {
                let start = ContinuousClock.now
                let answer = try await answer(port, post + framing)
                #expect(answer.hasPrefix("HTTP/1.1 408"), "\(answer.prefix(100))")
                #expect(answer.contains("\"too_slow\""))
                #expect(start.duration(to: .now) < .seconds(30))
            }
        }
    }

    @Test func `an endless body is refused while it arrives`() async throws {
        try await withServer { _, port in
            for count in [70_000, 1_000_000] {
                let client = try RawClient(port: port)
                let head = post + "Transfer-Encoding: chunked\r\n\r\n"
                let answer = await onThread {
                    client.send(head)
                    var sent = 0
                    let chunk = "2000\r\n" + String(repeating: " ", count: 8192) + "\r\n"
                    while sent < count, client.send(chunk) { sent += 8192 }
                    client.send("0\r\n\r\n")
                    var answer = ""
                    while !answer.contains("too_large"), let more = client.read() {
                        answer += String(decoding: more, as: UTF8.self)
                    }
                    return answer
                }
                #expect(answer.hasPrefix("HTTP/1.1 413"), "\(answer.prefix(100))")
                client.close()
            }
        }
    }

    @Test func `a request that two servers could read differently is refused`() async throws {
        try await withServer { _, port in
            for fields in [
                "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 2\r\nContent-Length: 3\r\n",
                "Content-Length: -1\r\n", "Content-Length: 2x\r\n",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            ] {
                // This returns only when the server closes the connection, which could hide another request.
                let answer = try await answer(port, post + fields + "\r\n{}GET /healthz HTTP/1.1\r\n\r\n")
                #expect(!answer.contains("HTTP/1.1 200"), "\(fields)")
                #expect(answer.hasPrefix("HTTP/1.1 400"), "\(fields) \(answer.prefix(100))")
            }
        }
    }

    @Test func `a flood is answered with 429 and makes no vendor calls`() async throws {
        let sandbox = try RunningProgram.tokenBroker(["sandbox", "--port", "0"])
        let vendor = try await sandbox.authority(inLine: "sandbox listens on")
        let path = FileManager.default.temporaryDirectory.appending(path: "door-\(UUID().uuidString).yaml").path
        let text = """
            server: {port: 0}
            vendor: {environment: sandbox, baseURL: "http://\(vendor)"}
            access: {mode: open}
            quotas: {principal: {perMinute: 1, burst: 3}}
            """
        try Data(text.utf8).write(to: URL(filePath: path))
        let server = try RunningProgram.tokenBroker(
            ["serve", "--config", path],
            environment: ["ALTERNATIVE_CLIENT_ID": "sandbox-client", "ALTERNATIVE_CLIENT_SECRET": "sandbox-secret"]
        )
        let authority = try await server.authority(inLine: "token-broker listens on")
        let transport = try CurlTransport()
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for index in 1...50 {
                group.addTask {
                    let response = try await transport.send(
                        HTTPRequest(
                            method: .post, scheme: "http", authority: authority, path: "/api/checkout-token",
                            headerFields: [.contentType: "application/json"]
                        ),
                        body: Array(#"{"customerId": "cus_demo", "invoiceId": "inv_\#(index)"}"#.utf8), options: .init()
                    )
                    if response.status == .tooManyRequests {
                        let pause = response.headerFields[.retryAfter].flatMap { Int($0) } ?? 0
                        #expect((1...60).contains(pause))
                    }
                    return response.status.code
                }
            }
            return try await group.reduce(into: [Int: Int]()) { $0[$1, default: 0] += 1 }
        }
        #expect(statuses == [200: 3, 429: 47])
        let calls = try await transport.send(
            HTTPRequest(method: .get, scheme: "http", authority: vendor, path: "/_sandbox/calls"), body: [],
            options: .init())
        #expect(try JSONValue.parse(calls.body)["total"] == .number(4))
        await transport.shutdown()
        #expect(await server.terminate() == 0)
        await sandbox.terminate()
    }

    // MARK: The demo

    private func send(
        _ transport: CurlTransport, _ authority: String, _ path: String, _ fields: HTTPFields = [:], body: String = ""
    ) async throws -> TransportResponse {
        let request = HTTPRequest(
            method: body.isEmpty ? .get : .post, scheme: "http", authority: authority, path: path, headerFields: fields)
        return try await transport.send(request, body: Array(body.utf8), options: .init(timeout: .seconds(10)))
    }

    @Test func `the demo signs a visitor in and gives out tokens for their own invoice only`() async throws {
        let demo = try RunningProgram.tokenBroker(["demo", "--port", "0"])
        let authority = try await demo.authority(inLine: "Open http")
        let line = try await demo.line(containing: "curl ")
        let transport = try CurlTransport()
        let page = try await send(transport, authority, "/")
        let cookie = try #require(page.headerFields[.setCookie])
        #expect(cookie.contains("; HttpOnly"))
        #expect(cookie.contains("; SameSite=Strict"))
        let session = String(cookie.prefix { $0 != ";" })
        let (own, other) = (
            #"{"customerId": "cus_demo", "invoiceId": "inv_1001"}"#,
            #"{"customerId": "cus_other", "invoiceId": "oth_2001"}"#
        )
        let mixed = #"{"customerId": "cus_demo", "invoiceId": "oth_2001"}"#
        let unknown = #"{"customerId": "cus_demo", "invoiceId": "inv_9"}"#
        let origin = "http://\(authority)"
        var refused: Set<[UInt8]> = []
        for (body, cookie, origin, status) in [
            (own, session, origin, 200), (other, session, origin, 403), (mixed, session, origin, 403),
            (unknown, session, origin, 403), (own, "demo_session=guessed", origin, 401), (own, nil, origin, 401),
            (own, session, nil, 403), (own, session, "https://evil.example", 403), (own, session, "null", 403),
        ] as [(String, String?, String?, Int)] {
            var fields: HTTPFields = [.contentType: "application/json"]
            fields[.cookie] = cookie
            fields[.origin] = origin
            let response = try await send(transport, authority, "/api/checkout-token", fields, body: body)
            #expect(response.status.code == status, "\(body) \(cookie ?? "") \(origin ?? "")")
            if status == 403 { refused.insert(response.body) }
        }
        // A foreign invoice, a missing one and an invoice without a customer are indistinguishable.
        #expect(refused.count == 1)
        await transport.shutdown()

        let curl = try RunningProgram("/bin/sh", ["-c", line])
        #expect(await curl.exitCode() == 0)
        #expect(curl.output.contains("\"tokenId\""), "\(curl.output)")
        #expect(await demo.terminate() == 0)
    }
}
#endif

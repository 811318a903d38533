#if AsyncHTTPClientSupport
import HTTPTypes
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerAsyncHTTPClient
import TokenBrokerTesting

private struct Fixture: TLSTransportFixture {
    // The connect timeout is as short as possible: shutting down waits for connections that are never established.
    func makeTransport(caFile: String?) throws -> AsyncHTTPClientTransport {
        try AsyncHTTPClientTransport(
            configuration: .init(connectTimeout: .seconds(5), timeout: .seconds(20), caFile: caFile)
        )
    }

    func shutDown(_ transport: AsyncHTTPClientTransport) async { await transport.shutdown() }
}

@Suite(.serialized) struct AsyncHTTPClientTransportTests {
    // This test runs first: SwiftNIO resolves the names of an event loop one after another, and one name in the
    // contract takes a minute.
    // This nginx responds before it has read the body. Over HTTP/2, about one such response in a thousand would be
    // missed.
    @Test func `AsyncHTTPClient does not use HTTP/2 even if the server speaks it`() async throws {
        let servers = try TLSServers()
        defer { servers.stop() }
        let transport = try AsyncHTTPClientTransport(configuration: .init(caFile: servers.caFile))
        let authority = "localhost:\(try #require(servers.ports["trusted"]))"
        let request = HTTPRequest(method: .post, scheme: "https", authority: authority, path: "/")
        for _ in 0..<100 {
            let response = try await transport.send(request, body: [1, 2], options: .init())
            #expect(String(decoding: response.body, as: UTF8.self).hasPrefix("HTTP/1.1 POST"))
            #expect(response.elapsed > .zero)
        }
        await transport.shutdown()
    }

    @Test(arguments: HTTPTransportContract.cases(for: Fixture.self))
    func `AsyncHTTPClient passes the transport contract`(_ test: HTTPTransportContract.Case) async throws {
        try await test.run(on: Fixture())
    }

    private func withServer(
        _ answer: @escaping @Sendable (_ request: String) -> String,
        _ body: (AsyncHTTPClientTransport, HTTPRequest, _ connections: @Sendable () -> Int) async throws -> Void
    ) async throws {
        let connections = Shared()
        let server = try RawServer { connection in
            connections.count.withLock { $0 += 1 }
            while let request = connection.readRequest() { connection.send(answer(request)) }
        }
        defer { server.stop() }
        let transport = try AsyncHTTPClientTransport(configuration: .init(connectTimeout: .seconds(20)))
        let request = HTTPRequest(
            method: .post, scheme: "http", authority: "127.0.0.1:\(server.port)", path: "/a/../b?c=d%20e"
        )
        try await body(transport, request) { connections.count.withLock { $0 } }
        await transport.shutdown()
    }

    private final class Shared: Sendable {
        let count = Mutex(0)
    }

    private static func echo(_ request: String) -> String {
        "HTTP/1.1 200 OK\r\nContent-Length: \(request.utf8.count)\r\n\r\n\(request)"
    }

    @Test func `AsyncHTTPClient sends a request as it was written`() async throws {
        try await withServer(Self.echo) { transport, request, _ in
            var request = request
            for (name, value) in [
                ("Cookie", "a=1"), ("Cookie", "b=2"), ("Host", "elsewhere"), ("Transfer-Encoding", "chunked"),
                ("Content-Length", "9"), ("X-Break", "a\r\nB: c"),
            ] {
                request.headerFields.append(HTTPField(name: try #require(HTTPField.Name(name)), value: value))
            }
            let response = try await transport.send(request, body: Array("body".utf8), options: .init())
            let expected = """
                POST /a/../b?c=d%20e HTTP/1.1
                Cookie: a=1
                Cookie: b=2
                X-Break: a  B: c
                User-Agent: token-broker
                Accept-Encoding: identity
                host: \(request.authority ?? "")
                Content-Length: 4

                body
                """
            #expect(String(decoding: response.body, as: UTF8.self) == expected.replacing("\n", with: "\r\n"))
        }
    }

    @Test func `AsyncHTTPClient sends methods and bodies as asked`() async throws {
        try await withServer(Self.echo) { transport, request, connections in
            var request = request
            request.headerFields[.userAgent] = "shop"
            let combinations: [(HTTPRequest.Method, String)] = [
                (.get, ""), (.delete, ""), (.post, ""), (.put, "x"), (.patch, "x"), (.get, "x"),
            ]
            for (method, body) in combinations {
                request.method = method
                let response = try await transport.send(request, body: Array(body.utf8), options: .init())
                let received = String(decoding: response.body, as: UTF8.self)
                #expect(received.hasPrefix("\(method.rawValue) /a/../b?c=d%20e "), "\(method) \(body)")
                #expect(received.contains("User-Agent: shop\r\n") && !received.contains("token-broker"))
                #expect(received.hasSuffix("\r\n\r\n\(body)"))
            }
            #expect(connections() == 1)
        }
    }

    @Test func `AsyncHTTPClient does not take informational responses and trailers for header fields`() async throws {
        let answer =
            "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nX-Final: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
            + "2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n"
        try await withServer({ _ in answer }) { transport, request, _ in
            let response = try await transport.send(request, body: [], options: .init())
            #expect(response.status == .ok)
            #expect(response.headerFields.map(\.name.canonicalName) == ["x-final", "transfer-encoding"])
            #expect(response.body == Array("ok".utf8))
        }
    }

    @Test func `AsyncHTTPClient refuses an endless response head`() async throws {
        let many = String(repeating: "X-A: b\r\n", count: 1001)
        let long = "X-A: \(String(repeating: "b", count: 300_000))\r\n"
        for fields in [many, long] {
            try await withServer({ _ in "HTTP/1.1 200 OK\r\n\(fields)Content-Length: 0\r\n\r\n" }) {
                transport, request, _ in
                await #expect { try await transport.send(request, body: [], options: .init()) } throws: {
                    ($0 as? TransportError)?.code == .tooLarge
                }
            }
        }
    }

    @Test func `a thousand concurrent AsyncHTTPClient requests share the allowed connections`() async throws {
        try await withServer(Self.echo) { transport, request, connections in
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<1000 {
                    group.addTask { try await transport.send(request, body: [1], options: .init()).status.code }
                }
                for try await status in group { #expect(status == 200) }
            }
            #expect(connections() <= 64)
        }
    }

    /// Runs a server that responds to each request with the number of its connection.
    /// - Parameter afterFirstAnswer: Runs before the first response of a connection; returns whether the server goes on
    ///   to serve that connection.
    private func withNumberedConnections(
        lifetime: Duration = .seconds(300), afterFirstAnswer: @escaping @Sendable (RawServer.Connection) -> Bool,
        _ body: (AsyncHTTPClientTransport, HTTPRequest, _ connections: @Sendable () -> Int) async throws -> Void
    ) async throws {
        let connections = Shared()
        let server = try RawServer { connection in
            let number = connections.count.withLock { count in
                count += 1
                return count
            }
            var isFirst = true
            while connection.readRequest() != nil {
                if isFirst, !afterFirstAnswer(connection) {
                    connection.send(Self.echo("\(number)"))
                    break
                }
                isFirst = false
                connection.send(Self.echo("\(number)"))
            }
            connection.waitForClose()
        }
        defer { server.stop() }
        let transport = try AsyncHTTPClientTransport(configuration: .init(connectionLifetime: lifetime))
        let request = HTTPRequest(method: .post, scheme: "http", authority: "127.0.0.1:\(server.port)", path: "/")
        try await body(transport, request) { connections.count.withLock { $0 } }
        await transport.shutdown()
    }

    private func number(_ response: TransportResponse) -> Int? { Int(String(decoding: response.body, as: UTF8.self)) }

    @Test func `AsyncHTTPClient sends no new request on a connection beyond its lifetime`() async throws {
        try await withNumberedConnections(lifetime: .milliseconds(300), afterFirstAnswer: { _ in true }) {
            transport, request, _ in
            let start = ContinuousClock.now
            var uses: [Int: (firstReceived: Duration, lastSent: Duration)] = [:]
            while uses.count < 4, start.duration(to: .now) < .seconds(30) {
                let sent = start.duration(to: .now)
                let connection = try #require(number(try await transport.send(request, body: [1], options: .init())))
                uses[connection, default: (start.duration(to: .now), sent)].lastSent = sent
            }
            #expect(uses.count == 4)
            for use in uses.values { #expect(use.lastSent - use.firstReceived < .milliseconds(300)) }
            #expect(start.duration(to: .now) > .milliseconds(3 * 300))
        }
    }

    @Test func `AsyncHTTPClient retries on a new connection if the network forgot the old one`() async throws {
        // Rarely, SwiftNIO learns of the lost connection as of a reset, and the call then fails. So one of three
        // attempts has to succeed.
        for attempt in 1...3 {
            do {
                return try await retryOnNewConnection()
            } catch let error as TransportError where error.code == .closed && attempt < 3 {
                continue
            }
        }
    }

    private func retryOnNewConnection() async throws {
        try await withNumberedConnections(afterFirstAnswer: { connection in
            // The filter applies from the response on, so only connections that were kept are forgotten.
            connection.ignorePackets()
            return false
        }) { transport, request, connections in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 { group.addTask { _ = try await transport.send(request, body: [1], options: .init()) } }
                try await group.waitForAll()
            }
            let kept = connections()
            let start = ContinuousClock.now
            let response = try await transport.send(request, body: [1], options: .init(timeout: .seconds(8)))
            #expect(try #require(number(response)) == kept + 1)
            #expect(start.duration(to: .now) < .seconds(6))
        }
    }

    @Test func `AsyncHTTPClient uses no kept connection after a timeout`() async throws {
        // A middlebox acknowledges packets that it does not deliver.
        try await withNumberedConnections(afterFirstAnswer: { _ in false }) { transport, request, connections in
            _ = try await transport.send(request, body: [1], options: .init())
            await #expect {
                try await transport.send(request, body: [1], options: .init(timeout: .milliseconds(300)))
            } throws: { ($0 as? TransportError)?.code == .timedOut }
            #expect(try await number(transport.send(request, body: [1], options: .init())) == 2)
        }
    }

    @Test func `a cancelled AsyncHTTPClient request leaves nothing behind`() async throws {
        let (opened, open) = AsyncStream.makeStream(of: Void.self)
        let (closed, close) = AsyncStream.makeStream(of: Void.self)
        let server = try RawServer { connection in
            _ = connection.readRequest()
            open.yield()
            connection.waitForClose()
            close.yield()
        }
        defer { server.stop() }
        weak var released: AsyncHTTPClientTransport?
        do {
            let transport = try AsyncHTTPClientTransport(configuration: .init(connectTimeout: .seconds(20)))
            released = transport
            let request = HTTPRequest(method: .get, scheme: "http", authority: "127.0.0.1:\(server.port)", path: "/")
            let tasks = (0..<20).map { _ in Task { try await transport.send(request, body: [], options: .init()) } }
            for await _ in opened.prefix(tasks.count) {}
            for task in tasks { task.cancel() }
            for task in tasks {
                await #expect { try await task.value } throws: { ($0 as? TransportError)?.code == .cancelled }
            }
            // The server sees its connections closed although the transport is still in use.
            for await _ in closed.prefix(tasks.count) {}
        }
        #expect(released == nil)
    }

    @Test func `shutting down AsyncHTTPClient ends the requests in progress`() async throws {
        let (opened, open) = AsyncStream.makeStream(of: Void.self)
        let server = try RawServer { connection in
            _ = connection.readRequest()
            open.yield()
            connection.waitForClose()
        }
        defer { server.stop() }
        let transport = try AsyncHTTPClientTransport(configuration: .init(connectTimeout: .seconds(20)))
        let request = HTTPRequest(method: .get, scheme: "http", authority: "127.0.0.1:\(server.port)", path: "/")
        let underWay = (0..<10).map { _ in Task { try await transport.send(request, body: [], options: .init()) } }
        for await _ in opened.prefix(underWay.count) {}
        await transport.shutdown()
        for task in underWay {
            await #expect { try await task.value } throws: { ($0 as? TransportError)?.code == .shutDown }
        }
        await #expect { try await transport.send(request, body: [], options: .init()) } throws: {
            ($0 as? TransportError)?.code == .shutDown
        }
        await transport.shutdown()
    }

    @Test func `AsyncHTTPClient refuses requests that cannot be sent`() async throws {
        let transport = try AsyncHTTPClientTransport(configuration: .init(connectTimeout: .seconds(20)))
        for (authority, path) in [
            (nil, "/"), ("user@127.0.0.1", "/"), ("127.0.0.1:99999", "/"), ("127.0.0.1", "x"), ("127.0.0.1", "/a b"),
            ("127.0.0.1", "/a\r\nHost: x"),
        ] as [(String?, String)] {
            let request = HTTPRequest(method: .get, scheme: "http", authority: authority, path: path)
            await #expect("\(authority ?? "none") \(path)") {
                try await transport.send(request, body: [], options: .init())
            } throws: { ($0 as? TransportError)?.code == .invalidRequest }
        }
        await transport.shutdown()
    }

    @Test func `an invalid AsyncHTTPClient configuration is refused by name`() {
        let cases: [(AsyncHTTPClientTransport.Configuration, String)] = [
            (.init(connectTimeout: .zero), "connectTimeout"), (.init(timeout: .seconds(-1)), "timeout"),
            (.init(caFile: "/does/not/exist"), "caFile"), (.init(caFile: "/etc/passwd"), "caFile"),
            (.init(maximumConnectionsPerHost: 0), "maximumConnectionsPerHost"),
        ]
        for (configuration, name) in cases {
            #expect("\(name)") {
                try AsyncHTTPClientTransport(configuration: configuration)
            } throws: { "\($0)".contains(name) }
        }
    }
}
#endif

#if CurlSupport
import CurlTransport
import Foundation
import HTTPTypes
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

private struct CurlFixture: TLSTransportFixture {
    func makeTransport(caFile: String?) throws -> CurlTransport {
        try CurlTransport(
            configuration: .init(connectTimeout: .seconds(20), timeout: .seconds(20), caFile: caFile)
        )
    }

    func shutDown(_ transport: CurlTransport) async { await transport.shutdown() }
}

@Suite(.serialized) struct CurlTransportTests {
    @Test(arguments: HTTPTransportContract.cases(for: CurlFixture.self))
    func `libcurl passes the transport contract`(_ test: HTTPTransportContract.Case) async throws {
        try await test.run(on: CurlFixture())
    }

    private func withEcho(
        _ answer: String = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        _ body: (CurlTransport, HTTPRequest, _ requests: @Sendable () -> [String], _ connections: @Sendable () -> Int)
            async throws -> Void
    ) async throws {
        let seen = Shared()
        let server = try RawServer { connection in
            seen.connections.withLock { $0 += 1 }
            while let request = connection.readRequest() {
                seen.requests.withLock { $0.append(request) }
                connection.send(answer)
            }
        }
        let transport = try CurlTransport()
        let request = HTTPRequest(
            method: .post, scheme: "http", authority: "127.0.0.1:\(server.port)", path: "/a/../b?c=d")
        try await body(
            transport, request, { seen.requests.withLock { $0 } }, { seen.connections.withLock { $0 } }
        )
        await transport.shutdown()
        server.stop()
    }

    private final class Shared: Sendable {
        let requests = Mutex<[String]>([])
        let connections = Mutex(0)
    }

    @Test func `libcurl sends a request as it was written`() async throws {
        try await withEcho { transport, request, requests, _ in
            var request = request
            request.headerFields.append(HTTPField(name: .accept, value: "application/json"))
            request.headerFields.append(HTTPField(name: .cookie, value: "a=1"))
            request.headerFields.append(HTTPField(name: .cookie, value: "b=2"))
            request.headerFields[.contentType] = "text/plain"
            _ = try await transport.send(request, body: Array("body".utf8), options: .init())
            let received = try #require(requests().first)
            #expect(received.hasPrefix("POST /a/../b?c=d HTTP/1.1\r\n"))
            #expect(received.contains("\r\nAccept: application/json\r\n"))
            #expect(received.contains("\r\nCookie: a=1\r\nCookie: b=2\r\n"))
            #expect(received.contains("\r\nContent-Type: text/plain\r\n"))
            #expect(received.contains("\r\nContent-Length: 4\r\n"))
            #expect(received.hasSuffix("\r\n\r\nbody"))
            #expect(!received.lowercased().contains("expect:"))
        }
    }

    @Test func `libcurl sends methods and bodies as asked`() async throws {
        try await withEcho { transport, request, requests, _ in
            var request = request
            let combinations: [(HTTPRequest.Method, String)] = [
                (.get, ""), (.delete, ""), (.post, ""), (.put, "x"), (.patch, "x"), (.get, "x"),
            ]
            for (method, body) in combinations {
                request.method = method
                _ = try await transport.send(request, body: Array(body.utf8), options: .init())
                let received = try #require(requests().last)
                #expect(received.hasPrefix("\(method.rawValue) "), "\(method) \(body)")
                #expect(received.hasSuffix("\r\n\r\n\(body)"))
            }
        }
    }

    /// Handles are reused, so nothing from one request may remain in the next.
    @Test func `a request leaves nothing behind in the next one`() async throws {
        try await withEcho("HTTP/1.1 204 No Content\r\n\r\n") { transport, request, requests, connections in
            var rich = request
            rich.headerFields[.authorization] = "Basic c2VudGluZWw="
            rich.headerFields[.contentType] = "text/plain"
            var bare = request
            bare.path = "/bare"
            for (method, body) in [
                (HTTPRequest.Method.post, "sentinel"), (.put, "sentinel"), (.head, ""), (.delete, ""),
            ] {
                rich.method = method
                _ = try await transport.send(rich, body: Array(body.utf8), options: .init())
                for next in [HTTPRequest.Method.get, .post, .head, .options] {
                    bare.method = next
                    _ = try await transport.send(bare, body: [], options: .init())
                    let length = next == .post ? "Content-Length: 0\r\n" : ""
                    let host = "Host: \(request.authority ?? "")\r\n"
                    #expect(
                        requests().last
                            == "\(next) /bare HTTP/1.1\r\n\(host)User-Agent: token-broker\r\nAccept-Encoding: identity\r\n\(length)\r\n",
                        "after \(method)"
                    )
                }
            }
            #expect(connections() == 1)
        }
    }

    @Test func `framing and the Host field are the transport's own`() async throws {
        try await withEcho { transport, request, requests, _ in
            var request = request
            for (name, value) in [("Host", "elsewhere"), ("Transfer-Encoding", "chunked"), ("Content-Length", "9")] {
                request.headerFields.append(HTTPField(name: try #require(HTTPField.Name(name)), value: value))
            }
            request.headerFields.append(HTTPField(name: try #require(HTTPField.Name("X-Empty")), value: " "))
            request.headerFields.append(HTTPField(name: try #require(HTTPField.Name("X-Break")), value: "a\r\nB: c"))
            _ = try await transport.send(request, body: [1, 2], options: .init())
            let received = try #require(requests().first)
            #expect(!received.contains("elsewhere"))
            #expect(!received.contains("chunked"))
            #expect(received.contains("\r\nContent-Length: 2\r\n"))
            #expect(received.contains("\r\nX-Empty:\r\n"))
            #expect(received.contains("\r\nX-Break: a  B: c\r\n"))
        }
    }

    @Test func `tasks can run on the transport's thread`() async throws {
        try await withEcho { transport, request, requests, _ in
            try await withTaskExecutorPreference(transport.executor) {
                try await withThrowingTaskGroup(of: Int.self) { group in
                    for _ in 0..<100 {
                        group.addTask { try await transport.send(request, body: [1], options: .init()).status.code }
                    }
                    for try await status in group { #expect(status == 200) }
                }
                let cancelled = Task(executorPreference: transport.executor) {
                    withUnsafeCurrentTask { $0?.cancel() }
                    return try await transport.send(request, body: [], options: .init())
                }
                await #expect { try await cancelled.value } throws: { ($0 as? TransportError)?.code == .cancelled }
                // Tasks that prefer this executor still run after its thread has ended.
                await transport.shutdown()
                await #expect { try await transport.send(request, body: [], options: .init()) } throws: {
                    ($0 as? TransportError)?.code == .shutDown
                }
            }
            #expect(requests().count == 100)
        }
    }

    @Test func `libcurl reuses connections`() async throws {
        try await withEcho { transport, request, requests, connections in
            for _ in 0..<20 { _ = try await transport.send(request, body: [], options: .init()) }
            #expect(requests().count == 20)
            #expect(connections() == 1)
        }
    }

    @Test func `libcurl does not take informational responses and trailers for header fields`() async throws {
        let answer =
            "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nX-Final: 1\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n"
            + "2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n"
        try await withEcho(answer) { transport, request, _, _ in
            let response = try await transport.send(request, body: [], options: .init())
            #expect(response.status == .ok)
            #expect(response.headerFields.map(\.name.canonicalName) == ["x-final", "transfer-encoding", "trailer"])
            #expect(response.body == Array("ok".utf8))
        }
    }

    @Test func `a compression bomb of 400 MB takes no memory`() async throws {
        let bomb = FileManager.default.temporaryDirectory.appending(path: "bomb-\(UUID().uuidString).gz")
        defer { try? FileManager.default.removeItem(at: bomb) }
        try shell("head -c 400000000 /dev/zero | gzip >\(bomb.path)")
        let body = Array(try Data(contentsOf: bomb))
        #expect(body.count < 500_000)
        let server = try RawServer { connection in
            while connection.readRequest() != nil {
                let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: \(body.count)\r\n\r\n"
                connection.send(Array(head.utf8) + body)
            }
        }
        defer { server.stop() }
        let transport = try CurlTransport()
        let request = HTTPRequest(method: .get, scheme: "http", authority: "127.0.0.1:\(server.port)", path: "/")
        let before = residentKilobytes()
        for _ in 0..<5 {
            let error = await #expect(throws: TransportError.self) {
                try await transport.send(request, body: [], options: .init())
            }
            #expect(error?.code == .tooLarge)
        }
        // The limit is a third of one bomb. That leaves room for an address sanitizer, which retains freed memory.
        #expect(residentKilobytes() - before < 128 << 10)
        await transport.shutdown()
    }

    @Test func `the caller decides which encodings it accepts`() async throws {
        try await withEcho { transport, request, requests, _ in
            var request = request
            _ = try await transport.send(request, body: [], options: .init())
            #expect(requests().last?.contains("\r\nAccept-Encoding: identity\r\n") == true)
            request.headerFields[.acceptEncoding] = "gzip;q=0.5"
            _ = try await transport.send(request, body: [], options: .init())
            #expect(requests().last?.contains("\r\nAccept-Encoding: gzip;q=0.5\r\n") == true)
            #expect(requests().last?.contains("identity") == false)
        }
    }

    @Test func `a thousand concurrent libcurl requests succeed`() async throws {
        try await withEcho { transport, request, requests, _ in
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<1000 {
                    group.addTask { try await transport.send(request, body: [1], options: .init()).status.code }
                }
                for try await status in group { #expect(status == 200) }
            }
            #expect(requests().count == 1000)
        }
    }

    @Test func `libcurl uses HTTP/2 if the server speaks it`() async throws {
        let servers = try TLSServers()
        defer { servers.stop() }
        let transport = try CurlTransport(configuration: .init(caFile: servers.caFile))
        let authority = "localhost:\(try #require(servers.ports["trusted"]))"
        let request = HTTPRequest(method: .post, scheme: "https", authority: authority, path: "/")
        let response = try await transport.send(request, body: [1, 2], options: .init())
        #expect(String(decoding: response.body, as: UTF8.self).hasPrefix("HTTP/2.0 POST"))
        await transport.shutdown()
    }

    @Test func `shutting down libcurl ends the requests in progress`() async throws {
        let server = try RawServer { $0.waitForClose() }
        defer { server.stop() }
        let transport = try CurlTransport()
        let request = HTTPRequest(method: .get, scheme: "http", authority: "127.0.0.1:\(server.port)", path: "/")
        let under = (0..<10).map { _ in
            Task { try await transport.send(request, body: [], options: .init()) }
        }
        await transport.shutdown()
        for task in under {
            await #expect(throws: TransportError.self) { try await task.value }
        }
        await #expect { try await transport.send(request, body: [], options: .init()) } throws: { error in
            (error as? TransportError)?.code == .shutDown
        }
        await transport.shutdown()
    }

    @Test func `a libcurl transport can be released without a shutdown`() async throws {
        try await withEcho { _, request, _, _ in
            for _ in 0..<20 {
                let transport = try CurlTransport()
                _ = try await transport.send(request, body: [], options: .init())
            }
        }
    }

    @Test func `libcurl refuses requests that cannot be sent`() async throws {
        let transport = try CurlTransport()
        for (authority, path) in [
            (nil, "/"), ("", "/"), ("user@127.0.0.1", "/"), ("127.0.0.1:99999", "/"), ("127.0.0.1/x", "/"),
            ("127.0.0.1", "x"),
            ("127.0.0.1", "/a b"), ("127.0.0.1", "/a\r\nHost: x"), ("127.0.0.1", "/a#b"), ("127.0.0.1\r\nX: y", "/"),
        ] as [(String?, String)] {
            let request = HTTPRequest(method: .get, scheme: "http", authority: authority, path: path)
            await #expect("\(authority ?? "none") \(path)") {
                try await transport.send(request, body: [], options: .init())
            } throws: { error in
                (error as? TransportError)?.code == .invalidRequest
            }
        }
        await transport.shutdown()
    }
}
#endif

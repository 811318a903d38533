#if CurlSupport
import CurlTransport
import Foundation
import HTTPTypes
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

/// Tests for kept connections: how old they get, and how a dead one is detected.
@Suite(.serialized) struct ConnectionLossTests {
    /// A server that counts its connections and answers each request with the connection's number.
    private final class Server: Sendable {
        enum Reaction: Sendable { case answer, ignorePackets, swallow, reset, hang }

        private let state = Mutex<(connections: Int, requests: [Int])>((0, []))
        private let server: Mutex<RawServer?> = Mutex(nil)
        private let react: @Sendable (_ connection: Int, _ request: Int) -> Reaction

        /// - Parameter react: Returns the server's reaction to a request. Connections, and the requests of each, count
        ///   from 1.
        init(_ react: @escaping @Sendable (_ connection: Int, _ request: Int) -> Reaction = { _, _ in .answer }) throws
        {
            self.react = react
            let server = try RawServer { [weak self] in self?.serve($0) }
            self.server.withLock { $0 = server }
        }

        /// The connection number of each request, in order of arrival.
        var requests: [Int] { state.withLock { $0.requests } }
        var connections: Int { state.withLock { $0.connections } }
        var request: HTTPRequest {
            let port = server.withLock { $0?.port ?? 0 }
            return HTTPRequest(method: .post, scheme: "http", authority: "127.0.0.1:\(port)", path: "/")
        }
        func stop() { server.withLock { $0?.stop() } }

        private let expected = Mutex(0)
        /// Holds the first response on each connection until there are `count` more connections.
        func expect(_ count: Int) { expected.withLock { $0 = connections + count } }
        private func waitForExpected() {
            for _ in 0..<1000 where connections < expected.withLock({ $0 }) { Thread.sleep(forTimeInterval: 0.01) }
        }

        private func serve(_ connection: RawServer.Connection) {
            let number = state.withLock { state in
                state.connections += 1
                return state.connections
            }
            var count = 0
            while connection.readRequest() != nil {
                state.withLock { $0.requests.append(number) }
                count += 1
                if count == 1 { waitForExpected() }
                // The next reaction takes effect before the client can see this response.
                let next = react(number, count + 1)
                if next == .ignorePackets { connection.ignorePackets() }
                let body = "\(number)"
                guard react(number, count) != .hang else { break }
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
                if next == .reset {
                    _ = connection.read()
                    connection.reset()
                    return
                }
                if next == .swallow || next == .ignorePackets { break }
            }
            connection.waitForClose()
        }
    }

    private func number(_ response: TransportResponse) -> Int? { Int(String(decoding: response.body, as: UTF8.self)) }

    /// Opens `count` connections. The server sends its first response only once it has received `count` requests.
    private func open(_ count: Int, _ transport: CurlTransport, _ server: Server) async throws {
        server.expect(count)
        try await send(count, transport, server.request)
    }

    /// Sends `count` requests concurrently.
    private func send(_ count: Int, _ transport: CurlTransport, _ request: HTTPRequest) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<count { group.addTask { _ = try await transport.send(request, body: [1], options: .init()) } }
            try await group.waitForAll()
        }
    }

    @Test func `libcurl sends no new request on a connection beyond its lifetime`() async throws {
        let server = try Server()
        defer { server.stop() }
        let transport = try CurlTransport(configuration: .init(connectionLifetime: .milliseconds(300)))
        let start = ContinuousClock.now
        var uses: [Int: (firstReceived: Duration, lastSent: Duration)] = [:]
        // The requests follow each other at once, so the connection is never idle for long.
        while uses.count < 4, start.duration(to: .now) < .seconds(30) {
            let sent = start.duration(to: .now)
            let connection = try #require(number(try await transport.send(server.request, body: [1], options: .init())))
            uses[connection, default: (start.duration(to: .now), sent)].lastSent = sent
        }
        #expect(uses.count == 4)
        for use in uses.values { #expect(use.lastSent - use.firstReceived < .milliseconds(300)) }
        // The connections replaced each other at the end of their lifetimes, not at each request.
        #expect(start.duration(to: .now) > .milliseconds(3 * 300))
        await transport.shutdown()
    }

    @Test func `an HTTP/2 connection beyond its lifetime takes no new stream even if one stays open`() async throws {
        let servers = try TLSServers()
        defer { servers.stop() }
        let transport = try CurlTransport(
            configuration: .init(connectionLifetime: .milliseconds(300), caFile: servers.caFile))
        let authority = "localhost:\(try #require(servers.ports["trusted"]))"
        let request = HTTPRequest(method: .get, scheme: "https", authority: authority, path: "/")
        let start = ContinuousClock.now
        let seen = Seen()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    while seen.connections.withLock(\.count) < 4, start.duration(to: .now) < .seconds(30) {
                        let response = try await transport.send(request, body: [], options: .init())
                        let words = String(decoding: response.body, as: UTF8.self).split(separator: " ")
                        #expect(words.first == "HTTP/2.0")
                        if let connection = words.last {
                            seen.connections.withLock { _ = $0.insert(String(connection)) }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(seen.connections.withLock(\.count) == 4)
        #expect(start.duration(to: .now) > .milliseconds(3 * 300))
        await transport.shutdown()
    }

    private final class Seen: Sendable {
        let connections = Mutex<Set<String>>([])
    }

    @Test func `a request in progress on a connection beyond its lifetime is finished`() async throws {
        let released = DispatchSemaphore(value: 0)
        let raw = try RawServer { connection in
            while let request = connection.readRequest() {
                if request.hasPrefix("GET /slow ") { released.wait() }
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
        defer { raw.stop() }
        let transport = try CurlTransport(configuration: .init(connectionLifetime: .milliseconds(50)))
        func get(_ path: String) async throws -> Int {
            let request = HTTPRequest(method: .get, scheme: "http", authority: "127.0.0.1:\(raw.port)", path: path)
            return try await transport.send(request, body: [], options: .init()).status.code
        }
        let slow = Task { try await get("/slow") }
        let start = ContinuousClock.now
        while start.duration(to: .now) < .milliseconds(300) { #expect(try await get("/") == 200) }
        released.signal()
        #expect(try await slow.value == 200)
        #expect(start.duration(to: .now) < .seconds(5))

        // Shutting down also ends requests in flight on old connections.
        let never = Task { try await get("/slow") }
        while start.duration(to: .now) < .milliseconds(700) { #expect(try await get("/") == 200) }
        await transport.shutdown()
        await #expect { try await never.value } throws: { ($0 as? TransportError)?.code == .shutDown }
        released.signal()
    }

    @Test func `libcurl retries on a new connection if the network forgot the old one`() async throws {
        let server = try Server { connection, request in connection <= 6 && request > 1 ? .ignorePackets : .answer }
        defer { server.stop() }
        let transport = try CurlTransport()
        // Six concurrent requests open up to six connections. The network forgets each one after its response.
        try await open(6, transport, server)
        let kept = server.connections
        #expect(kept > 1)
        let start = ContinuousClock.now
        let response = try await transport.send(server.request, body: [1], options: .init(timeout: .seconds(8)))
        #expect(try #require(number(response)) > kept)
        #expect(start.duration(to: .now) < .seconds(5))
        // The response's elapsed time does not include the first attempt.
        #expect(response.elapsed < .seconds(1))

        // None of the other kept connections is tried.
        let next = ContinuousClock.now
        for _ in 0..<5 {
            let response = try await transport.send(server.request, body: [1], options: .init(timeout: .seconds(8)))
            #expect(try #require(number(response)) > kept)
        }
        #expect(next.duration(to: .now) < .seconds(1))
        await transport.shutdown()
    }

    @Test func `requests that meet dead connections at the same time all succeed`() async throws {
        let server = try Server { connection, request in connection <= 6 && request > 1 ? .ignorePackets : .answer }
        defer { server.stop() }
        let transport = try CurlTransport()
        try await open(6, transport, server)
        try await send(6, transport, server.request)
        await transport.shutdown()
    }

    @Test func `the timeout of a request covers both attempts`() async throws {
        // A kept connection is given up after two seconds of silence; the new one hangs.
        let server = try Server { connection, request in
            connection > 2 ? .hang : request > 1 ? .ignorePackets : .answer
        }
        defer { server.stop() }
        let transport = try CurlTransport()
        try await open(2, transport, server)
        let start = ContinuousClock.now
        await #expect {
            try await transport.send(server.request, body: [1], options: .init(timeout: .seconds(4)))
        } throws: { ($0 as? TransportError)?.code == .timedOut }
        // A second attempt with a timeout of its own would take until second six.
        #expect(start.duration(to: .now) < .milliseconds(5500))
        await transport.shutdown()
    }

    @Test func `a slow server gets a request only once`() async throws {
        let server = try Server { connection, request in connection == 1 && request == 2 ? .hang : .answer }
        defer { server.stop() }
        let transport = try CurlTransport()
        try await open(1, transport, server)
        await #expect {
            try await transport.send(server.request, body: [1], options: .init(timeout: .seconds(4)))
        } throws: { ($0 as? TransportError)?.code == .timedOut }
        #expect(server.requests == [1, 1])
        await transport.shutdown()
    }

    @Test func `libcurl uses no kept connection after a timeout on one of them`() async throws {
        // A middlebox acknowledges packets that it does not deliver.
        let server = try Server { connection, request in connection <= 6 && request > 1 ? .swallow : .answer }
        defer { server.stop() }
        let transport = try CurlTransport()
        try await open(6, transport, server)
        let kept = server.connections
        await #expect {
            try await transport.send(server.request, body: [1], options: .init(timeout: .milliseconds(300)))
        } throws: { ($0 as? TransportError)?.code == .timedOut }
        for _ in 0..<5 {
            let response = try await transport.send(server.request, body: [1], options: .init(timeout: .seconds(8)))
            #expect(try #require(number(response)) > kept)
        }
        await transport.shutdown()
    }

    @Test func `kept connections that are all reset cost no request`() async throws {
        let server = try Server { connection, request in connection <= 12 && request > 1 ? .reset : .answer }
        defer { server.stop() }
        let transport = try CurlTransport()
        try await open(12, transport, server)
        #expect(server.connections > 6)
        let kept = server.connections
        for _ in 0..<3 {
            let response = try await transport.send(server.request, body: [1], options: .init(timeout: .seconds(8)))
            #expect(try #require(number(response)) > kept)
        }
        await transport.shutdown()
    }
}
#endif

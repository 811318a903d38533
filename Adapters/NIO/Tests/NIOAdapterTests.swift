#if NIOSupport
import HTTPTypes
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOHTTP2
import Synchronization
import Testing
import TokenBroker
import TokenBrokerNIO
import TokenBrokerTesting

@Suite struct NIOAdapterTests {
    @Test(arguments: RouteAdapterContract.cases(for: NIOFixture.self), NIOFixture.Pipeline.allCases)
    func `SwiftNIO passes the route adapter contract in every pipeline`(
        _ test: RouteAdapterContract.Case, _ pipeline: NIOFixture.Pipeline
    ) async throws {
        try await test.run(on: NIOFixture(pipeline: pipeline))
    }

    @Test(arguments: RouteAdapterContract.cases(for: HTTPServerFixture.self))
    func `the server passes the route adapter contract`(_ test: RouteAdapterContract.Case) async throws {
        try await test.run(on: HTTPServerFixture())
    }

    @Test(arguments: RouteAdapterContract.cases(for: NIOHTTP2Fixture.self))
    func `SwiftNIO passes the route adapter contract over HTTP/2`(_ test: RouteAdapterContract.Case) async throws {
        try await test.run(on: NIOHTTP2Fixture())
    }

    @Test func `a reset stream cancels its own work only`() async throws {
        let (entered, enter) = AsyncStream.makeStream(of: Void.self)
        let (ended, end) = AsyncStream.makeStream(of: Bool.self)
        let endpoints = EndpointSet([
            Fixed(path: "/waits") { _ in
                enter.yield()
                try? await Task.sleep(for: .seconds(60))
                end.yield(Task.isCancelled)
                return EndpointResponse(status: .ok)
            },
            Fixed(path: "/answers") { _ in EndpointResponse(status: .ok, body: [1]) },
        ])
        try await NIOHTTP2Fixture().withServer(endpoints) { server in
            let transport = try #require(server.transport as? HTTP2Transport)
            let authority = "127.0.0.1:\(server.port)"
            let request = HTTPRequest(method: .post, scheme: "http", authority: authority, path: "/waits")
            let (stream, answer) = try await transport.open(request, body: [1, 2, 3])
            for await _ in entered { break }
            // Closing the stream reports the reset as an error.
            try? await stream.close()
            for await isCancelled in ended {
                #expect(isCancelled)
                break
            }
            await #expect(throws: (any Error).self) { try await answer.get() }
            let other = HTTPRequest(method: .get, scheme: "http", authority: authority, path: "/answers")
            try await #expect(transport.send(other, body: [], options: .init()).body == [1])
        }
    }

    @Test func `nothing is read before the endpoint asks for the body`() async throws {
        let (go, goOn) = AsyncStream.makeStream(of: Void.self)
        let (counts, count) = AsyncStream.makeStream(of: Int.self)
        let endpoint = Fixed(path: "/body") { request in
            for await _ in go { break }
            count.yield((try? await request.body.collect(upTo: 100))?.count ?? -1)
            return EndpointResponse(status: .ok)
        }
        let (channel, reads) = try await channel(EndpointSet([endpoint]))
        try await channel.writeInbound(request(.POST, "/body", ["content-length": "6"]))
        let before = reads.count.withLock { $0 }
        try await channel.testingEventLoop.executeInContext { channel.pipeline.read() }
        #expect(reads.count.withLock { $0 } == before)
        goOn.yield()
        // The read that was held back goes out once the endpoint waits for the body.
        await reads.wait(for: before + 1)
        try await channel.writeInbound(HTTPServerRequestPart.body(ByteBuffer(string: "abc")))
        try await channel.writeInbound(HTTPServerRequestPart.body(ByteBuffer(string: "def")))
        try await channel.writeInbound(HTTPServerRequestPart.end(nil))
        for await count in counts {
            #expect(count == 6)
            break
        }
        try await #expect(response(channel).status == .ok)
        _ = try await channel.finish()
    }

    @Test func `the next request waits while the client does not read`() async throws {
        let asked = Mutex<[String]>([])
        let (channel, reads) = try await channel(
            EndpointSet([
                Fixed(path: "/{name}") { request in
                    asked.withLock { $0.append(request.pathParameters["name"] ?? "") }
                    return EndpointResponse(status: .ok)
                }
            ]))
        try await channel.testingEventLoop.executeInContext { channel.isWritable = false }
        for name in ["a", "b"] { try await send(request(.GET, "/\(name)"), on: channel) }
        let before = reads.count.withLock { $0 }
        try await channel.testingEventLoop.executeInContext { channel.pipeline.read() }
        #expect(asked.withLock { $0 } == [])
        #expect(reads.count.withLock { $0 } == before)
        try await channel.testingEventLoop.executeInContext {
            channel.isWritable = true
            channel.pipeline.fireChannelWritabilityChanged()
        }
        for _ in 0..<2 { try await #expect(response(channel).status == .ok) }
        #expect(asked.withLock { $0 } == ["a", "b"])
        await reads.wait(for: before + 1)
        _ = try await channel.finish()
    }

    @Test func `a connection whose client reads nothing for too long is closed`() async throws {
        let (channel, _) = try await channel(EndpointSet([Fixed(path: "/a") { _ in EndpointResponse(status: .ok) }]))
        try await send(request(.GET, "/a"), on: channel)
        try await #expect(response(channel).status == .ok)
        try await channel.testingEventLoop.executeInContext {
            channel.isWritable = false
            channel.pipeline.fireChannelWritabilityChanged()
        }
        await channel.testingEventLoop.advanceTime(by: .seconds(74))
        #expect(channel.isActive)
        await channel.testingEventLoop.advanceTime(by: .seconds(2))
        try await channel.closeFuture.get()
    }

    @Test func `an HTTP/1.0 client is told whether its connection stays open`() async throws {
        let (channel, _) = try await channel(EndpointSet([Fixed(path: "/a") { _ in EndpointResponse(status: .ok) }]))
        for (fields, connection) in [(["connection": "keep-alive"], "keep-alive"), ([:], "close")] {
            try await send(request(.GET, "/a", fields, version: .http1_0), on: channel)
            try await #expect(response(channel).headers["connection"] == [connection])
        }
        try await channel.closeFuture.get()
    }

    @Test func `a request with two hosts reaches no endpoint`() async throws {
        let endpoint = Fixed(path: "/a") { _ in EndpointResponse(status: .ok) }
        let (channel, _) = try await channel(EndpointSet([endpoint]))
        var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/a")
        head.headers = ["host": "127.0.0.1", "Host": "shop.example"]
        try await send(.head(head), on: channel)
        try await #expect(response(channel).status == .badRequest)
        try await channel.closeFuture.get()
    }

    @Test func `request parts without a head are passed on`() async throws {
        let (channel, _) = try await channel(EndpointSet([Fixed(path: "/a") { _ in EndpointResponse(status: .ok) }]))
        try await channel.writeInbound(HTTPServerRequestPart.body(ByteBuffer(string: "x")))
        try await channel.writeInbound(HTTPServerRequestPart.end(nil))
        _ = try await channel.readInbound(as: HTTPServerRequestPart.self)
        try await send(request(.GET, "/a"), on: channel)
        try await #expect(response(channel).status == .ok)
        _ = try await channel.finish()
    }

    // MARK: A pipeline without a network

    private func channel(
        _ endpoints: EndpointSet
    ) async throws -> (NIOAsyncTestingChannel, CountedReads) {
        let reads = CountedReads()
        let channel = NIOAsyncTestingChannel()
        try await channel.testingEventLoop.executeInContext {
            try channel.pipeline.syncOperations.addHandler(reads)
            try channel.pipeline.syncOperations.addHandler(EndpointSetHandler(endpoints))
        }
        try await channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1))
        return (channel, reads)
    }

    private func request(
        _ method: HTTPMethod, _ path: String, _ fields: [String: String] = [:], version: HTTPVersion = .http1_1
    ) -> HTTPServerRequestPart {
        var headers = HTTPHeaders(fields.map { ($0, $1) })
        headers.add(name: "host", value: "localhost")
        return .head(HTTPRequestHead(version: version, method: method, uri: path, headers: headers))
    }

    /// Writes a request to the channel in one piece.
    private func send(_ head: HTTPServerRequestPart, on channel: NIOAsyncTestingChannel) async throws {
        try await channel.testingEventLoop.executeInContext {
            channel.pipeline.fireChannelRead(head)
            channel.pipeline.fireChannelRead(HTTPServerRequestPart.end(nil))
            channel.pipeline.fireChannelReadComplete()
        }
    }

    /// Returns the head of the next response and skips its other parts.
    private func response(_ channel: NIOAsyncTestingChannel) async throws -> HTTPResponseHead {
        while true {
            if case .head(let head) = try await channel.waitForOutboundWrite(as: HTTPServerResponsePart.self) {
                return head
            }
        }
    }
}

private struct Fixed: Endpoint {
    let path: RoutePath
    let answer: @Sendable (EndpointRequest) async -> EndpointResponse
    func respond(to request: EndpointRequest) async -> EndpointResponse { await answer(request) }
}

/// Counts the reads that reach the network.
private final class CountedReads: ChannelOutboundHandler, Sendable {
    typealias OutboundIn = NIOAny
    let count = Mutex(0)
    private let (changes, changed) = AsyncStream.makeStream(of: Int.self)

    func read(context: ChannelHandlerContext) {
        changed.yield(
            count.withLock { count in
                count += 1
                return count
            })
        context.read()
    }

    func wait(for wanted: Int) async {
        for await count in changes where count >= wanted { break }
    }
}
#endif

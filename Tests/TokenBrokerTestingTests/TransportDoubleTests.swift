import HTTPTypes
import Testing
import TokenBroker
import TokenBrokerTesting

/// A transport without sockets, to which only a part of the contract applies.
private struct InMemoryFixture: HTTPTransportFixture {
    static let capabilities: HTTPTransportContract.Capabilities = []

    func withServer(
        _ server: HTTPTransportContract.Server,
        _ body: (_ transport: any HTTPTransport, _ scheme: String, _ authority: String) async throws -> Void
    ) async throws {
        let transport = InMemoryTransport { request, body in
            if let response = server.response(to: request, body: body) { return response }
            try await ContinuousClock().sleep(for: .seconds(3600))
            throw CancellationError()
        }
        try await body(transport, "https", "vendor.example")
    }
}

/// A transport that is built from routes instead of a closure.
private struct EndpointFixture: HTTPTransportFixture {
    static let capabilities: HTTPTransportContract.Capabilities = []

    struct Route: Endpoint {
        let path: RoutePath
        let server: HTTPTransportContract.Server

        func respond(to request: EndpointRequest) async -> EndpointResponse {
            let body = (try? await request.body.collect(upTo: 1 << 20)) ?? []
            if let response = server.response(to: request.head, body: body) {
                return EndpointResponse(head: response.head, body: response.body)
            }
            try? await ContinuousClock().sleep(for: .seconds(3600))
            return EndpointResponse(status: .ok)
        }
    }

    func withServer(
        _ server: HTTPTransportContract.Server,
        _ body: (_ transport: any HTTPTransport, _ scheme: String, _ authority: String) async throws -> Void
    ) async throws {
        try await body(
            InMemoryTransport(
                EndpointSet([Route(path: "/{first}", server: server), Route(path: "/{first}/{second}", server: server)])
            ), "https", "vendor.example")
    }
}

/// An endpoint that responds with the request that it received.
private struct Mirrored: Endpoint {
    let path: RoutePath = "/mirror/{name}"

    func respond(to request: EndpointRequest) async -> EndpointResponse {
        let body = (try? await request.body.collect(upTo: 100)) ?? Array("too large".utf8)
        let peer = request.peer?.description ?? "nobody"
        return EndpointResponse(
            status: .ok, body: Array("\(request.pathParameters["name"] ?? "") from \(peer): ".utf8) + body)
    }
}

struct TransportDoubleTests {
    private let request = HTTPRequest(method: .get, scheme: "https", authority: "vendor.example", path: "/")

    @Test(arguments: HTTPTransportContract.cases(for: InMemoryFixture.self))
    func `an in-memory transport passes the transport contract`(_ test: HTTPTransportContract.Case) async throws {
        try await test.run(on: InMemoryFixture())
    }

    @Test(arguments: HTTPTransportContract.cases(for: EndpointFixture.self))
    func `a transport to in-process routes passes the transport contract`(
        _ test: HTTPTransportContract.Case
    ) async throws {
        try await test.run(on: EndpointFixture())
    }

    @Test func `in-process routes see what a host would show them`() async throws {
        func send(_ method: HTTPRequest.Method, _ path: String, _ size: Int) async throws -> TransportResponse {
            let request = HTTPRequest(method: method, scheme: "https", authority: "shop.example", path: path)
            let transport = InMemoryTransport(EndpointSet([Mirrored()]), peer: PeerAddress(ip: "192.0.2.1"))
            return try await transport.send(request, body: [UInt8](repeating: 120, count: size), options: .init())
        }
        #expect(try await send(.post, "/mirror/a%20b?q", 3).body == Array("a b from 192.0.2.1: xxx".utf8))
        #expect(try await send(.post, "/mirror/a", 101).body == Array("a from 192.0.2.1: too large".utf8))
        #expect(try await send(.get, "/elsewhere", 0).status == .notFound)
        let head = try await send(.head, "/mirror/a", 0)
        #expect(head.body.isEmpty)
        #expect(head.headerFields[.contentLength] == "18")
    }

    @Test func `a scripted transport follows its script and records its requests`() async throws {
        let transport = ScriptedTransport([.respond(.created, "one"), .fail(.connect)])
        let first = try await transport.send(request, body: [1], options: .init(account: "a"))
        #expect(first.status == .created)
        #expect(first.body == Array("one".utf8))
        await #expect { try await transport.send(request, body: [2], options: .init()) } throws: { error in
            (error as? TransportError)?.code == .connect
        }
        #expect(transport.sent.map(\.body) == [[1], [2]])
        #expect(transport.sent.first?.options.account == "a")
        #expect(transport.remainingSteps == 0)
    }

    @Test func `a request beyond a transport's script fails`() async {
        let transport = ScriptedTransport([])
        await #expect(throws: TransportError.self) { try await transport.send(request, body: [], options: .init()) }
        #expect(transport.sent.count == 1)
    }

    @Test func `timeouts of a scripted transport run on the given clock`() async throws {
        let clock = ManualClock()
        let transport = ScriptedTransport([.hang, .after(.seconds(5), .respond(.ok))], clock: clock)
        let first = Task { try await transport.send(request, body: [], options: .init(timeout: .seconds(10))) }
        await clock.sleepers(2)
        clock.advance(by: .seconds(10))
        await #expect { try await first.value } throws: { ($0 as? TransportError)?.code == .timedOut }
        let second = Task { try await transport.send(request, body: [], options: .init(timeout: .seconds(10))) }
        await clock.sleepers(2)
        clock.advance(by: .seconds(5))
        #expect(try await second.value.status == .ok)
    }
}

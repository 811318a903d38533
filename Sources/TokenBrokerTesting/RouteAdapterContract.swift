import HTTPTypes
import Synchronization
public import Testing
public import TokenBroker

/// What every route adapter promises, as test cases over a fixture of yours that runs a real server.
///
/// ```swift
/// @Test(arguments: RouteAdapterContract.cases(for: MyFixture.self))
/// func contract(_ test: RouteAdapterContract.Case) async throws {
///     try await test.run(on: MyFixture())
/// }
/// ```
public enum RouteAdapterContract {
    /// What a host can do. Cases that need more are left out; an adapter cannot make up for its host.
    public struct Capabilities: OptionSet, Sendable {
        /// The bits.
        public let rawValue: Int
        /// Takes the bits as they are.
        public init(rawValue: Int) { self.rawValue = rawValue }

        /// It speaks plain HTTP/1.1 at its port.
        public static let http1 = Self(rawValue: 1)
        /// It keeps all of repeated request fields.
        public static let repeatedFields = Self(rawValue: 2)
        /// It can send `100 Continue`.
        public static let expectContinue = Self(rawValue: 4)
        /// It tells when a client goes away before its answer.
        public static let disconnects = Self(rawValue: 8)
        /// It can stop taking connections and finish what is under way.
        public static let gracefulShutdown = Self(rawValue: 16)

        /// What is expected of a host.
        public static let all: Self = [.http1, .repeatedFields, .expectContinue, .disconnects, .gracefulShutdown]
    }

    /// A server that a fixture runs on a loopback port.
    public struct Server: Sendable {
        /// Where it listens.
        public var port: Int
        /// How to talk to it, if not in plain HTTP/1.1.
        public var transport: (any HTTPTransport)?
        /// Begins a shutdown, graceful if the host can, and returns when the server has ended.
        public var shutDown: @Sendable () async throws -> Void

        /// Takes all members, in their order of declaration.
        public init(
            port: Int, transport: (any HTTPTransport)? = nil, shutDown: @escaping @Sendable () async throws -> Void
        ) {
            self.port = port
            self.transport = transport
            self.shutDown = shutDown
        }
    }

    /// One promise.
    public struct Case: Sendable, CustomTestStringConvertible {
        /// The promise in words.
        public let testDescription: String
        let needs: Capabilities
        let body: @Sendable (any RouteAdapterFixture) async throws -> Void

        init(
            _ description: String, needs: Capabilities = [],
            body: @escaping @Sendable (any RouteAdapterFixture) async throws -> Void
        ) {
            self.testDescription = description
            self.needs = needs
            self.body = body
        }

        /// Checks it.
        public func run(on fixture: some RouteAdapterFixture) async throws { try await body(fixture) }
    }

    /// The cases that apply to a fixture.
    public static func cases<Fixture: RouteAdapterFixture>(for fixture: Fixture.Type) -> [Case] {
        (requests + connections + clients).filter { Fixture.capabilities.isSuperset(of: $0.needs) }
    }
}

/// Runs the server that an adapter is for.
public protocol RouteAdapterFixture: Sendable {
    /// What its host can do.
    static var capabilities: RouteAdapterContract.Capabilities { get }

    /// Starts a server on a free loopback port with `endpoints` mounted through the adapter, and routes of its own: `GET /host` and
    /// `GET /healthz`, both answering `host`, the latter although an endpoint has the same path. Runs `body`, and stops the server unless
    /// that was done.
    func withServer(
        _ endpoints: EndpointSet, _ body: @Sendable (RouteAdapterContract.Server) async throws -> Void
    ) async throws
}

// MARK: - What is said

extension RouteAdapterContract {
    private static let requests: [Case] = [
        Case("method, path, query and authority arrive as they were sent") { fixture in
            try await withEcho(fixture) { client in
                for method in [HTTPRequest.Method.get, .post, .put, .delete, .patch, .options] {
                    let echo = try await client.echo(method, "/echo/a%20b/%C3%A9?x=1&y=%2F")
                    #expect(echo["method"] == .string(method.rawValue))
                    #expect(echo["path"]?.string == "/echo/a%20b/%C3%A9?x=1&y=%2F")
                    #expect(echo["authority"] == .string(client.authority))
                    #expect(echo["first"]?.string == "a b")
                    #expect(echo["second"]?.string == "é")
                }
            }
        },
        Case("fixed segments and parameters mix, and each parameter is one whole segment") { fixture in
            try await withEcho(fixture) { client in
                for (path, first, second) in [
                    ("/shops/1/orders/2/items", "1", "2"), ("/shops/orders/orders/orders/items", "orders", "orders"),
                    ("/shops/a%2Fb/orders/%3F%25/items", "a/b", "?%"),
                    ("/shops/a+b/orders/a;b=c/items", "a+b", "a;b=c"),
                    ("/shops/%2e%2e/orders/%E2%82%AC/items?/orders/", "..", "€"),
                ] {
                    let echo = try await client.echo(.get, path)
                    #expect(echo["first"] == .string(first), "\(path)")
                    #expect(echo["second"] == .string(second), "\(path)")
                }
                for path in [
                    "/shops/1/orders/2", "/shops/1/orders/2/items/", "/shops//orders/2/items",
                    "/Shops/1/orders/2/items",
                    "/shops/1/2/orders/items", "/shops/%ff/orders/2/items", "/shops/%/orders/2/items",
                    "/shop%73/1/orders/2/items",
                ] {
                    try await #expect(client.send(.get, path).status == .notFound, "\(path)")
                }
            }
        },
        Case("repeated fields of a response survive") { fixture in
            try await withEcho(fixture) { client in
                let fields = try await client.send(.post, "/echo/a/b").headerFields
                // Cookies in fields of their own; others may come in one, separated by commas (RFC 9110, section 5.3).
                #expect(fields[values: .setCookie] == ["a=1", "b=2", "a=3"])
                let values = fields[values: repeated].flatMap { $0.split(separator: ",") }
                #expect(values.map { String($0.trimmingWhiteSpace) } == ["x", "y", "x"])
            }
        },
        Case("repeated fields of a request survive", needs: .repeatedFields) { fixture in
            try await withEcho(fixture) { client in
                var fields = HTTPFields()
                for value in ["1", "2", "1"] { fields.append(HTTPField(name: repeated, value: value)) }
                let response = try await client.send(.post, "/echo/a/b", fields: fields)
                try #expect(client.object(response)["repeated"] == .array([.string("1"), .string("2"), .string("1")]))
            }
        },
        Case("bodies arrive whole, whatever their size") { fixture in
            try await withEcho(fixture) { client in
                for size in [0, 1, 1000, 65_536, 1_000_000] {
                    let echo = try await client.echo(.post, "/echo/a/b", body: [UInt8](repeating: 7, count: size))
                    #expect(echo["count"]?.number == Double(size))
                }
            }
        },
        Case("HEAD gets the length and no body") { fixture in
            try await withEcho(fixture) { client in
                let get = try await client.send(.get, "/echo/a/b")
                let head = try await client.send(.head, "/echo/a/b")
                #expect(head.status == get.status)
                #expect(head.body.isEmpty)
                // The echo names the method, which is one letter longer.
                #expect(head.headerFields[.contentLength] == String(get.body.count + 1))
            }
        },
        Case("every status is written as it is") { fixture in
            try await fixture.withServer(EndpointSet([StatusEndpoint()])) { server in
                for code in [200, 204, 304, 400, 401, 403, 404, 422, 429, 500, 503] {
                    let response = try await Client(server).send(.get, "/status/\(code)")
                    #expect(response.status.code == code)
                    #expect(response.headerFields[.retryAfter] == "7")
                    #expect(response.body == (code == 204 || code == 304 ? [] : [1, 2, 3]))
                }
            }
        },
        Case("the peer's address is known") { fixture in
            try await withEcho(fixture) { client in
                try await #expect(client.echo(.get, "/echo/a/b")["loopback"] == .bool(true))
            }
        },
        Case("what is not ours goes to the host, and what is the host's stays so") { fixture in
            try await withEcho(fixture) { client in
                try await #expect(client.send(.get, "/nothing").status == .notFound)
                try await #expect(client.send(.post, "/nothing", body: [1, 2, 3]).status == .notFound)
                try await #expect(client.send(.get, "/echo/a").status == .notFound)
                for path in ["/host", "/healthz"] {
                    let response = try await client.send(.get, path)
                    #expect(response.status == .ok)
                    #expect(String(decoding: response.body, as: UTF8.self) == "host")
                }
            }
        },
        Case("two hundred requests at once") { fixture in
            try await withEcho(fixture) { client in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for index in 0..<200 {
                        group.addTask {
                            let echo = try await client.echo(.post, "/echo/\(index)/b", body: [1, 2, 3])
                            #expect(echo["first"]?.string == "\(index)")
                        }
                    }
                    try await group.waitForAll()
                }
            }
        },
    ]
}

// MARK: - How HTTP/1.1 connections are used

extension RouteAdapterContract {
    private static let connections: [Case] = [
        Case("a connection serves one request after the other, and closes when asked to", needs: .http1) { fixture in
            try await withEcho(fixture) { client in
                let connection = try client.connect()
                for path in ["/echo/1/b", "/host", "/echo/2/b", "/host"] {
                    try await #expect(connection.exchange("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n").status == .ok)
                }
                let head = try await connection.exchange("HEAD /echo/1/b HTTP/1.1\r\nHost: a\r\n\r\n", isToHead: true)
                #expect(head.status == .ok)
                let last = try await connection.exchange(
                    "GET /echo/3/b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                try #expect(client.object(last)["first"]?.string == "3")
                #expect(await connection.isClosedByPeer())
            }
        },
        Case("requests that are sent all at once are answered in their order, ours and the host's", needs: .http1) {
            fixture in
            try await withEcho(fixture) { client in
                let connection = try client.connect()
                var requests = ""
                for index in 0..<20 {
                    requests += "POST /echo/\(index)/b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                    requests += "GET /host HTTP/1.1\r\nHost: a\r\n\r\n"
                }
                await connection.send(requests)
                var received: [UInt8] = []
                for index in 0..<20 {
                    let ours = try await client.object(connection.answer(received: &received))
                    #expect(ours["first"]?.string == "\(index)")
                    #expect(ours["count"]?.number == 3)
                    try await #expect(connection.answer(received: &received).body == Array("host".utf8))
                }
            }
        },
        Case("a target in absolute form is understood, and its authority counts", needs: .http1) { fixture in
            try await withEcho(fixture) { client in
                let echo = try await client.connect().exchange(
                    "GET http://b:1/echo/x/y?z HTTP/1.1\r\nHost: b:1\r\n\r\n")
                try #expect(client.object(echo)["path"]?.string == "/echo/x/y?z")
                try #expect(client.object(echo)["authority"]?.string == "b:1")
            }
        },
        Case("a body in chunks, and one that arrives byte by byte, arrive whole", needs: .http1) { fixture in
            try await withEcho(fixture) { client in
                let chunked = try client.connect()
                await chunked.send("POST /echo/a/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in 0..<100 { await chunked.send("3\r\nabc\r\n") }
                let echo = try await client.object(chunked.exchange("0\r\n\r\n"))
                #expect(echo["count"]?.number == 300)
                try await #expect(chunked.exchange("GET /host HTTP/1.1\r\nHost: a\r\n\r\n").status == .ok)

                let slow = try client.connect()
                for byte in Array("POST /echo/a/b HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n012345678".utf8) {
                    await slow.send([byte])
                }
                try await #expect(client.object(slow.exchange("9"))["count"]?.number == 10)
            }
        },
        Case("a body that is not read does not spoil the next request", needs: .http1) { fixture in
            try await fixture.withServer(EndpointSet([StatusEndpoint()])) { server in
                let client = Client(server)
                for (size, framing) in [
                    (10, "Content-Length: 10"), (100_000, "Content-Length: 100000"),
                    (500_000, "Content-Length: 500000"),
                    (14, "Transfer-Encoding: chunked"),
                ] {
                    let connection = try client.connect()
                    // The body looks like a request, and must not be taken for one.
                    let body =
                        size == 14
                        ? "4\r\nGET \r\n0\r\n\r\n"
                        : String(repeating: "GET /status/500 HTTP/1.1\r\nHost: a\r\n\r\n", count: size / 38 + 1).prefix(
                            size)
                    await connection.send("POST /status/401 HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\r\n\(body)")
                    var received: [UInt8] = []
                    try await #expect(connection.answer(received: &received).status == .unauthorized)
                    // The connection may end now, but not say anything else.
                    await connection.send("GET /status/422 HTTP/1.1\r\nHost: a\r\n\r\n")
                    let next = try? await connection.answer(received: &received)
                    #expect(next == nil || next?.status == .unprocessableContent, "\(framing)")
                }
            }
        },
        Case("an endpoint answers before the body has arrived", needs: .http1) { fixture in
            let endpoints: [any Endpoint] = [StatusEndpoint(), LimitedEndpoint()]
            try await fixture.withServer(EndpointSet(endpoints)) { server in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (path, code, framing) in [
                        // It does not look at it, it is announced as too large, and it is too slow.
                        ("/status/401", 401, "Content-Length: 100000"),
                        ("/status/401", 401, "Transfer-Encoding: chunked"),
                        ("/limited", 413, "Content-Length: 100000"), ("/limited", 408, "Transfer-Encoding: chunked"),
                        ("/limited", 408, "Content-Length: 60000"),
                    ] {
                        group.addTask {
                            let connection = try Client(server).connect()
                            let request = "POST \(path) HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\r\n"
                            try await #expect(connection.exchange(request).status.code == code, "\(framing)")
                            #expect(await connection.isClosedByPeer())
                        }
                    }
                    try await group.waitForAll()
                }
            }
        },
        Case("an endless body that nobody reads is not read to its end", needs: .http1) { fixture in
            let endpoints: [any Endpoint] = [StatusEndpoint(), LimitedEndpoint()]
            try await fixture.withServer(EndpointSet(endpoints)) { server in
                for (path, code) in [("/status/401", 401), ("/limited", 413)] {
                    for framing in ["Content-Length: 10000000000", "Transfer-Encoding: chunked"] {
                        let connection = try Client(server).connect()
                        await connection.send("POST \(path) HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\r\n")
                        var chunk = [UInt8](repeating: 0, count: 65_536)
                        if framing.contains("chunked") { chunk = Array("10000\r\n".utf8) + chunk + Array("\r\n".utf8) }
                        if code == 413 { await connection.send(chunk + chunk) }
                        var received: [UInt8] = []
                        try await #expect(connection.answer(received: &received).status.code == code)
                        var sent = 0
                        while sent < 100 << 20, await connection.send(chunk) { sent += chunk.count }
                        // Far less than was offered: what is drained, and what the kernel holds.
                        #expect(sent < 50 << 20)
                    }
                }
            }
        },
        Case("who asks before sending a body is told to go on when it is wanted", needs: [.http1, .expectContinue]) {
            fixture in
            try await withEcho(fixture) { client in
                let connection = try client.connect()
                await connection.send(
                    "POST /echo/a/b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
                var received: [UInt8] = []
                try await #expect(connection.answer(received: &received).status == .continue)
                await connection.send("abc")
                let echo = try await connection.answer(received: &received)
                try #expect(client.object(echo)["count"]?.number == 3)
            }
        },
        Case("who asks before sending a body that is not wanted is told so at once", needs: .http1) { fixture in
            try await fixture.withServer(EndpointSet([StatusEndpoint()])) { server in
                let answer = try await Client(server).connect().exchange(
                    "POST /status/401 HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\nExpect: 100-continue\r\n\r\n")
                #expect(answer.status == .unauthorized)
            }
        },
    ]
}

// MARK: - Clients and servers that go away

extension RouteAdapterContract {
    private static let clients: [Case] = [
        Case("when a client goes away, the work for it stops and shared work does not", needs: [.http1, .disconnects]) {
            fixture in
            let issuer = GatedIssuer()
            let waiting = WaitingEndpoint(tokens: Caching(issuer))
            try await fixture.withServer(EndpointSet([waiting])) { server in
                let request = "POST /waiting HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"
                // The one that leaves is the one that began the shared work.
                let leaving = try Client(server).connect()
                await leaving.send(request)
                await leaving.send("1")
                await issuer.begun.wait()
                let staying = try Client(server).connect()
                await staying.send(request)
                await staying.send("1")
                await waiting.second.wait()
                leaving.close()
                await waiting.cancelled.wait()
                issuer.gate.open()
                var received: [UInt8] = []
                try await #expect(staying.answer(received: &received).status == .ok)
                #expect(issuer.calls == 1)
            }
        },
        Case("a client that goes away within its body is nobody's trouble", needs: .http1) { fixture in
            try await withEcho(fixture) { client in
                for _ in 0..<20 {
                    let connection = try client.connect()
                    await connection.send("POST /echo/a/b HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\nabc")
                    connection.close()
                }
                try await #expect(client.send(.get, "/echo/a/b").status == .ok)
            }
        },
        Case("a graceful shutdown finishes what is under way and takes nothing new", needs: .gracefulShutdown) {
            fixture in
            let issuer = GatedIssuer()
            try await fixture.withServer(EndpointSet([WaitingEndpoint(tokens: issuer), HealthEndpoint(path: "/idle")]))
            { server in
                let client = Client(server)
                let idle = server.transport == nil ? try client.connect() : nil
                if let idle { try await #expect(idle.exchange("GET /idle HTTP/1.1\r\nHost: a\r\n\r\n").status == .ok) }
                async let answer = client.send(.post, "/waiting", body: [1])
                await issuer.begun.wait()
                async let end: Void = server.shutDown()
                // A listener that is closed refuses; until then the shutdown has not begun.
                while (try? client.connect()) != nil { await Task.yield() }
                issuer.gate.open()
                try await #expect(answer.status == .ok)
                try await end
                if let idle { #expect(await idle.isClosedByPeer()) }
            }
        },
    ]
}

// MARK: - Clients

private let repeated = HTTPField.Name("X-Repeated") ?? .cookie

/// Talks to a server through the fixture's transport, or in HTTP/1.1 on a connection for each request.
private struct Client: Sendable {
    let server: RouteAdapterContract.Server
    var authority: String { "127.0.0.1:\(server.port)" }

    init(_ server: RouteAdapterContract.Server) { self.server = server }

    func connect() throws -> RawConnection { try RawConnection(port: server.port) }

    func send(
        _ method: HTTPRequest.Method, _ path: String, fields: HTTPFields = [:], body: [UInt8] = []
    ) async throws -> TransportResponse {
        if let transport = server.transport {
            let request = HTTPRequest(
                method: method, scheme: "http", authority: authority, path: path, headerFields: fields
            )
            return try await transport.send(request, body: body, options: .init(deadline: .seconds(20)))
        }
        var head = "\(method.rawValue) \(path) HTTP/1.1\r\nHost: \(authority)\r\nContent-Length: \(body.count)\r\n"
        for field in fields { head += "\(field.name.rawName): \(field.value)\r\n" }
        let connection = try connect()
        await connection.send(Array("\(head)\r\n".utf8) + body)
        var received: [UInt8] = []
        return try await connection.answer(isToHead: method == .head, received: &received)
    }

    func echo(_ method: HTTPRequest.Method, _ path: String, body: [UInt8] = []) async throws -> JSONValue {
        try object(try await send(method, path, body: body))
    }

    func object(_ response: TransportResponse) throws -> JSONValue { try JSONValue.parse(response.body) }
}

private func withEcho(
    _ fixture: any RouteAdapterFixture, _ body: @Sendable (Client) async throws -> Void
) async throws {
    let endpoints: [any Endpoint] = [
        EchoEndpoint(path: "/echo/{first}/{second}"), EchoEndpoint(path: "/shops/{first}/orders/{second}/items"),
        HealthEndpoint(),
    ]
    try await fixture.withServer(EndpointSet(endpoints)) { try await body(Client($0)) }
}

// MARK: - Endpoints

/// Answers with what it was asked.
private struct EchoEndpoint: Endpoint {
    let path: RoutePath

    func respond(to request: RouteRequest) async -> RouteResponse {
        let body = (try? await request.body.collect(upTo: 2_000_000)) ?? []
        let echo: JSONValue = [
            "method": .string(request.head.method.rawValue), "path": .string(request.head.path ?? ""),
            "authority": .string(request.head.authority ?? ""), "first": .string(request.pathParameters["first"] ?? ""),
            "second": .string(request.pathParameters["second"] ?? ""), "count": .number(Double(body.count)),
            "repeated": .array(request.head.headerFields[values: repeated].map(JSONValue.string)),
            "loopback": .bool(request.peer?.isLoopback ?? false),
        ]
        var response = RouteResponse(
            status: .ok, headerFields: [.contentType: "application/json"], body: echo.serialized)
        for value in ["x", "y", "x"] { response.head.headerFields.append(HTTPField(name: repeated, value: value)) }
        for value in ["a=1", "b=2", "a=3"] {
            response.head.headerFields.append(HTTPField(name: .setCookie, value: value))
        }
        return response
    }
}

/// Answers with the status in the path, without reading the body.
private struct StatusEndpoint: Endpoint {
    let path: RoutePath = "/status/{code}"

    func respond(to request: RouteRequest) async -> RouteResponse {
        let code = request.pathParameters["code"].flatMap { Int($0) } ?? 500
        return RouteResponse(
            status: .init(code: code), headerFields: [.retryAfter: "7"],
            body: code == 204 || code == 304 ? [] : [1, 2, 3])
    }
}

/// Reads up to 64 KiB, and waits a moment for them.
private struct LimitedEndpoint: Endpoint {
    let path: RoutePath = "/limited"

    func respond(to request: RouteRequest) async -> RouteResponse {
        do {
            let body = try await withTimeLimit(.milliseconds(300), Alarm(ContinuousClock())) {
                try await request.body.collect(upTo: 64 << 10)
            }
            return RouteResponse(status: body == nil ? .requestTimeout : .ok)
        } catch RouteBody.Failure.tooLarge {
            return RouteResponse(status: .contentTooLarge)
        } catch {
            return RouteResponse(status: .badRequest)
        }
    }
}

/// Reads the body and waits for a token.
private struct WaitingEndpoint<Tokens: TokenProvider>: Endpoint {
    let path: RoutePath = "/waiting"
    let tokens: Tokens
    let second = Gate()
    let cancelled = Gate()
    private let count = Counter()

    init(tokens: Tokens) { self.tokens = tokens }

    func respond(to request: RouteRequest) async -> RouteResponse {
        _ = try? await request.body.collect(upTo: 10)
        if count.next() == 2 { second.open() }
        do {
            _ = try await tokens.token(for: TokenRequest(customer: "c", invoice: "i"))
            return RouteResponse(status: .ok)
        } catch {
            if Task.isCancelled { cancelled.open() }
            return RouteResponse(status: .serviceUnavailable)
        }
    }
}

/// Has a token once its gate is open.
private final class GatedIssuer: TokenProvider {
    let begun = Gate()
    let gate = Gate()
    private let count = Counter()
    var calls: Int { count.value }

    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        _ = count.next()
        begun.open()
        await gate.wait()
        if Task.isCancelled { throw TokenError(.cancelled, message: "cancelled") }
        return Token(secret: Secret("t"), remaining: .seconds(600), lineage: Lineage())
    }
}

private final class Counter: Sendable {
    private let count = Mutex(0)
    var value: Int { count.withLock { $0 } }

    func next() -> Int {
        count.withLock { count in
            count += 1
            return count
        }
    }
}

/// Opens once, for all who wait.
private final class Gate: Sendable {
    private let state = Mutex<(isOpen: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))

    func open() {
        let waiting = state.withLock { state in
            defer { state = (true, []) }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    func wait() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiting.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }
}

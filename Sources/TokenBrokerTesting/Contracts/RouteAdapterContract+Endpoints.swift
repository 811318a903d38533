import HTTPTypes
import Synchronization
import TokenBroker

let repeated = HTTPField.Name("X-Repeated") ?? .cookie

/// Talks to a server through the fixture's transport, or in HTTP/1.1 on a connection for each request.
struct Client: Sendable {
    let server: RouteAdapterContract.Server
    var authority: String { "127.0.0.1:\(server.port)" }

    init(_ server: RouteAdapterContract.Server) { self.server = server }

    func connect(bufferSize: Int? = nil) async throws -> RawConnection {
        try await RawConnection.connect(port: server.port, bufferSize: bufferSize)
    }

    /// Whether a client of its own is served.
    func isServed(_ path: String = "/status/422", _ code: Int = 422) async throws -> Bool {
        let answer = try await connect().exchange("GET \(path) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return answer.status.code == code
    }

    func send(
        _ method: HTTPRequest.Method, _ path: String, fields: HTTPFields = [:], body: [UInt8] = []
    ) async throws -> TransportResponse {
        if let transport = server.transport {
            let request = HTTPRequest(
                method: method, scheme: "http", authority: authority, path: path, headerFields: fields
            )
            return try await transport.send(request, body: body, options: .init(timeout: .seconds(20)))
        }
        var head = "\(method.rawValue) \(path) HTTP/1.1\r\nHost: \(authority)\r\nContent-Length: \(body.count)\r\n"
        for field in fields { head += "\(field.name.rawName): \(field.value)\r\n" }
        let connection = try await connect()
        await connection.send(Array("\(head)\r\n".utf8) + body)
        return try await connection.answer(isToHead: method == .head)
    }

    func echo(_ method: HTTPRequest.Method, _ path: String, body: [UInt8] = []) async throws -> JSONValue {
        try object(try await send(method, path, body: body))
    }

    func object(_ response: TransportResponse) throws -> JSONValue { try JSONValue.parse(response.body) }
}

/// Runs a server with every endpoint that needs no telling apart.
func withServer(
    _ fixture: WatchedFixture, _ more: [any Endpoint] = [],
    _ body: @Sendable (Client) async throws -> Void
) async throws {
    let endpoints: [any Endpoint] = [
        EchoEndpoint(path: "/echo/{first}/{second}"), EchoEndpoint(path: "/shops/{first}/orders/{second}/items"),
        HealthEndpoint(), StatusEndpoint(), LimitedEndpoint(), SlowEndpoint(), LargeEndpoint(),
    ]
    try await fixture.withServer(EndpointSet(endpoints + more)) { try await body(Client($0)) }
}

/// A fixture, and whether it has run what it was given.
struct WatchedFixture: Sendable {
    let base: any RouteAdapterFixture
    let runs = Counter()

    func has(_ capability: RouteAdapterContract.Capabilities) -> Bool {
        type(of: base).capabilities.contains(capability)
    }

    func withServer(
        _ endpoints: EndpointSet, _ body: @Sendable (RouteAdapterContract.Server) async throws -> Void
    ) async throws {
        try await base.withServer(endpoints) { server in
            _ = runs.next()
            try await body(server)
        }
    }
}

// MARK: - Endpoints

/// Answers with what it was asked.
struct EchoEndpoint: Endpoint {
    let path: RoutePath

    func respond(to request: EndpointRequest) async -> EndpointResponse {
        let body = (try? await request.body.collect(upTo: 2_000_000)) ?? []
        let echo: JSONValue = [
            "method": .string(request.head.method.rawValue), "path": .string(request.head.path ?? ""),
            "authority": .string(request.head.authority ?? ""), "first": .string(request.pathParameters["first"] ?? ""),
            "second": .string(request.pathParameters["second"] ?? ""), "count": .number(Double(body.count)),
            "repeated": .array(request.head.headerFields[values: repeated].map(JSONValue.string)),
            "peer": request.peer.map { .string($0.description) } ?? .null,
        ]
        var response = EndpointResponse(
            status: .ok, headerFields: [.contentType: "application/json"], body: echo.serialized)
        for value in ["x", "y", "x"] { response.head.headerFields.append(HTTPField(name: repeated, value: value)) }
        for value in ["a=1", "b=2", "a=3"] {
            response.head.headerFields.append(HTTPField(name: .setCookie, value: value))
        }
        return response
    }
}

/// Answers with the status in the path, without reading the body.
struct StatusEndpoint: Endpoint {
    let path: RoutePath = "/status/{code}"

    func respond(to request: EndpointRequest) async -> EndpointResponse {
        let code = request.pathParameters["code"].flatMap { Int($0) } ?? 500
        return EndpointResponse(
            status: .init(code: code), headerFields: [.retryAfter: "7"],
            body: code == 204 || code == 304 ? [] : [1, 2, 3])
    }
}

/// Reads up to 64 KiB, and waits a moment for them.
struct LimitedEndpoint: Endpoint {
    let path: RoutePath = "/limited"
    var timeLimit = Duration.milliseconds(300)

    func respond(to request: EndpointRequest) async -> EndpointResponse {
        do {
            let body = try await withTimeLimit(timeLimit, Alarm(ContinuousClock())) {
                try await request.body.collect(upTo: 64 << 10)
            }
            return EndpointResponse(status: body == nil ? .requestTimeout : .ok)
        } catch let failure as EndpointBody.Failure where failure == .tooLarge {
            return EndpointResponse(status: .contentTooLarge)
        } catch {
            return EndpointResponse(status: .badRequest)
        }
    }
}

/// Answers after a moment.
struct SlowEndpoint: Endpoint {
    let path: RoutePath = "/slow"

    func respond(to request: EndpointRequest) async -> EndpointResponse {
        try? await Task.sleep(for: .milliseconds(200))
        return EndpointResponse(status: .accepted)
    }
}

/// Answers with more than a connection takes that nobody reads.
struct LargeEndpoint: Endpoint {
    static let size = 16 << 10
    let path: RoutePath = "/large"

    func respond(to request: EndpointRequest) async -> EndpointResponse {
        EndpointResponse(status: .ok, body: [UInt8](repeating: 7, count: Self.size))
    }
}

/// Works until its task is cancelled, for half a minute at most.
struct EndlessEndpoint: Endpoint {
    let path: RoutePath = "/endless"
    let entered = Counter()
    let cancelled = Counter()

    func respond(to request: EndpointRequest) async -> EndpointResponse {
        _ = entered.next()
        try? await Task.sleep(for: .seconds(30))
        if Task.isCancelled { _ = cancelled.next() }
        return EndpointResponse(status: .serviceUnavailable)
    }
}

/// Reads the body and waits for a token.
struct WaitingEndpoint<Tokens: TokenProvider>: Endpoint {
    let path: RoutePath = "/waiting"
    let tokens: Tokens
    let second = Gate()
    let cancelled = Gate()
    private let count = Counter()

    init(tokens: Tokens) { self.tokens = tokens }

    func respond(to request: EndpointRequest) async -> EndpointResponse {
        _ = try? await request.body.collect(upTo: 10)
        if count.next() == 2 { second.open() }
        do {
            _ = try await tokens.token(for: TokenRequest(customer: "c", invoice: "i"))
            return EndpointResponse(status: .ok)
        } catch {
            if Task.isCancelled { cancelled.open() }
            return EndpointResponse(status: .serviceUnavailable)
        }
    }
}

/// Has a token once its gate is open.
final class GatedIssuer: TokenProvider {
    let begun = Gate()
    let gate = Gate()
    private let count = Counter()
    var calls: Int { count.value }

    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        _ = count.next()
        begun.open()
        guard (try? await gate.wait("the token")) != nil else { throw TokenError(.unavailable, message: "no token") }
        if Task.isCancelled { throw TokenError(.cancelled, message: "cancelled") }
        return Token(secret: Secret("t"), remaining: .seconds(600), lineage: Lineage())
    }
}

final class Counter: Sendable {
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
final class Gate: Sendable {
    private let count = Counter()

    func open() { _ = count.next() }

    /// - Throws: ``Unmet`` with `what` if it has not opened in time.
    func wait(_ what: String) async throws {
        guard await eventually({ count.value > 0 }) else { throw Unmet(what: what) }
    }

    struct Unmet: Error, CustomStringConvertible {
        var what: String
        var description: String { "Waited \(RawConnection.timeout) in vain for \(what)." }
    }
}

/// Whether something comes true in time.
func eventually(within time: Duration = RawConnection.timeout, _ condition: () async -> Bool) async -> Bool {
    let clock = ContinuousClock()
    let deadline = clock.now + time
    while await !condition() {
        guard clock.now < deadline, (try? await Task.sleep(for: .milliseconds(5))) != nil else {
            return await condition()
        }
    }
    return true
}

/// What `operation` returns; `nil` if it takes longer. It is cancelled then, and not waited for.
func within<Success: Sendable>(
    _ time: Duration, _ operation: @escaping @Sendable () async throws -> Success
) async throws -> Success? {
    try await withTimeLimit(time, Alarm(ContinuousClock()), mayAbandon: { true }, operation: operation)
}

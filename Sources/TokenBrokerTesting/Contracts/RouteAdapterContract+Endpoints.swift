import HTTPTypes
import Testing
import TokenBroker

let repeated = HTTPField.Name("X-Repeated") ?? .cookie

/// A client that uses the fixture's transport, or plain HTTP/1.1 with a new connection for each request.
struct Client: Sendable {
    let server: RouteAdapterContract.Server
    var authority: String { "127.0.0.1:\(server.port)" }

    init(_ server: RouteAdapterContract.Server) { self.server = server }

    func connect(bufferSize: Int? = nil) async throws -> RawConnection {
        try await RawConnection.connect(port: server.port, bufferSize: bufferSize)
    }

    /// Expects that the server still serves another client.
    func expectServed(_ path: String = "/status/422", _ code: Int = 422) async throws {
        let answer = try await connect().exchange("GET \(path) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        expect(answer.status.code, code, "another client's status")
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

/// Runs a server with all stateless endpoints, and `more`.
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

/// A fixture that counts how often it runs the closure.
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
            runs.next()
            try await body(server)
        }
    }
}

// MARK: - Endpoints

/// Responds with a description of the request.
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

/// Responds with the status in the path, without reading the body.
struct StatusEndpoint: Endpoint {
    let path: RoutePath = "/status/{code}"

    func respond(to request: EndpointRequest) async -> EndpointResponse {
        let code = request.pathParameters["code"].flatMap { Int($0) } ?? 500
        return EndpointResponse(
            status: .init(code: code), headerFields: [.retryAfter: "7"],
            body: code == 204 || code == 304 ? [] : [1, 2, 3])
    }
}

/// Reads a body of at most 64 KiB within a short time limit.
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

/// Responds after a short delay.
struct SlowEndpoint: Endpoint {
    let path: RoutePath = "/slow"

    func respond(to request: EndpointRequest) async -> EndpointResponse {
        try? await Task.sleep(for: .milliseconds(200))
        return EndpointResponse(status: .accepted)
    }
}

/// Responds with 16 KiB, so that unread responses soon fill a connection.
struct LargeEndpoint: Endpoint {
    static let size = 16 << 10
    let path: RoutePath = "/large"

    func respond(to request: EndpointRequest) async -> EndpointResponse {
        EndpointResponse(status: .ok, body: [UInt8](repeating: 7, count: Self.size))
    }
}

/// Runs until its task is cancelled, for half a minute at most.
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

/// A provider that returns a token once its gate is open.
final class GatedIssuer: TokenProvider {
    let begun = Gate()
    let gate = Gate()
    private let count = Counter()
    var calls: Int { count.value }

    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        count.next()
        begun.open()
        guard (try? await gate.wait("the token")) != nil else { throw TokenError(.unavailable, message: "no token") }
        if Task.isCancelled { throw TokenError(.cancelled, message: "cancelled") }
        return Token(secret: Secret("t"), remaining: .seconds(600), lineage: Lineage())
    }
}

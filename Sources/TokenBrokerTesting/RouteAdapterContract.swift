import HTTPTypes
public import Testing
public import TokenBroker

/// What every route adapter promises, as test cases over a fixture of yours that runs a real server.
///
/// ```swift
/// @Test(arguments: RouteAdapterContract.cases)
/// func contract(_ test: RouteAdapterContract.Case) async throws {
///     try await test.run(on: MyFixture())
/// }
/// ```
public enum RouteAdapterContract {
    /// One promise.
    public struct Case: Sendable, CustomTestStringConvertible {
        /// The promise in words.
        public let testDescription: String
        let body: @Sendable (any RouteAdapterFixture) async throws -> Void

        /// Checks it.
        public func run(on fixture: some RouteAdapterFixture) async throws { try await body(fixture) }
    }

    /// All of them.
    public static let cases: [Case] = [
        Case(testDescription: "method, path, query and authority arrive as they were sent") { fixture in
            try await withEcho(fixture) { client in
                for method in [HTTPRequest.Method.get, .post, .put, .delete, .patch, .options] {
                    let echo = try await client.echo(method, "/echo/a%20b/%C3%A9?x=1&y=%2F")
                    #expect(echo["method"]?.string == method.rawValue)
                    #expect(echo["path"]?.string == "/echo/a%20b/%C3%A9?x=1&y=%2F")
                    #expect(echo["authority"]?.string == client.authority)
                    #expect(echo["first"]?.string == "a b")
                    #expect(echo["second"]?.string == "é")
                }
            }
        },
        Case(testDescription: "repeated header fields survive in both directions") { fixture in
            try await withEcho(fixture) { client in
                var fields = HTTPFields()
                for value in ["1", "2", "1"] { fields.append(HTTPField(name: repeated, value: value)) }
                let response = try await client.send(.post, "/echo/a/b", fields: fields)
                try #expect(client.object(response)["repeated"] == .array([.string("1"), .string("2"), .string("1")]))
                #expect(response.headerFields[values: repeated] == ["x", "y", "x"])
            }
        },
        Case(testDescription: "bodies arrive whole, whatever their size") { fixture in
            try await withEcho(fixture) { client in
                for size in [0, 1, 1000, 65_536, 1_000_000] {
                    let echo = try await client.echo(.post, "/echo/a/b", body: [UInt8](repeating: 7, count: size))
                    #expect(echo["count"]?.number == Double(size))
                }
            }
        },
        Case(testDescription: "HEAD gets the length and no body") { fixture in
            try await withEcho(fixture) { client in
                let get = try await client.send(.get, "/echo/a/b")
                let head = try await client.send(.head, "/echo/a/b")
                #expect(head.status == get.status)
                #expect(head.body.isEmpty)
                // The echo names the method, which is one letter longer.
                #expect(head.headerFields[.contentLength] == String(get.body.count + 1))
            }
        },
        Case(testDescription: "every status is written as it is") { fixture in
            try await fixture.withServer(EndpointSet([StatusEndpoint()])) { transport, authority in
                let client = Client(transport: transport, authority: authority)
                for code in [200, 204, 400, 401, 403, 404, 422, 429, 500, 503] {
                    let response = try await client.send(.get, "/status/\(code)")
                    #expect(response.status.code == code)
                    #expect(response.headerFields[.retryAfter] == "7")
                }
            }
        },
        Case(testDescription: "the peer's address is known") { fixture in
            try await withEcho(fixture) { client in
                try await #expect(client.echo(.get, "/echo/a/b")["loopback"] == .bool(true))
            }
        },
        Case(testDescription: "what is not ours goes to the host, and what is the host's stays so") { fixture in
            try await withEcho(fixture) { client in
                try await #expect(client.send(.get, "/nothing").status == .notFound)
                try await #expect(client.send(.get, "/echo/a").status == .notFound)
                for path in ["/host", "/healthz"] {
                    let response = try await client.send(.get, path)
                    #expect(response.status == .ok)
                    #expect(String(decoding: response.body, as: UTF8.self) == "host")
                }
            }
        },
        Case(testDescription: "a body that is not read does not spoil the next request") { fixture in
            try await fixture.withServer(EndpointSet([StatusEndpoint()])) { transport, authority in
                let client = Client(transport: transport, authority: authority)
                for size in [10, 100_000, 500_000] {
                    let body = [UInt8](repeating: 0, count: size)
                    try await #expect(client.send(.post, "/status/401", body: body).status.code == 401)
                    try await #expect(client.send(.get, "/status/200").status.code == 200)
                }
            }
        },
        Case(testDescription: "two hundred requests at once") { fixture in
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

/// Runs the server that an adapter is for.
public protocol RouteAdapterFixture: Sendable {
    /// Starts a server on a free loopback port with `endpoints` mounted through the adapter, and routes of its own: `GET /host` and
    /// `GET /healthz`, both answering `host`. Runs `body` with a transport to reach it and its authority, and stops it.
    func withServer(
        _ endpoints: EndpointSet, _ body: (_ transport: any HTTPTransport, _ authority: String) async throws -> Void
    ) async throws
}

private let repeated = HTTPField.Name("X-Repeated") ?? .cookie

private struct Client: Sendable {
    let transport: any HTTPTransport
    let authority: String

    func send(
        _ method: HTTPRequest.Method, _ path: String, fields: HTTPFields = [:], body: [UInt8] = []
    ) async throws -> TransportResponse {
        let request = HTTPRequest(
            method: method, scheme: "http", authority: authority, path: path, headerFields: fields
        )
        return try await transport.send(request, body: body, options: .init(deadline: .seconds(20)))
    }

    func echo(_ method: HTTPRequest.Method, _ path: String, body: [UInt8] = []) async throws -> JSONValue {
        try object(try await send(method, path, body: body))
    }

    func object(_ response: TransportResponse) throws -> JSONValue { try JSONValue.parse(response.body) }
}

private func withEcho(
    _ fixture: any RouteAdapterFixture, _ body: (Client) async throws -> Void
) async throws {
    try await fixture.withServer(EndpointSet([EchoEndpoint(), HealthEndpoint()])) { transport, authority in
        try await body(Client(transport: transport, authority: authority))
    }
}

/// Answers with what it was asked.
private struct EchoEndpoint: Endpoint {
    let path: RoutePath = "/echo/{first}/{second}"

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
        return response
    }
}

/// Answers with the status in the path, without reading the body.
private struct StatusEndpoint: Endpoint {
    let path: RoutePath = "/status/{code}"

    func respond(to request: RouteRequest) async -> RouteResponse {
        let code = request.pathParameters["code"].flatMap { Int($0) } ?? 500
        return RouteResponse(
            status: .init(code: code), headerFields: [.retryAfter: "7"], body: code == 204 ? [] : [1, 2, 3])
    }
}

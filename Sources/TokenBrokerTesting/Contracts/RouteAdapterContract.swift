import HTTPTypes
import Synchronization
public import Testing
public import TokenBroker

/// Test cases for the promises of every route adapter, run on your fixture, which starts a real server.
///
/// ```swift
/// @Test(arguments: RouteAdapterContract.cases(for: MyFixture.self))
/// func contract(_ test: RouteAdapterContract.Case) async throws {
///     try await test.run(on: MyFixture())
/// }
/// ```
public enum RouteAdapterContract {
    /// The capabilities of a host server. Cases that need others are left out, since an adapter cannot make up for its
    /// host.
    public struct Capabilities: OptionSet, Sendable {
        /// The bits of the set.
        public let rawValue: Int
        /// Creates a set from its bits.
        public init(rawValue: Int) { self.rawValue = rawValue }

        /// The host speaks plain HTTP/1.1 at its port and keeps connections open for further requests.
        public static let http1 = Self(rawValue: 1)
        /// The host keeps all values of repeated request fields.
        public static let repeatedFields = Self(rawValue: 2)
        /// The host can send `100 Continue`.
        public static let expectContinue = Self(rawValue: 4)
        /// The host notices a client that disconnects before it gets its response, however early.
        public static let disconnects = Self(rawValue: 8)
        /// The host can stop accepting connections, finish requests in progress and close the other connections.
        public static let gracefulShutdown = Self(rawValue: 16)
        /// The host answers HTTP/1.0 requests as that version requires: it closes the connection after the response,
        /// unless the client asks to keep it alive.
        public static let http10 = Self(rawValue: 32)
        /// The host refuses what RFC 9112 requires it to refuse, such as ambiguous lengths and hosts, and closes the
        /// connection after a request that it cannot parse.
        public static let refusals = Self(rawValue: 64)
        /// The host applies backpressure: it stops reading from a client that does not read its responses.
        public static let boundedWrites = Self(rawValue: 128)
        /// The host does not wait for the end of a body whose path has no endpoint; it closes the connection.
        public static let boundedBodies = Self(rawValue: 256)
        /// The host answers an upgrade request as if it asked for no upgrade, and does not buffer the bytes after it.
        public static let declinedUpgrades = Self(rawValue: 512)
        /// The host adds `Date` to responses that have none.
        public static let dates = Self(rawValue: 1024)
        /// The host closes a connection so that its last response arrives even while the client is still sending.
        public static let lingeringClose = Self(rawValue: 2048)

        /// All capabilities, which is what a good host has.
        public static let all: Self = [
            .http1, .repeatedFields, .expectContinue, .disconnects, .gracefulShutdown, .http10, .refusals,
            .boundedWrites, .boundedBodies, .declinedUpgrades, .dates, .lingeringClose,
        ]
    }

    /// A server that a fixture runs on a loopback port.
    public struct Server: Sendable {
        /// The port that the server listens on.
        public var port: Int
        /// The transport for requests to the server; `nil` for plain HTTP/1.1.
        public var transport: (any HTTPTransport)?
        /// Shuts the server down, gracefully if the host can, and returns when it has stopped. Takes at most 20
        /// seconds, whatever the clients do or fail to do.
        public var shutDown: @Sendable () async throws -> Void

        /// Creates a server.
        /// - Parameters:
        ///   - port: The port that the server listens on.
        ///   - transport: The transport for requests to the server; `nil` for plain HTTP/1.1.
        ///   - shutDown: Shuts the server down and returns when it has stopped.
        public init(
            port: Int, transport: (any HTTPTransport)? = nil, shutDown: @escaping @Sendable () async throws -> Void
        ) {
            self.port = port
            self.transport = transport
            self.shutDown = shutDown
        }
    }

    /// A test case for one promise.
    public struct Case: Sendable, CustomTestStringConvertible {
        /// A description of the promise.
        public let testDescription: String
        let needs: Capabilities
        let body: @Sendable (WatchedFixture) async throws -> Void

        init(
            _ description: String, needs: Capabilities = [],
            body: @escaping @Sendable (WatchedFixture) async throws -> Void
        ) {
            self.testDescription = description
            self.needs = needs
            self.body = body
        }

        /// Runs the case. A case that takes longer than four minutes fails, is cancelled and is not waited for.
        ///
        /// - Parameter fixture: The fixture for this run.
        /// - Throws: An error of the fixture or of the case, which fails the test.
        public func run(on fixture: some RouteAdapterFixture) async throws {
            let watched = WatchedFixture(base: fixture)
            try await runCase(within: .seconds(240), watched.runs, "withServer") { try await body(watched) }
        }
    }

    /// Returns the cases whose capabilities a fixture's host has.
    public static func cases<Fixture: RouteAdapterFixture>(for fixture: Fixture.Type) -> [Case] {
        let all = requests + connections + bodies + storms + refusals + upgrades + clients + shutdowns
        return all.filter { Fixture.capabilities.isSuperset(of: $0.needs) }
    }
}

/// A fixture that runs a host server for ``RouteAdapterContract``.
public protocol RouteAdapterFixture: Sendable {
    /// The capabilities of the host.
    static var capabilities: RouteAdapterContract.Capabilities { get }

    /// Runs `body` with a server on a free loopback port, and stops the server unless `body` has shut it down.
    ///
    /// The host has two routes of its own, `GET /host` and `GET /healthz`. Both respond with `host`, the latter even
    /// though an endpoint has the same path.
    /// - Parameters:
    ///   - endpoints: The endpoints to mount through the adapter.
    ///   - body: A closure that takes the running server.
    func withServer(
        _ endpoints: EndpointSet, _ body: @Sendable (RouteAdapterContract.Server) async throws -> Void
    ) async throws
}

// MARK: - Requests and responses

extension RouteAdapterContract {
    static let requests: [Case] = [
        Case("method, path, query and authority arrive as they were sent") { fixture in
            try await withServer(fixture) { client in
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
            try await withServer(fixture) { client in
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
                    try await expect(client.send(.get, path).status, .notFound, "\(path)")
                }
            }
        },
        Case("repeated fields of a response survive") { fixture in
            try await withServer(fixture) { client in
                let fields = try await client.send(.post, "/echo/a/b").headerFields
                // Cookies need separate fields. Other values may share one, separated by commas (RFC 9110, section
                // 5.3).
                #expect(fields[values: .setCookie] == ["a=1", "b=2", "a=3"])
                let values = fields[values: repeated].flatMap { $0.split(separator: ",") }
                #expect(values.map { String($0.trimmingWhiteSpace) } == ["x", "y", "x"])
            }
        },
        Case("repeated fields of a request survive", needs: .repeatedFields) { fixture in
            try await withServer(fixture) { client in
                var fields = HTTPFields()
                for value in ["1", "2", "1"] { fields.append(HTTPField(name: repeated, value: value)) }
                let response = try await client.send(.post, "/echo/a/b", fields: fields)
                try expect(client.object(response)["repeated"], .array([.string("1"), .string("2"), .string("1")]))
            }
        },
        Case("bodies arrive whole, whatever their size") { fixture in
            try await withServer(fixture) { client in
                for size in [0, 1, 1000, 65_536, 1_000_000] {
                    let echo = try await client.echo(.post, "/echo/a/b", body: [UInt8](repeating: 7, count: size))
                    #expect(echo["count"]?.number == Double(size))
                }
            }
        },
        Case("HEAD gets the length and no body") { fixture in
            try await withServer(fixture) { client in
                let get = try await client.send(.get, "/echo/a/b")
                let head = try await client.send(.head, "/echo/a/b")
                #expect(head.status == get.status)
                #expect(head.body.isEmpty)
                // The echo names the method, and `HEAD` is one letter longer than `GET`.
                #expect(head.headerFields[.contentLength] == String(get.body.count + 1))
            }
        },
        Case("no body follows the response to HEAD", needs: .http1) { fixture in
            try await withServer(fixture) { client in
                for path in ["/status/422", "/echo/a/b"] {
                    let connection = try await client.connect()
                    let head = try await connection.exchange(
                        "HEAD \(path) HTTP/1.1\r\nHost: a\r\n\r\n", isToHead: true)
                    expect(head.body, [], "the body of the response to HEAD \(path)")
                    // Anything written after the head would be read as the beginning of the next response.
                    let next = try await connection.exchange(
                        "GET /status/401 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    expect(next.status, .unauthorized, "the status of the request after HEAD \(path)")
                    expect(await connection.rest(), [], "what follows the last response")
                }
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
            try await withServer(fixture) { client in
                let peer = try await client.echo(.get, "/echo/a/b")["peer"]?.string?.description
                #expect(peer.flatMap { PeerAddress(ip: $0)?.isLoopback } == true, "The peer is \(peer ?? "unknown").")
                #if os(Linux)
                guard client.server.transport == nil else { return }
                // A client with another address exposes a fixture that invents the peer's address.
                let other = try await RawConnection.connect(port: client.server.port, source: 77)
                let echo = try await other.exchange("GET /echo/a/b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                let ip = try client.object(echo)["peer"]?.string?.description ?? ""
                #expect(ip == "127.0.0.77" || ip == "::ffff:127.0.0.77", "The peer is \(ip).")
                #endif
            }
        },
        Case("an answer says when it was given", needs: .dates) { fixture in
            try await withServer(fixture) { client in
                let date = try await client.send(.get, "/echo/a/b").headerFields[.date]
                #expect(date.flatMap { httpDate($0) } != nil, "Date is \(date ?? "missing").")
            }
        },
        Case("what is not ours goes to the host, and what is the host's stays so") { fixture in
            try await withServer(fixture) { client in
                try await expect(client.send(.get, "/nothing").status, .notFound)
                try await expect(client.send(.post, "/nothing", body: [1, 2, 3]).status, .notFound)
                try await expect(client.send(.get, "/echo/a").status, .notFound)
                for path in ["/host", "/healthz"] {
                    let response = try await client.send(.get, path)
                    #expect(response.status == .ok)
                    #expect(String(decoding: response.body, as: UTF8.self) == "host")
                }
            }
        },
        Case("two hundred requests at once") { fixture in
            try await withServer(fixture) { client in
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

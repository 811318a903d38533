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

        /// It speaks plain HTTP/1.1 at its port, and keeps connections for further requests.
        public static let http1 = Self(rawValue: 1)
        /// It keeps all of repeated request fields.
        public static let repeatedFields = Self(rawValue: 2)
        /// It can send `100 Continue`.
        public static let expectContinue = Self(rawValue: 4)
        /// It tells when a client goes away before its answer, however soon.
        public static let disconnects = Self(rawValue: 8)
        /// It can stop taking connections, finish what is under way and end the other connections.
        public static let gracefulShutdown = Self(rawValue: 16)
        /// It answers HTTP/1.0 as that version asks: it closes after the answer, unless the client keeps the connection
        /// alive.
        public static let http10 = Self(rawValue: 32)
        /// It refuses what RFC 9112 has it refuse, such as unclear lengths and hosts, and closes after a request that
        /// it cannot parse.
        public static let refusals = Self(rawValue: 64)
        /// It does not read from a client that does not read its answers.
        public static let boundedWrites = Self(rawValue: 128)
        /// It does not wait for the end of a body for which it has no route of its own, and closes.
        public static let boundedBodies = Self(rawValue: 256)
        /// It answers a request for an upgrade as if it had not asked for one, and does not keep what comes after it.
        public static let declinedUpgrades = Self(rawValue: 512)
        /// It writes `Date` on answers that have none.
        public static let dates = Self(rawValue: 1024)
        /// It closes a connection so that its last answer arrives although the client is still sending.
        public static let lingeringClose = Self(rawValue: 2048)

        /// What is expected of a host.
        public static let all: Self = [
            .http1, .repeatedFields, .expectContinue, .disconnects, .gracefulShutdown, .http10, .refusals,
            .boundedWrites, .boundedBodies, .declinedUpgrades, .dates, .lingeringClose,
        ]
    }

    /// A server that a fixture runs on a loopback port.
    public struct Server: Sendable {
        /// Where it listens.
        public var port: Int
        /// How to talk to it, if not in plain HTTP/1.1.
        public var transport: (any HTTPTransport)?
        /// Begins a shutdown, graceful if the host can, and returns when the server has ended: within 20 seconds,
        /// whatever its clients do or leave undone.
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
        let body: @Sendable (WatchedFixture) async throws -> Void

        init(
            _ description: String, needs: Capabilities = [],
            body: @escaping @Sendable (WatchedFixture) async throws -> Void
        ) {
            self.testDescription = description
            self.needs = needs
            self.body = body
        }

        /// Checks it. A case that has not ended after two minutes is a failure, and is left behind.
        public func run(on fixture: some RouteAdapterFixture) async throws {
            let watched = WatchedFixture(base: fixture)
            let hasEnded: Bool? = try await within(.seconds(120)) {
                try await body(watched)
                return true
            }
            if hasEnded == nil {
                Issue.record("The case has not ended after two minutes.")
            } else if watched.runs.value == 0 {
                Issue.record("The fixture's `withServer` did not run what it was given.")
            }
        }
    }

    /// The cases that apply to a fixture.
    public static func cases<Fixture: RouteAdapterFixture>(for fixture: Fixture.Type) -> [Case] {
        let all = requests + connections + bodies + storms + refusals + upgrades + clients + shutdowns
        return all.filter { Fixture.capabilities.isSuperset(of: $0.needs) }
    }
}

/// Runs the server that an adapter is for.
public protocol RouteAdapterFixture: Sendable {
    /// What its host can do.
    static var capabilities: RouteAdapterContract.Capabilities { get }

    /// Starts a server on a free loopback port with `endpoints` mounted through the adapter, and routes of its own:
    /// `GET /host` and `GET /healthz`, both answering `host`, the latter although an endpoint has the same path. Runs
    /// `body`, and stops the server unless that was done.
    func withServer(
        _ endpoints: EndpointSet, _ body: @Sendable (RouteAdapterContract.Server) async throws -> Void
    ) async throws
}

// MARK: - What is said

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
                    try await #expect(client.send(.get, path).status == .notFound, "\(path)")
                }
            }
        },
        Case("repeated fields of a response survive") { fixture in
            try await withServer(fixture) { client in
                let fields = try await client.send(.post, "/echo/a/b").headerFields
                // Cookies in fields of their own; others may come in one, separated by commas (RFC 9110, section 5.3).
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
                try #expect(client.object(response)["repeated"] == .array([.string("1"), .string("2"), .string("1")]))
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
            try await withServer(fixture) { client in
                let peer = try await client.echo(.get, "/echo/a/b")["peer"]?.string?.description
                #expect(peer.flatMap { PeerAddress(ip: $0)?.isLoopback } == true, "The peer is \(peer ?? "unknown").")
                #if os(Linux)
                guard client.server.transport == nil else { return }
                // Another address of this machine, and a fixture that made the first one up is found out.
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

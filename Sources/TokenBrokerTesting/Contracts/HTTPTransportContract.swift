public import HTTPTypes
public import Testing
public import TokenBroker

/// What every ``HTTPTransport`` promises, as test cases over a fixture of yours.
///
/// ```swift
/// @Test(arguments: HTTPTransportContract.cases(for: MyFixture.self))
/// func contract(_ test: HTTPTransportContract.Case) async throws {
///     try await test.run(on: MyFixture())
/// }
/// ```
public enum HTTPTransportContract {
    /// What a fixture can set up. Cases that need more than it has are left out.
    public struct Capabilities: OptionSet, Sendable {
        /// The bits.
        public let rawValue: Int
        /// Takes the bits as they are.
        public init(rawValue: Int) { self.rawValue = rawValue }

        /// Real connections that can be refused, cut and garbled.
        public static let sockets = Self(rawValue: 1)
        /// Servers with certificates.
        public static let tls = Self(rawValue: 2)
    }

    /// What the server at the other end does.
    public enum Server: Sendable {
        /// Answers every request with this.
        case responds(HTTPResponse, body: [UInt8], framing: Framing)
        /// Accepts, reads the request and says nothing.
        case neverAnswers
        /// Sends the head, announces 100 bytes, sends 10 and says nothing more.
        case stopsMidBody
        /// Needs sockets: accepts, reads the request and closes.
        case closesUnanswered
        /// Needs sockets: announces 100 bytes, sends 10 and closes.
        case closesMidBody
        /// Needs sockets: what it sends does not begin with a status line.
        case isNotHTTP
        /// Needs sockets: nobody listens at the port.
        case refusesConnections
        /// Needs sockets: a connection is never established.
        case neverConnects
        /// Needs sockets: a name whose resolution takes longer than any test.
        case neverResolves
        /// Needs sockets: a name that does not exist.
        case hasNoAddress
        /// Needs TLS: answers 200 with the HTTP version it was asked in, if the client accepts its certificate.
        case presents(Certificate)
    }

    /// How a body's end is told.
    public enum Framing: Sendable {
        /// By `Content-Length`.
        case length
        /// By `Transfer-Encoding: chunked`.
        case chunked
    }

    /// A server's certificate.
    public enum Certificate: Sendable {
        /// Signed by an authority that the transport was told to trust, for the host that is asked.
        case trusted
        /// Signed by itself.
        case untrusted
        /// Like the trusted one, and out of date.
        case expired
        /// Like the trusted one, for another host.
        case forAnotherHost
    }

    /// One promise.
    public struct Case: Sendable, CustomTestStringConvertible {
        /// The promise in words.
        public let testDescription: String
        let needs: Capabilities
        let body: @Sendable (any HTTPTransportFixture) async throws -> Void

        /// Checks it.
        public func run(on fixture: some HTTPTransportFixture) async throws { try await body(fixture) }
    }

    /// The cases that apply to a fixture.
    public static func cases<Fixture: HTTPTransportFixture>(for fixture: Fixture.Type) -> [Case] {
        all.filter { Fixture.capabilities.isSuperset(of: $0.needs) }
    }
}

/// Sets up servers for ``HTTPTransportContract``.
public protocol HTTPTransportFixture: Sendable {
    /// What it can set up.
    static var capabilities: HTTPTransportContract.Capabilities { get }

    /// Runs `body` with a transport and the base URL's scheme and authority of a server that behaves as told, and takes both down.
    func withServer(
        _ server: HTTPTransportContract.Server,
        _ body: (_ transport: any HTTPTransport, _ scheme: String, _ authority: String) async throws -> Void
    ) async throws
}

extension HTTPTransportContract {
    typealias Outcome = Result<TransportResponse, TransportError>

    private static let timeout = TransportOptions(timeout: .seconds(10))

    static func send(
        _ fixture: any HTTPTransportFixture, _ server: Server, method: HTTPRequest.Method = .get,
        options: TransportOptions = timeout, check: (Outcome) throws -> Void
    ) async throws {
        try await fixture.withServer(server) { transport, scheme, authority in
            try check(await outcome(transport, method, scheme, authority, options))
        }
    }

    private static func outcome(
        _ transport: any HTTPTransport, _ method: HTTPRequest.Method, _ scheme: String, _ authority: String,
        _ options: TransportOptions
    ) async -> Outcome {
        let request = HTTPRequest(method: method, scheme: scheme, authority: authority, path: "/path?query=1")
        do throws(TransportError) {
            return .success(try await transport.send(request, body: [], options: options))
        } catch {
            return .failure(error)
        }
    }

    static func code(_ outcome: Outcome) -> TransportError.Code? {
        if case .failure(let error) = outcome { error.code } else { nil }
    }

    private static func fails(
        _ description: String, needs: Capabilities, _ server: Server, with code: TransportError.Code,
        options: TransportOptions = timeout
    ) -> Case {
        Case(testDescription: description, needs: needs) { fixture in
            try await send(fixture, server, options: options) { #expect(Self.code($0) == code, "\($0)") }
        }
    }

    private static func bytes(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0) } }

    private static func body(of size: Int, ceiling: Int, framing: Framing) -> Case {
        Case(testDescription: "a body of \(size) bytes under a ceiling of \(ceiling), \(framing)", needs: []) {
            fixture in
            let options = TransportOptions(timeout: .seconds(10), maximumResponseBytes: ceiling)
            let server = Server.responds(HTTPResponse(status: .ok), body: bytes(size), framing: framing)
            try await send(fixture, server, options: options) { outcome in
                if size <= ceiling {
                    try #expect(outcome.get().body == bytes(size))
                } else {
                    #expect(code(outcome) == .tooLarge, "\(outcome)")
                }
            }
        }
    }

    /// Both ways of ending a transfer that does not end by itself.
    private static func ends(_ stage: String, needs: Capabilities, _ server: Server) -> [Case] {
        let deadline = Case(testDescription: "the deadline ends it while \(stage)", needs: needs) { fixture in
            let start = ContinuousClock.now
            try await send(fixture, server, options: TransportOptions(timeout: .milliseconds(300))) { outcome in
                #expect(code(outcome) == .timedOut, "\(outcome)")
                #expect(start.duration(to: .now) >= .milliseconds(250))
                // Soon is what is promised; the rest is for a machine that is busy with other tests.
                #expect(start.duration(to: .now) < .seconds(9))
            }
        }
        let cancellation = Case(testDescription: "cancellation ends it while \(stage)", needs: needs) { fixture in
            try await fixture.withServer(server) { transport, scheme, authority in
                let task = Task { await outcome(transport, .get, scheme, authority, timeout) }
                // The stage is real time at the other end; nothing tells when it is reached.
                try await ContinuousClock().sleep(for: .milliseconds(200))
                let start = ContinuousClock.now
                task.cancel()
                #expect(code(await task.value) == .cancelled)
                // 50 ms are promised; a machine that is busy with other tests may take longer, but not half of the timeout.
                #expect(start.duration(to: .now) < .seconds(5))
            }
        }
        return [deadline, cancellation]
    }

    private static let all: [Case] =
        [
            Case(testDescription: "repeated header fields keep their order", needs: []) { fixture in
                var head = HTTPResponse(status: .ok)
                for value in ["a=1", "b=2", "a=3"] {
                    head.headerFields.append(HTTPField(name: .setCookie, value: value))
                }
                try await send(fixture, .responds(head, body: bytes(3), framing: .length)) { outcome in
                    try #expect(outcome.get().headerFields[values: .setCookie] == ["a=1", "b=2", "a=3"])
                }
            },
            Case(testDescription: "an empty body", needs: []) { fixture in
                for framing in [Framing.length, .chunked] {
                    try await send(fixture, .responds(.init(status: .ok), body: [], framing: framing)) { outcome in
                        try #expect(outcome.get().body == [])
                    }
                }
            },
            Case(testDescription: "204 has no body", needs: []) { fixture in
                try await send(fixture, .responds(.init(status: .noContent), body: [], framing: .length)) { outcome in
                    try #expect(outcome.get().status == .noContent)
                    try #expect(outcome.get().body == [])
                }
            },
            Case(testDescription: "every status is a response", needs: []) { fixture in
                for code in [200, 201, 400, 401, 403, 404, 422, 429, 500, 502, 503, 599] {
                    let head = HTTPResponse(status: .init(code: code))
                    try await send(fixture, .responds(head, body: bytes(5), framing: .length)) { outcome in
                        try #expect(outcome.get().status.code == code)
                        try #expect(outcome.get().body == bytes(5))
                    }
                }
            },
            Case(testDescription: "a redirect is returned, not followed", needs: []) { fixture in
                for code in [301, 302, 303, 307, 308] {
                    let head = HTTPResponse(
                        status: .init(code: code), headerFields: [.location: "http://127.0.0.1:1/elsewhere"])
                    try await send(fixture, .responds(head, body: [], framing: .length)) { outcome in
                        try #expect(outcome.get().status.code == code)
                    }
                }
            },
            Case(testDescription: "only https is sent, and http to a loopback host", needs: []) { fixture in
                try await fixture.withServer(.neverAnswers) { transport, _, _ in
                    for (scheme, authority) in [
                        ("http", "example.com"), ("http", "127.0.0.1.example.com"), ("ftp", "127.0.0.1"),
                        ("file", "localhost"),
                        ("http", "localhost.example.com"),
                    ] {
                        let outcome = await outcome(transport, .get, scheme, authority, timeout)
                        #expect(code(outcome) == .refusedScheme, "\(scheme)://\(authority): \(outcome)")
                    }
                }
            },
            fails("a request that is closed unanswered", needs: .sockets, .closesUnanswered, with: .closed),
            fails("a body that ends early", needs: .sockets, .closesMidBody, with: .closed),
            fails("a malformed status line", needs: .sockets, .isNotHTTP, with: .malformed),
            fails("a refused connection", needs: .sockets, .refusesConnections, with: .connect),
            fails("a name without an address", needs: .sockets, .hasNoAddress, with: .resolve),
            fails("an untrusted certificate", needs: .tls, .presents(.untrusted), with: .trust),
            fails("an expired certificate", needs: .tls, .presents(.expired), with: .trust),
            fails("a certificate for another host", needs: .tls, .presents(.forAnotherHost), with: .trust),
            Case(testDescription: "a trusted certificate", needs: .tls) { fixture in
                try await send(fixture, .presents(.trusted)) { try #expect($0.get().status == .ok) }
            },
        ]
        + [(9, 10), (10, 10), (11, 10), (0, 0), (1, 0), (200_000, 200_000), (200_001, 200_000)].flatMap {
            size, ceiling in
            [Framing.length, .chunked].map { body(of: size, ceiling: ceiling, framing: $0) }
        }
        + codings
        + ends("resolving", needs: .sockets, .neverResolves)
        + ends("connecting", needs: .sockets, .neverConnects)
        + ends("waiting", needs: [], .neverAnswers)
        + ends("receiving the body", needs: .sockets, .stopsMidBody)
}

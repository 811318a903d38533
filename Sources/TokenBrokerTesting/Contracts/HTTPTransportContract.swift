public import HTTPTypes
import Synchronization
public import Testing
public import TokenBroker

/// Test cases for the promises of every `HTTPTransport`, run on your fixture.
///
/// ```swift
/// @Test(arguments: HTTPTransportContract.cases(for: MyFixture.self))
/// func contract(_ test: HTTPTransportContract.Case) async throws {
///     try await test.run(on: MyFixture())
/// }
/// ```
public enum HTTPTransportContract {
    /// The kinds of server that a fixture can set up. Cases that need others are left out.
    public struct Capabilities: OptionSet, Sendable {
        /// The bits of the set.
        public let rawValue: Int
        /// Creates a set from its bits.
        public init(rawValue: Int) { self.rawValue = rawValue }

        /// Responses that stall, end early, never end or are not HTTP.
        public static let interruptions = Self(rawValue: 1)
        /// Servers with TLS certificates.
        public static let tls = Self(rawValue: 2)
        /// Connections that are refused or never established.
        public static let refusals = Self(rawValue: 4)
        /// A name without an address.
        public static let resolution = Self(rawValue: 8)
        /// A name whose resolution takes longer than any test.
        public static let slowResolution = Self(rawValue: 16)
        /// Everything that real sockets allow without TLS.
        public static let sockets: Self = [.interruptions, .refusals, .resolution, .slowResolution]
    }

    /// The behaviour of the server.
    public enum Server: Sendable {
        /// Answers every request with this response.
        case responds(HTTPResponse, body: [UInt8], framing: Framing)
        /// Reacts to each request as the closure returns. Without ``Capabilities/interruptions``, the closure returns
        /// only ``MisbehavingIssuer/Reaction/Step/respond(_:_:)`` without a delay.
        case handles(@Sendable (HTTPRequest, [UInt8]) -> MisbehavingIssuer.Reaction)
        /// Accepts, reads the request and sends nothing.
        case neverAnswers
        /// Needs ``Capabilities/interruptions``: sends the head, announces 100 bytes, sends 10 and stalls.
        case stopsMidBody
        /// Needs ``Capabilities/interruptions``: announces 1000 bytes and sends one every 100 ms.
        case drips
        /// Needs ``Capabilities/interruptions``: accepts, reads the request and closes the connection.
        case closesUnanswered
        /// Needs ``Capabilities/interruptions``: announces 100 bytes, sends 10 and closes the connection.
        case closesMidBody
        /// Needs ``Capabilities/interruptions``: sends something that does not begin with a status line.
        case isNotHTTP
        /// Needs ``Capabilities/refusals``: has no listener at its port.
        case refusesConnections
        /// Needs ``Capabilities/refusals``: never establishes a connection.
        case neverConnects
        /// Needs ``Capabilities/slowResolution``: has a name whose resolution takes longer than any test.
        case neverResolves
        /// Needs ``Capabilities/resolution``: has a name that does not exist.
        case hasNoAddress
        /// Needs ``Capabilities/tls``: answers 200 with the HTTP version of the request as its body, if the client
        /// accepts the certificate.
        case presents(Certificate)
    }

    /// How a response delimits its body.
    public enum Framing: Sendable {
        /// With `Content-Length`.
        case length
        /// With `Transfer-Encoding: chunked`.
        case chunked
    }

    /// A server's certificate.
    public enum Certificate: Sendable {
        /// Signed for the requested host by an authority that the transport is told to trust.
        case trusted
        /// Self-signed.
        case untrusted
        /// Like the trusted one, but expired.
        case expired
        /// Like the trusted one, but for another host.
        case forAnotherHost
    }

    /// A test case for one promise.
    public struct Case: Sendable, CustomTestStringConvertible {
        /// A description of the promise.
        public let testDescription: String
        let needs: Capabilities
        let body: @Sendable (any HTTPTransportFixture) async throws -> Void

        /// Runs the case. A case that takes longer than a minute fails, is cancelled and is not waited for.
        ///
        /// - Parameter fixture: The fixture for this run.
        /// - Throws: An error of the fixture or of the case, which fails the test.
        public func run(on fixture: some HTTPTransportFixture) async throws {
            let watched = WatchedTransportFixture(base: fixture)
            try await runCase(within: .seconds(60), watched.runs, "withServer") { try await body(watched) }
        }
    }

    /// Returns the cases whose capabilities a fixture has.
    public static func cases<Fixture: HTTPTransportFixture>(for fixture: Fixture.Type) -> [Case] {
        all.filter { Fixture.capabilities.isSuperset(of: $0.needs) }
    }
}

/// A fixture that sets up servers for ``HTTPTransportContract``.
public protocol HTTPTransportFixture: Sendable {
    /// The kinds of server that the fixture can set up.
    static var capabilities: HTTPTransportContract.Capabilities { get }

    /// Runs `body` with a transport and a server, and shuts both down.
    /// - Parameters:
    ///   - server: The behaviour of the server.
    ///   - body: A closure that takes the transport, and the scheme and authority of the server's URL.
    func withServer(
        _ server: HTTPTransportContract.Server,
        _ body: (_ transport: any HTTPTransport, _ scheme: String, _ authority: String) async throws -> Void
    ) async throws
}

/// A fixture that counts how often it runs the closure.
private struct WatchedTransportFixture: HTTPTransportFixture {
    static let capabilities: HTTPTransportContract.Capabilities = []
    let base: any HTTPTransportFixture
    let runs = Counter()

    func withServer(
        _ server: HTTPTransportContract.Server,
        _ body: (_ transport: any HTTPTransport, _ scheme: String, _ authority: String) async throws -> Void
    ) async throws {
        try await base.withServer(server) { transport, scheme, authority in
            runs.next()
            try await body(transport, scheme, authority)
        }
    }
}

extension HTTPTransportContract {
    typealias Outcome = Result<TransportResponse, TransportError>

    private static let timeout = TransportOptions(timeout: .seconds(10))
    /// A header field value that no error may repeat.
    private static let marker = "a value of the request"

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
        let request = HTTPRequest(
            method: method, scheme: scheme, authority: authority, path: "/path?query=1",
            headerFields: [.authorization: marker]
        )
        do throws(TransportError) {
            return .success(try await transport.send(request, body: [], options: options))
        } catch {
            expectSafe(error, authority)
            return .failure(error)
        }
    }

    /// Expects that an error names neither the request's content, nor the server, nor the server's response.
    private static func expectSafe(_ error: TransportError, _ authority: String) {
        var text = "\(error) \(String(reflecting: error))"
        dump(error, to: &text)
        for (words, what) in [
            (authority, "the server's address"), ("query=1", "the request's target"), (marker, "a request field"),
            ("SMTP", "what the server sent"), ("0123456789", "what the server sent"),
        ] where text.contains(words) {
            Issue.record("expected an error without \(what), found: \(text)")
        }
    }

    static func code(_ outcome: Outcome) -> TransportError.Code? {
        if case .failure(let error) = outcome { error.code } else { nil }
    }

    static func expectFailure(_ outcome: Outcome, _ code: TransportError.Code, _ what: String = "") {
        if Self.code(outcome) == code { return }
        let found =
            switch outcome {
            case .failure(let error): "\(error)"
            case .success(let response): "a response with \(response.status.code) and \(response.body.count) bytes"
            }
        Issue.record("\(what.isEmpty ? "" : "\(what): ")expected the error \(code), found \(found)")
    }

    private static func fails(
        _ description: String, needs: Capabilities, _ server: Server, with code: TransportError.Code,
        options: TransportOptions = timeout
    ) -> Case {
        Case(testDescription: description, needs: needs) { fixture in
            try await send(fixture, server, options: options) { expectFailure($0, code) }
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
                    try expect(outcome.get().body, bytes(size), "the body")
                } else {
                    expectFailure(outcome, .tooLarge)
                }
            }
        }
    }

    /// The two cases for a transfer that does not end by itself: its timeout and its cancellation.
    private static func ends(_ stage: String, needs: Capabilities, _ server: Server) -> [Case] {
        let timeout = Case(testDescription: "the timeout ends it while \(stage)", needs: needs) { fixture in
            try await fixture.withServer(server) { transport, scheme, authority in
                try await expectSoon("a timeout of 300 ms") {
                    let options = TransportOptions(timeout: .milliseconds(300))
                    let start = ContinuousClock.now
                    let result = try await ended("the call to end") {
                        await outcome(transport, .get, scheme, authority, options)
                    }
                    let elapsed = start.duration(to: .now)
                    expectFailure(result, .timedOut)
                    if elapsed < .milliseconds(250) {
                        Issue.record("expected a timeout of 300 ms to end the call then, found \(elapsed)")
                    }
                    return elapsed - .milliseconds(300)
                }
            }
        }
        let cancellation = Case(testDescription: "cancellation ends it while \(stage)", needs: needs) { fixture in
            try await fixture.withServer(server) { transport, scheme, authority in
                try await expectSoon("cancellation") {
                    let task = Task { await outcome(transport, .get, scheme, authority, Self.timeout) }
                    // The server reaches the stage in real time, and nothing reports when.
                    try await ContinuousClock().sleep(for: .milliseconds(200))
                    let start = ContinuousClock.now
                    task.cancel()
                    let result = try await ended("a cancelled call to end", within: .seconds(5)) { await task.value }
                    expectFailure(result, .cancelled)
                    return start.duration(to: .now)
                }
            }
        }
        return [timeout, cancellation]
    }

    /// Expects that one of three attempts measures less than a second, since a machine that is busy with other tests
    /// may delay an attempt.
    private static func expectSoon(_ what: String, _ attempt: () async throws -> Duration) async throws {
        var delays: [Duration] = []
        for _ in 0..<3 {
            delays.append(try await attempt())
            if let last = delays.last, last < .seconds(1) { return }
        }
        Issue.record("expected \(what) to end the call within a second, found delays of \(delays)")
    }

    // MARK: Requests

    private static let requests: [Case] = [
        Case(testDescription: "method, target, fields and body arrive as they were passed", needs: []) { fixture in
            let arrived = Arrivals()
            try await fixture.withServer(.handles(arrived.answering())) { transport, scheme, authority in
                for (method, size) in [
                    (HTTPRequest.Method.get, 0), (.post, 3), (.post, 100_000), (.put, 1), (.patch, 7), (.delete, 0),
                    (.post, 0), (.options, 0),
                ] {
                    var request = HTTPRequest(
                        method: method, scheme: scheme, authority: authority, path: "/a%20b/c?x=1&y=%2F&z")
                    request.headerFields[.authorization] = "Bearer token"
                    for value in ["a=1", "b, c", "a=1"] {
                        request.headerFields.append(HTTPField(name: repeated, value: value))
                    }
                    let response = try await transport.send(request, body: bytes(size), options: Self.timeout)
                    expect(response.status, .ok, "\(method)")
                    let all = arrived.take()
                    expect(all.count, 1, "\(method): requests that arrived for one call")
                    guard let (head, body) = all.first else { return }
                    expect(head.method, method, "the method")
                    expect(head.path, "/a%20b/c?x=1&y=%2F&z", "the target of \(method)")
                    expect(head.authority, authority, "the host of \(method)")
                    expect(head.headerFields[.authorization], "Bearer token", "a field of \(method)")
                    expect(
                        head.headerFields[values: repeated].joined(separator: ", "), "a=1, b, c, a=1",
                        "a repeated field of \(method)")
                    expect(body, bytes(size), "the body of \(method)")
                }
            }
        },
        Case(testDescription: "a request that was answered is not sent again", needs: []) { fixture in
            for code in [429, 500, 502, 503, 504] {
                let arrived = Arrivals()
                try await fixture.withServer(.handles(arrived.answering(code))) { transport, scheme, authority in
                    _ = await outcome(transport, .post, scheme, authority, Self.timeout)
                    expect(arrived.take().count, 1, "requests that arrived for one call answered with \(code)")
                }
            }
        },
        Case(testDescription: "a request that a new connection lost is not sent again", needs: .interruptions) {
            fixture in
            let arrived = Arrivals()
            let close = MisbehavingIssuer.Reaction(delay: .zero, step: .close)
            try await fixture.withServer(.handles(arrived.reacting(close))) { transport, scheme, authority in
                expectFailure(await outcome(transport, .post, scheme, authority, Self.timeout), .closed)
                expect(arrived.take().count, 1, "requests that arrived for one call on a new connection")
            }
        },
    ]

    private static let times: [Case] = [
        Case(
            testDescription: "the elapsed time counts from sending the request to the end of the response",
            needs: .interruptions
        ) { fixture in
            let response = MisbehavingIssuer.Reaction.Step.respond(HTTPResponse(status: .ok), [1])
            let late = MisbehavingIssuer.Reaction(delay: .milliseconds(200), step: response)
            try await fixture.withServer(.handles { _, _ in late }) { transport, scheme, authority in
                let start = ContinuousClock.now
                let elapsed = try await outcome(transport, .get, scheme, authority, Self.timeout).get().elapsed
                let whole = start.duration(to: .now)
                if elapsed < .milliseconds(190) || elapsed > whole {
                    Issue.record("expected an elapsed time from 200 ms to the \(whole) of the call, found \(elapsed)")
                }
            }
        },
        Case(testDescription: "a body without end is given up at its ceiling", needs: .interruptions) { fixture in
            let flood = MisbehavingIssuer.Reaction(delay: .zero, step: .flood(HTTPResponse(status: .ok)))
            let options = TransportOptions(timeout: .seconds(10), maximumResponseBytes: 10_000)
            try await fixture.withServer(.handles { _, _ in flood }) { transport, scheme, authority in
                let result = try await ended("a body over its ceiling to end the call", within: .seconds(20)) {
                    await outcome(transport, .get, scheme, authority, options)
                }
                expectFailure(result, .tooLarge)
            }
        },
    ]

    /// A record of the requests that arrived.
    private final class Arrivals: Sendable {
        private let requests = Mutex<[(HTTPRequest, [UInt8])]>([])

        func take() -> [(HTTPRequest, [UInt8])] {
            requests.withLock { requests in
                defer { requests = [] }
                return requests
            }
        }

        func answering(_ code: Int = 200) -> @Sendable (HTTPRequest, [UInt8]) -> MisbehavingIssuer.Reaction {
            let head = HTTPResponse(status: .init(code: code))
            return reacting(MisbehavingIssuer.Reaction(delay: .zero, step: .respond(head, [1])))
        }

        func reacting(
            _ reaction: MisbehavingIssuer.Reaction
        ) -> @Sendable (HTTPRequest, [UInt8]) -> MisbehavingIssuer.Reaction {
            { request, body in
                self.requests.withLock { $0.append((request, body)) }
                return reaction
            }
        }
    }

    // MARK: Responses

    private static let responses: [Case] = [
        Case(testDescription: "repeated header fields keep their order", needs: []) { fixture in
            var head = HTTPResponse(status: .ok)
            for value in ["a=1", "b=2", "a=3"] {
                head.headerFields.append(HTTPField(name: .setCookie, value: value))
            }
            try await send(fixture, .responds(head, body: bytes(3), framing: .length)) { outcome in
                try expect(outcome.get().headerFields[values: .setCookie], ["a=1", "b=2", "a=3"], "Set-Cookie")
            }
        },
        Case(testDescription: "an empty body", needs: []) { fixture in
            for framing in [Framing.length, .chunked] {
                try await send(fixture, .responds(.init(status: .ok), body: [], framing: framing)) { outcome in
                    try expect(outcome.get().body, [], "the body")
                }
            }
        },
        Case(testDescription: "204 has no body", needs: []) { fixture in
            try await send(fixture, .responds(.init(status: .noContent), body: [], framing: .length)) { outcome in
                try expect(outcome.get().status, .noContent, "the status")
                try expect(outcome.get().body, [], "the body")
            }
        },
        Case(testDescription: "every status is a response", needs: []) { fixture in
            for code in [200, 201, 400, 401, 403, 404, 422, 429, 500, 502, 503, 599] {
                let head = HTTPResponse(status: .init(code: code))
                try await send(fixture, .responds(head, body: bytes(5), framing: .length)) { outcome in
                    try expect(outcome.get().status.code, code, "the status")
                    try expect(outcome.get().body, bytes(5), "the body of \(code)")
                }
            }
        },
        Case(testDescription: "a redirect is returned, not followed", needs: []) { fixture in
            for code in [301, 302, 303, 307, 308] {
                let head = HTTPResponse(
                    status: .init(code: code), headerFields: [.location: "http://127.0.0.1:1/elsewhere"])
                try await send(fixture, .responds(head, body: [], framing: .length)) { outcome in
                    try expect(outcome.get().status.code, code, "the status")
                }
            }
        },
        Case(testDescription: "only https is sent, and http to a loopback host", needs: []) { fixture in
            try await fixture.withServer(.neverAnswers) { transport, _, _ in
                // These names cannot exist (RFC 6761), in case a transport looks them up anyway.
                for (scheme, authority) in [
                    ("http", "shop.invalid"), ("http", "127.0.0.1.invalid"), ("http", "localhost.invalid"),
                    ("ftp", "127.0.0.1"), ("file", "localhost"),
                ] {
                    let result = try await ended("\(scheme)://\(authority) to be refused") {
                        await outcome(transport, .get, scheme, authority, TransportOptions(timeout: .seconds(2)))
                    }
                    expectFailure(result, .refusedScheme, "\(scheme)://\(authority)")
                }
            }
        },
    ]

    private static let failures: [Case] = [
        fails("a request that is closed unanswered", needs: .interruptions, .closesUnanswered, with: .closed),
        fails("a body that ends early", needs: .interruptions, .closesMidBody, with: .closed),
        fails("a malformed status line", needs: .interruptions, .isNotHTTP, with: .malformed),
        fails("a refused connection", needs: .refusals, .refusesConnections, with: .connect),
        fails("a name without an address", needs: .resolution, .hasNoAddress, with: .resolve),
        fails("an untrusted certificate", needs: .tls, .presents(.untrusted), with: .trust),
        fails("an expired certificate", needs: .tls, .presents(.expired), with: .trust),
        fails("a certificate for another host", needs: .tls, .presents(.forAnotherHost), with: .trust),
        Case(testDescription: "a trusted certificate", needs: .tls) { fixture in
            try await send(fixture, .presents(.trusted)) { try expect($0.get().status, .ok, "the status") }
        },
    ]

    private static let ceilings = [
        (9, 10), (10, 10), (11, 10), (0, 0), (1, 0), (200_000, 200_000), (200_001, 200_000),
    ].flatMap { size, ceiling in [Framing.length, .chunked].map { body(of: size, ceiling: ceiling, framing: $0) } }

    private static let interruptions =
        ends("resolving", needs: .slowResolution, .neverResolves)
        + ends("connecting", needs: .refusals, .neverConnects)
        + ends("waiting", needs: [], .neverAnswers)
        + ends("receiving the body", needs: .interruptions, .stopsMidBody)
        + ends("a byte of the body comes now and then", needs: .interruptions, .drips)

    private static let all: [Case] = requests + responses + failures + ceilings + codings + times + interruptions
}

extension HTTPTransportContract.Server {
    /// Returns the response of a server that answers at once, for a fixture without sockets.
    /// - Returns: The response, or `nil` if the server sends no complete response.
    public func response(to request: HTTPRequest, body: [UInt8]) -> TransportResponse? {
        switch self {
        case .responds(let head, let body, _): return TransportResponse(head: head, body: body)
        case .handles(let react):
            guard case .respond(let head, let body) = react(request, body).step else { return nil }
            return TransportResponse(head: head, body: body)
        default: return nil
        }
    }
}

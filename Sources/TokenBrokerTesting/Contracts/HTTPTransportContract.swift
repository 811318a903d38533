public import HTTPTypes
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

    static let timeout = TransportOptions(timeout: .seconds(10))
    /// A header field value that no error may repeat.
    static let marker = "a value of the request"

    static func send(
        _ fixture: any HTTPTransportFixture, _ server: Server, method: HTTPRequest.Method = .get,
        options: TransportOptions = timeout, check: (Outcome) throws -> Void
    ) async throws {
        try await fixture.withServer(server) { transport, scheme, authority in
            try check(await outcome(transport, method, scheme, authority, options))
        }
    }

    static func outcome(
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

    static func fails(
        _ description: String, needs: Capabilities, _ server: Server, with code: TransportError.Code,
        options: TransportOptions = timeout
    ) -> Case {
        Case(testDescription: description, needs: needs) { fixture in
            try await send(fixture, server, options: options) { expectFailure($0, code) }
        }
    }

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

public import FoundationEssentials
import HTTPTypes
public import Logging
public import TokenBroker

/// What is there when a transport is built.
public struct TransportContext: Sendable {
    /// For what the part has to say.
    public var logger: Logger
    /// `transport.timeout`: no call is given more time than this.
    public var timeout: Duration
    /// The variables of the process, or what stands in for them in a test. They may hold secrets.
    public var environment: [String: String]

    /// Every parameter has a default, for a test of a plug-in.
    public init(
        logger: Logger? = nil, timeout: Duration = .seconds(10), environment: [String: String] = [:]
    ) {
        self.logger = logger ?? silent
        self.timeout = timeout
        self.environment = environment
    }
}

/// What is there when a source of credentials is built.
public struct CredentialContext: Sendable {
    /// For what the part has to say.
    public var logger: Logger
    /// For sources that ask a server.
    public var transport: any HTTPTransport
    /// The vendor that the credentials are for.
    public var profile: VendorProfile
    /// Whether the client has a secret: not so with `tls_client_auth`, where an id alone is a whole credential.
    public var needsSecret: Bool
    /// Measures how long something is used.
    public var clock: any Clock<Duration>
    /// For absolute times.
    public var wallClock: @Sendable () -> Date
    /// The variables of the process, or what stands in for them in a test. They may hold secrets.
    public var environment: [String: String]

    /// Every parameter has a default, for a test of a plug-in.
    public init(
        logger: Logger? = nil, transport: (any HTTPTransport)? = nil,
        profile: VendorProfile = .alternativePayments, needsSecret: Bool = true,
        clock: any Clock<Duration> = ContinuousClock(), wallClock: @escaping @Sendable () -> Date = { Date() },
        environment: [String: String] = [:]
    ) {
        self.logger = logger ?? silent
        self.transport = transport ?? NoTransport()
        self.profile = profile
        self.needsSecret = needsSecret
        self.clock = clock
        self.wallClock = wallClock
        self.environment = environment
    }
}

/// What is there when a signer of client assertions is built.
public struct AssertionSignerContext: Sendable {
    /// For what the part has to say.
    public var logger: Logger
    /// For those that ask a server, such as a key management service.
    public var transport: any HTTPTransport

    /// Every parameter has a default, for a test of a plug-in.
    public init(logger: Logger? = nil, transport: (any HTTPTransport)? = nil) {
        self.logger = logger ?? silent
        self.transport = transport ?? NoTransport()
    }
}

/// What is there when an authenticator or a policy is built.
public struct AccessContext: Sendable {
    /// For what the part has to say.
    public var logger: Logger
    /// For those that ask a server. Calls with the vendor's `account` keep to its rate limit, others are sent at once.
    public var transport: any HTTPTransport
    /// For those that ask the vendor: access tokens for its API.
    public var accessTokens: any TokenProvider
    /// The vendor at the address that is used.
    public var vendor: Vendor
    /// For a call to the vendor: it is of no use later than the answer has to be given.
    public var timeout: Duration
    /// The variables of the process, or what stands in for them in a test. They may hold secrets.
    public var environment: [String: String]
    /// Measures lifetimes.
    public var clock: any Clock<Duration>
    /// Only for absolute times.
    public var wallClock: @Sendable () -> Date

    /// Every parameter but the vendor has a default, for a test of a plug-in.
    public init(
        vendor: Vendor, logger: Logger? = nil, transport: (any HTTPTransport)? = nil,
        accessTokens: (any TokenProvider)? = nil, timeout: Duration = .seconds(8),
        environment: [String: String] = [:], clock: any Clock<Duration> = ContinuousClock(),
        wallClock: @escaping @Sendable () -> Date = { Date() }
    ) {
        self.logger = logger ?? silent
        self.transport = transport ?? NoTransport()
        self.accessTokens = accessTokens ?? NoTokens()
        self.vendor = vendor
        self.timeout = timeout
        self.environment = environment
        self.clock = clock
        self.wallClock = wallClock
    }
}

// Without content, since the environment may hold secrets.

extension TransportContext: CustomReflectable {
    /// Empty.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

extension CredentialContext: CustomReflectable {
    /// Empty.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

extension AccessContext: CustomReflectable {
    /// Empty.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

/// Of a context that was made without a transport.
private struct NoTransport: HTTPTransport {
    func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        throw TransportError(.other, message: "this context has no transport")
    }
}

/// Of a context that was made without access tokens.
private struct NoTokens: TokenProvider {
    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        throw TokenError(.misconfigured, message: "this context has no access tokens")
    }
}

private let silent = Logger(label: "silent") { _ in SwiftLogNoOpLogHandler() }

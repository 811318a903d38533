public import FoundationEssentials
import HTTPTypes
public import Logging
public import TokenBroker

/// The values from which a plug-in builds a transport.
public struct TransportContext: Sendable {
    /// The logger for the part.
    public var logger: Logger
    /// The longest timeout that a call has, as set by `transport.timeout`.
    public var timeout: Duration
    /// The environment variables of the process, or those of a test. They may hold secrets.
    public var environment: [String: String]

    /// Creates a context. Every parameter has a default, for tests of a plug-in.
    public init(
        logger: Logger? = nil, timeout: Duration = .seconds(10), environment: [String: String] = [:]
    ) {
        self.logger = logger ?? silent
        self.timeout = timeout
        self.environment = environment
    }
}

/// The values from which a plug-in builds a source of credentials.
public struct CredentialContext: Sendable {
    /// The logger for the part.
    public var logger: Logger
    /// The transport for sources that call a server.
    public var transport: any HTTPTransport
    /// The vendor that the credentials are for.
    public var profile: VendorProfile
    /// A Boolean value that indicates whether the client has a secret. With `tls_client_auth` it has none, and an id
    /// alone is a complete credential.
    public var needsSecret: Bool
    /// The clock that measures how long something is used.
    public var clock: any Clock<Duration>
    /// Returns the current date, for absolute times.
    public var wallClock: @Sendable () -> Date
    /// The environment variables of the process, or those of a test. They may hold secrets.
    public var environment: [String: String]

    /// Creates a context. Every parameter has a default, for tests of a plug-in.
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

/// The values from which a plug-in builds a signer of client assertions.
public struct AssertionSignerContext: Sendable {
    /// The logger for the part.
    public var logger: Logger
    /// The transport for signers that call a server, such as a key management service.
    public var transport: any HTTPTransport

    /// Creates a context. Every parameter has a default, for tests of a plug-in.
    public init(logger: Logger? = nil, transport: (any HTTPTransport)? = nil) {
        self.logger = logger ?? silent
        self.transport = transport ?? NoTransport()
    }
}

/// The values from which a plug-in builds a fleet's store.
public struct FleetStoreContext: Sendable {
    /// The logger for the part.
    public var logger: Logger

    /// Creates a context.
    public init(logger: Logger? = nil) { self.logger = logger ?? silent }
}

/// The values from which a plug-in builds an authenticator or a policy.
public struct AccessContext: Sendable {
    /// The logger for the part.
    public var logger: Logger
    /// The transport for parts that call a server. Calls with the vendor's `account` are subject to the vendor's rate
    /// limit; others are sent at once.
    public var transport: any HTTPTransport
    /// The provider of access tokens for the vendor's API, for parts that call the vendor.
    public var accessTokens: any TokenProvider
    /// The vendor, with the address in use.
    public var vendor: Vendor
    /// The timeout of a call to the vendor. A call is of no use after the deadline of the response.
    public var timeout: Duration
    /// The environment variables of the process, or those of a test. They may hold secrets.
    public var environment: [String: String]
    /// The clock that measures lifetimes.
    public var clock: any Clock<Duration>
    /// Returns the current date, for absolute times only.
    public var wallClock: @Sendable () -> Date

    /// Creates a context. Every parameter except the vendor has a default, for tests of a plug-in.
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

// The mirrors are empty because the environment may hold secrets.

extension TransportContext: CustomReflectable {
    /// An empty mirror, which reveals no secret.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

extension CredentialContext: CustomReflectable {
    /// An empty mirror, which reveals no secret.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

extension AccessContext: CustomReflectable {
    /// An empty mirror, which reveals no secret.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

/// The transport of a context that was created without one.
private struct NoTransport: HTTPTransport {
    func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        throw TransportError(.other, message: "this context has no transport")
    }
}

/// The access tokens of a context that was created without any.
private struct NoTokens: TokenProvider {
    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        throw TokenError(.misconfigured, message: "this context has no access tokens")
    }
}

private let silent = Logger(label: "silent") { _ in SwiftLogNoOpLogHandler() }

#if ConfigurationSupport
import Synchronization
public import TokenBroker

/// A broker, built and ready.
///
/// ```swift
/// let broker = try await Composer().compose(try .load("broker.yaml"), logger: logger)
/// router.mount(broker.endpoints)
/// async let stopped: Void = broker.run()
/// ```
///
/// Everything works from the moment it is composed: tokens are fetched when they are asked for. ``run()`` or
/// ``shutdown()`` is there to end it in order: transfers in flight end, connections are closed, threads are gone.
/// A broker that is merely released ends its threads as well, but nobody can wait for that.
public struct Broker: Sendable {
    /// Step 1: access tokens for the vendor's API.
    public let accessTokens: any TokenProvider
    /// Step 2: checkout tokens, for code of your own that hands them out. It asks nobody who they are.
    public let checkoutTokens: any TokenProvider
    /// Where the client id and secret come from, to be asked for ``Vendor/profile``'s id.
    public let credentials: any CredentialSource
    /// The routes, to be mounted on an HTTP server.
    public let endpoints: EndpointSet
    /// The vendor at the address that is used.
    public let vendor: Vendor
    /// The vendor's environment, such as `demo`.
    public let environment: String
    /// What the `server` section says, for whoever runs the server.
    public let server: ServerSettings

    /// The parts of the authenticator and the policy that depend on a server, to be tried before anybody asks.
    public let liveChecks: [any LiveChecking]

    let parts: [any HealthReporting]
    let teardown: Teardown

    /// How each part does, which is what `GET /readyz` tells: both steps, the rate limit if there is one, and the parts
    /// of the authenticator and the policy, such as `access_keys` for keys at a URL. The broker is ready if all of them
    /// are (``TokenBroker/Health/isReady``). Asking costs no call to the vendor.
    public var health: [Health] {
        get async {
            var health: [Health] = []
            for part in parts { health.append(await part.health()) }
            return health
        }
    }

    /// Loads the credentials, so that what is wrong with them is told before the first token is asked for.
    /// - Throws: ``TokenError`` if they cannot be used, or if there are none; then it says where each source looked.
    public func checkCredentials() async throws(TokenError) {
        let id = vendor.account
        let found: [Credential]
        do {
            found = try await credentials.credentials(for: id)
        } catch {
            throw TokenError(.misconfigured, message: "the credentials cannot be used", cause: error)
        }
        guard found.isEmpty else { return }
        var error = TokenError.noCredentials(for: id, in: credentials)
        error.message += "; put them there, or choose other places with credentials.sources"
        throw error
    }

    /// Waits until it is cancelled, ``shutdown()`` is called or, inside a service group, a graceful shutdown
    /// begins; then shuts down. In a service group it stands before the server, since services end in reverse
    /// order.
    public func run() async {
        await waitUntilStopped()
        await shutdown()
    }

    /// Ends all calls to the vendor and lets go of what the parts hold, the last built first. Tokens that are
    /// cached are still handed out. Further calls do nothing.
    public func shutdown() async { await teardown.run() }
}

extension Broker: CustomReflectable {
    /// Without content, since somewhere among the parts there are secrets.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

/// The `server` section of a configuration.
public struct ServerSettings: Sendable, Hashable {
    /// A name or an address; `127.0.0.1` unless configured.
    public var host: String
    /// 8080 unless configured; 0 for any free port.
    public var port: Int
    /// How long requests in flight may take when the server is told to stop; 10 s unless configured.
    public var shutdownTimeout: Duration
    /// How long the head of a request may take to arrive, from the connection or its first byte on; 10 s unless
    /// configured.
    public var headTimeout: Duration
    /// How long a connection is kept open between requests; 75 s unless configured.
    public var idleTimeout: Duration
    /// How large the header fields of a request may be, in bytes, all together; 16 KiB unless configured.
    public var headerBytes: Int
    /// How many connections may be open at once; 2,000 unless configured.
    public var connections: Int
    /// How many of them may be one address's (IPv6: its first 64 bits); a quarter of them unless configured.
    public var connectionsPerAddress: Int
    /// The proxies in front, which may have all of them; none unless configured.
    public var trustedProxies: [IPAddressBlock] = []
}

/// What is to be shut down, in the order in which it was built.
final class Teardown: Sendable {
    private let state = Mutex(State())

    private struct State {
        var parts: [any ShutsDown] = []
        var hasBegun = false
        var waiting: [AsyncStream<Never>.Continuation] = []
    }

    func add(_ part: any Sendable) {
        state.withLock { $0.parts += components(of: part, as: (any ShutsDown).self) }
    }

    func run() async {
        let (parts, waiting) = state.withLock { state in
            defer { state = State(hasBegun: true) }
            return (state.parts, state.waiting)
        }
        for continuation in waiting { continuation.finish() }
        for part in parts.reversed() { await part.shutdown() }
    }

    /// Until ``run()`` is called or the task is cancelled.
    func waitUntilBegun() async {
        // A stream of its own for each caller, since one ends for all when one of them is cancelled.
        let (stream, continuation) = AsyncStream<Never>.makeStream()
        let hasBegun = state.withLock { state in
            state.waiting.append(continuation)
            return state.hasBegun
        }
        if hasBegun { return }
        for await _ in stream {}
    }
}
#endif

#if RedisSupport
public import Logging
import NIOSSL
public import TokenBroker

/// A fleet's store on Redis.
///
/// It is tested with Redis 7.0, alone or with Sentinels; a Redis Cluster is refused. All
/// calls are scripts that the server runs atomically, by its own clock. One connection serves commands, which are
/// pipelined, and one the events of the other processes. A command that is not answered within the timeout closes the
/// connection, and until it is back, every call fails at once.
public struct RedisStore: SharedStore, ShutsDown, LiveChecking {
    /// The name of the part, `fleet`.
    public let part = "fleet"
    /// The account that the part belongs to: the prefix of the keys.
    public var account: String { client.settings.prefix }
    private let client: RedisClient
    private let lifetime: Lifetime

    /// The longest time that a process takes to notice that the server is lost or back.
    public var detection: Duration { .milliseconds(600) + client.settings.timeout }

    private static let scripts = [
        RedisScript.claim, .extend, .land, .turn, .settle, .coolDown, .probe,
    ]

    /// Creates a store, which connects in the background.
    /// - Parameters:
    ///   - configuration: Where the server is, and how to connect to it.
    ///   - logger: Logs when the connection comes and goes.
    public init(configuration: Configuration, logger: Logger? = nil) {
        client = RedisClient(
            configuration, channel: "\(configuration.prefix):1:events", commands: Self.scripts.map(\.name),
            logger: logger)
        lifetime = Lifetime(client)
    }

    /// Stops the client when the last copy of the store is released.
    private final class Lifetime: Sendable {
        private let client: RedisClient
        init(_ client: RedisClient) { self.client = client }
        deinit { client.stop() }
    }

    /// Where a server is, and how to connect to it.
    public struct Configuration: Sendable {
        enum Place: Sendable {
            case server(RedisAddress)
            case sentinels([RedisAddress], primary: String)
        }

        let place: Place
        let tls: NIOSSLContext?
        let allowsPlaintext: Bool
        /// The name of the user (Redis ACL); `nil` for the default user.
        public var username: String?
        /// The password, read at each connection; `nil` for none.
        public var password: SharedSecrets?
        /// The timeout of each command.
        public var timeout: Duration = .milliseconds(100)
        /// The prefix of all keys and of the channel.
        public var prefix = "token-broker"

        /// The settings of TLS.
        public struct TLS: Sendable {
            /// A file with the certificate authorities that are trusted, in PEM form; `nil` for those of the system.
            public var caFile: String?
            /// A file with the client's certificate, in PEM form; `nil` for none.
            public var clientCertificate: String?
            /// A file with the key of the client's certificate; `nil` if it is in the same file.
            public var clientKey: String?

            /// Creates settings.
            /// - Parameters:
            ///   - caFile: A file with the certificate authorities that are trusted.
            ///   - clientCertificate: A file with the client's certificate.
            ///   - clientKey: A file with its key.
            public init(caFile: String? = nil, clientCertificate: String? = nil, clientKey: String? = nil) {
                self.caFile = caFile
                self.clientCertificate = clientCertificate
                self.clientKey = clientKey
            }
        }

        /// Creates a configuration for one server.
        /// - Parameters:
        ///   - url: `rediss://host[:port]`, or `redis://host[:port]` without TLS.
        ///   - tls: The settings of TLS.
        ///   - allowsPlaintext: Whether a server on another machine may be used without TLS.
        /// - Throws: ``Invalid``.
        public init(url: String, tls: TLS = TLS(), allowsPlaintext: Bool = false) throws(Invalid) {
            let (address, usesTLS) = try Self.address(in: url, defaultPort: 6379)
            try self.init(.server(address), [address], usesTLS ? tls : nil, allowsPlaintext)
        }

        /// Creates a configuration for the primary that Sentinels name.
        /// - Parameters:
        ///   - sentinels: The Sentinels, each as `host:port`, `redis://host:port` or, with TLS, `rediss://host:port`.
        ///     The primary uses TLS if they do.
        ///   - primary: The name of the primary.
        ///   - tls: The settings of TLS.
        ///   - allowsPlaintext: Whether servers on other machines may be used without TLS.
        /// - Throws: ``Invalid``.
        public init(
            sentinels: [String], primary: String, tls: TLS = TLS(), allowsPlaintext: Bool = false
        ) throws(Invalid) {
            var addresses: [RedisAddress] = []
            var usesTLS: Set<Bool> = []
            for sentinel in sentinels {
                let url = sentinel.contains("://") ? sentinel : "redis://\(sentinel)"
                let (address, hasTLS) = try Self.address(in: url, defaultPort: 26379)
                addresses.append(address)
                usesTLS.insert(hasTLS)
            }
            guard let hasTLS = usesTLS.first, usesTLS.count == 1 else {
                throw Invalid(reason: "expected Sentinels that all use TLS, or that all do not")
            }
            try self.init(
                .sentinels(addresses, primary: primary), addresses, hasTLS ? tls : nil, allowsPlaintext)
        }

        private init(
            _ place: Place, _ addresses: [RedisAddress], _ tls: TLS?, _ allowsPlaintext: Bool
        ) throws(Invalid) {
            guard tls != nil || allowsPlaintext || addresses.allSatisfy(\.isLoopback) else {
                throw Invalid(
                    reason: "expected rediss:// for a server on another machine; without TLS, set plaintext: true")
            }
            self.place = place
            self.allowsPlaintext = allowsPlaintext
            do {
                self.tls = try tls.map { try NIOSSLContext(configuration: Self.configuration($0)) }
            } catch {
                throw Invalid(reason: "the certificates cannot be used: check caFile, clientCertificate and clientKey")
            }
        }

        private static func configuration(_ tls: TLS) throws -> TLSConfiguration {
            var configuration = TLSConfiguration.makeClientConfiguration()
            configuration.minimumTLSVersion = .tlsv12
            if let file = tls.caFile {
                configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(file))
            }
            if let file = tls.clientCertificate {
                configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(file).map { .certificate($0) }
                configuration.privateKey = .privateKey(
                    try NIOSSLPrivateKey(file: tls.clientKey ?? file, format: .pem))
            }
            return configuration
        }

        /// - Returns: The address, and whether the scheme asks for TLS.
        private static func address(
            in url: String, defaultPort: UInt16
        ) throws(Invalid) -> (RedisAddress, Bool) {
            guard let separator = url.firstRange(of: "://") else {
                throw Invalid(reason: "expected redis://host[:port] or rediss://host[:port], found other text")
            }
            let scheme = url[..<separator.lowerBound].lowercased()
            var rest = url[separator.upperBound...]
            if rest.hasSuffix("/") { rest = rest.dropLast() }
            guard !rest.contains("@") else {
                throw Invalid(reason: "expected a URL without a password, which belongs in passwordFile")
            }
            guard scheme == "redis" || scheme == "rediss", let authority = Authority(rest) else {
                throw Invalid(reason: "expected redis://host[:port] or rediss://host[:port], found other text")
            }
            let host = authority.host.description
            let bare = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
            return (RedisAddress(host: bare, port: Int(authority.port ?? defaultPort)), scheme == "rediss")
        }

        /// An error for a configuration that cannot be used.
        public struct Invalid: SafeToLog, Hashable {
            /// What is wrong.
            public var reason: String
            /// What is wrong. Safe to log.
            public var description: String { reason }
        }
    }

    // MARK: Tokens

    private func keys(_ name: String) -> [String] {
        let key = "\(client.settings.prefix):1:{\(name)}:"
        return ["t", "l", "f"].map { key + $0 }
    }

    /// Asks for the token under a name, or for the lease to fetch one.
    public func claim(_ name: String, _ claim: TokenClaim) async throws(SharedStoreError) -> ClaimAnswer {
        let (reply, session) = try await client.run(
            .claim, keys: keys(name),
            [
                RESPArgument(claim.minimumRemaining.microseconds), RESPArgument(claim.owner),
                RESPArgument(claim.lease.milliseconds), RESPArgument(claim.replacing ?? ""),
                RESPArgument(claim.ignoring ?? ""), RESPArgument(claim.ignoresFailure ? "1" : ""),
                RESPArgument(TokenLanding.dueShare), RESPArgument(client.channel),
            ])
        let parts = reply.array ?? []
        switch parts.first?.string {
        case "T" where parts.count == 4:
            if let entry = parts[1].byteString, let left = parts[2].integer, let tag = parts[3].string {
                return .token(SharedToken(entry: entry, tag: tag, remaining: .microseconds(left)))
            }
        case "F" where parts.count == 3:
            if let entry = parts[1].byteString, let left = parts[2].integer {
                return .failure(SharedFailure(entry: entry, remaining: .milliseconds(left)))
            }
        case "L": return .lead
        case "W" where parts.count == 2:
            if let left = parts[1].integer { return .follow(leaseLeft: .milliseconds(max(0, left))) }
        default: break
        }
        throw unexpected(session)
    }

    /// Extends a lease.
    public func extend(_ name: String, owner: String, lease: Duration) async throws(SharedStoreError) -> Bool {
        let (reply, session) = try await client.run(
            .extend, keys: [keys(name)[1]], [RESPArgument(owner), RESPArgument(lease.milliseconds)])
        guard let held = reply.integer else { throw unexpected(session) }
        return held == 1
    }

    /// Ends a lease with the result of the fetch.
    public func land(
        _ name: String, owner: String, _ landing: TokenLanding?
    ) async throws(SharedStoreError) -> Bool {
        var arguments = [RESPArgument(owner)]
        let event = [RESPArgument(client.channel), RESPArgument(RedisEvent.landed(name))]
        switch landing {
        case .token(let token, let life):
            arguments += ["T"] + event
            arguments += [
                RESPArgument(token.entry), RESPArgument(token.remaining.microseconds),
                RESPArgument(token.remaining.milliseconds), RESPArgument(token.tag), RESPArgument(life.microseconds),
            ]
        case .failure(let failure):
            arguments += ["F"] + event
            arguments += [RESPArgument(failure.entry), "", RESPArgument(failure.remaining.milliseconds)]
        case nil:
            arguments += [""] + event
        }
        let (reply, session) = try await client.run(.land, keys: keys(name), arguments)
        guard let held = reply.integer else { throw unexpected(session) }
        return held == 1
    }

    // MARK: The rate limit

    private func key(_ limit: SharedLimit) -> String { "\(client.settings.prefix):1:{\(limit.name)}:p" }

    /// Asks for a turn.
    public func turn(_ limit: SharedLimit, patience: Duration) async throws(SharedStoreError) -> SharedTurn {
        guard let run = client.current?.run else {
            throw SharedStoreError(.disconnected, message: "there is no connection to Redis")
        }
        let (reply, session) = try await client.run(
            .turn, keys: [key(limit)],
            [
                RESPArgument(limit.calls), RESPArgument(limit.window.microseconds),
                RESPArgument(limit.delay.microseconds), RESPArgument(patience.microseconds), RESPArgument(run),
                RESPArgument(limit.quarantine.microseconds),
            ])
        let parts = reply.array ?? []
        guard parts.count == 2, let number = parts[0].integer, let pause = parts[1].integer, pause >= 0,
            session.run == run
        else { throw unexpected(session) }
        return number < 0 ? .later(.microseconds(pause)) : .start(number: number, after: .microseconds(pause))
    }

    /// Tells when a call was counted.
    public func settle(_ limit: SharedLimit, number: Int, earlier: Duration) async throws(SharedStoreError) {
        _ = try await client.run(
            .settle, keys: [key(limit)],
            [RESPArgument(limit.calls), RESPArgument(number), RESPArgument(earlier.microseconds)])
    }

    /// Stops all calls for a time.
    public func coolDown(_ limit: SharedLimit, for time: Duration) async throws(SharedStoreError) {
        let time = min(max(0, time.microseconds), 300_000_000)
        _ = try await client.run(
            .coolDown, keys: [key(limit)],
            [RESPArgument(time), RESPArgument(client.channel), RESPArgument(RedisEvent.coolDown(limit.name, time))])
    }

    /// Closes the connection, because its server does not answer as agreed.
    private func unexpected(_ session: RedisClient.Session) -> SharedStoreError {
        session.connection.close()
        return SharedStoreError(.refused, message: "Redis answered something unexpected")
    }

    // MARK: The connection

    /// Registers a closure that is called with each event.
    public func observe(_ observer: @escaping @Sendable (SharedStoreEvent) -> Void) { client.observe(observer) }

    /// Returns whether the store is connected. A fleet without its store is never a reason not to be ready.
    public func health() async -> Health {
        Health(part: part, account: account, state: client.current == nil ? .failing : .ok)
    }

    /// What ``check()`` checks.
    public var checked: String { "fleet's Redis" }

    /// Waits for the connection, for at most a few seconds.
    /// - Returns: The server's version.
    public func check() async throws(TokenError) -> String {
        for _ in 0..<60 {
            if let session = client.current { return "connected, version \(session.version)" }
            if client.problem != nil { break }
            try? await Task.sleep(for: .milliseconds(50))
        }
        throw TokenError(
            .unavailable, message: client.problem?.description ?? "no connection was established in time")
    }

    /// Closes the connections, and returns when they are closed.
    public func shutdown() async { await client.shutdown() }
}

extension Duration {
    /// Whole microseconds, rounded down.
    fileprivate var microseconds: Int {
        let (seconds, attoseconds) = components
        return Int(seconds) * 1_000_000 + Int(attoseconds / 1_000_000_000_000)
    }

    /// Whole milliseconds, rounded up, and at least one, since an expiry of zero is an error.
    fileprivate var milliseconds: Int { max(1, (microseconds + 999) / 1000) }
}
#endif

#if RedisSupport
import Logging
import Metrics
import NIOSSL
import Synchronization
import TokenBroker

/// Keeps a connection for commands and one for events to the primary, and tells when they come and go.
///
/// It asks the server for a sign of life every half second, and connects again at the same pace, without backing off,
/// so that all processes of a fleet leave and return at about the same time.
final class RedisClient: Sendable {
    private struct State {
        var session: Session?
        var observers: [@Sendable (SharedStoreEvent) -> Void] = []
        /// Why there is no connection, in this package's own words.
        var problem: RedisProblem?
        var running: Task<Void, Never>?
        var isShutDown = false
    }

    /// A connection that can be used.
    struct Session: Sendable {
        var connection: RedisConnection
        /// The server's version, such as `7.0.15`.
        var version: String
        /// The id of the server's run, which changes when it is restarted.
        var run: String
    }

    private static let pulse = Duration.milliseconds(500)

    let settings: RedisStore.Configuration
    let channel: String
    private let state = Mutex(State())
    /// Held while observers are called, so that they see events in order.
    private let delivery = Mutex(())
    private let logger: Logger?
    private let connected: Meter
    private let commands: [String: RedisCommandMetrics]

    init(_ settings: RedisStore.Configuration, channel: String, commands: [String], logger: Logger?) {
        self.settings = settings
        self.channel = channel
        self.logger = logger
        connected = Meter(.fleetConnected)
        connected.set(0)
        self.commands = Dictionary(uniqueKeysWithValues: commands.map { ($0, RedisCommandMetrics($0)) })
        let running = Task { [weak self] in
            while !Task.isCancelled {
                // The client is not kept alive by its own task while that sleeps.
                guard let session = self?.session else { return }
                await session()
                try? await Task.sleep(for: Self.pulse)
            }
        }
        state.withLock { $0.running = running }
    }

    /// Closes the connections, without waiting for it. Commands then fail. A client that is not stopped is kept alive
    /// by its task.
    func stop() {
        let (running, session) = state.withLock { state in
            state.isShutDown = true
            return (state.running, state.session)
        }
        running?.cancel()
        session?.connection.close()
    }

    /// Closes the connections, and returns when they are closed.
    func shutdown() async {
        stop()
        await state.withLock { $0.running }?.value
    }

    // MARK: Use

    var current: Session? { state.withLock { $0.session } }
    var problem: RedisProblem? { state.withLock { $0.problem } }

    func observe(_ observer: @escaping @Sendable (SharedStoreEvent) -> Void) {
        delivery.withLock { _ in
            let isConnected = state.withLock { state in
                state.observers.append(observer)
                return state.session != nil
            }
            if isConnected { observer(.connected) }
        }
    }

    /// Runs a script, and returns its reply. Any failure but that of the connection itself closes the connection.
    func run(
        _ script: RedisScript, keys: [String], _ arguments: [RESPArgument]
    ) async throws(SharedStoreError) -> (reply: RESPValue, session: Session) {
        guard let session = current else {
            throw SharedStoreError(.disconnected, message: "there is no connection to Redis")
        }
        return (try await run(script, keys: keys, arguments, session), session)
    }

    private func run(
        _ script: RedisScript, keys: [String], _ arguments: [RESPArgument], _ session: Session
    ) async throws(SharedStoreError) -> RESPValue {
        let metrics = commands[script.name]
        let start = ContinuousClock.now
        let rest = [RESPArgument(keys.count)] + keys.map { RESPArgument($0) } + arguments
        do throws(RedisConnection.Failure) {
            let timeout = settings.timeout
            var reply = try await session.connection.send(
                ["EVALSHA", RESPArgument(script.hash)] + rest, timeout: timeout)
            if reply == .error("NOSCRIPT") {
                reply = try await session.connection.send(
                    ["EVAL", RESPArgument(script.source)] + rest, timeout: timeout)
            }
            metrics?.duration.record(duration: start.duration(to: .now))
            if case .error(let code) = reply {
                metrics?.outcomes.increment("refused")
                logger?.warning("Redis refused a command", metadata: ["command": "\(script.name)", "code": "\(code)"])
                session.connection.close()
                throw .closed
            }
            metrics?.outcomes.increment("ok")
            return reply
        } catch {
            switch error {
            case .timedOut:
                metrics?.outcomes.increment("timed_out")
                throw SharedStoreError(.timedOut, message: "Redis did not answer in time")
            case .malformed:
                metrics?.outcomes.increment("refused")
                throw SharedStoreError(.refused, message: "what answers is not Redis")
            case .closed, .tls:
                metrics?.outcomes.increment("disconnected")
                throw SharedStoreError(.disconnected, message: "the connection to Redis was closed")
            }
        }
    }

    // MARK: One session

    private func session() async {
        do throws(RedisProblem) {
            let address = try await primary()
            let session = try await begin(at: address)
            note(session)
            await follow(session, at: address)
            session.connection.close()
            note(RedisProblem("the connection was closed"))
        } catch {
            note(error)
        }
    }

    private func begin(at address: RedisAddress) async throws(RedisProblem) -> Session {
        let connection = try await open(address)
        do throws(RedisProblem) {
            guard case .bytes(let info) = try await ask(connection, ["INFO", "server"]) else {
                throw RedisProblem("the server does not answer INFO as Redis does")
            }
            let fields = Self.fields(in: info)
            guard let version = fields["redis_version"], let runID = fields["run_id"] else {
                throw RedisProblem("the server does not answer INFO as Redis does")
            }
            guard fields["redis_mode"] != "cluster" else {
                throw RedisProblem(
                    "the server belongs to a Redis Cluster, which is not supported; use a single primary")
            }
            let role = try await ask(connection, ["ROLE"]).array?.first?.string
            guard role == "master" else {
                throw RedisProblem("the server is not a primary; name the primary, or use fleet.redis.sentinels")
            }
            let session = Session(connection: connection, version: version, run: runID)
            do throws(SharedStoreError) {
                _ = try await run(
                    .probe, keys: ["\(settings.prefix):1:probe"], [RESPArgument(channel)], session)
            } catch {
                throw RedisProblem(
                    error.code == .timedOut
                        ? "the server did not answer in time"
                        : "the server refuses to write; check its memory limit, its disk and this user's permissions")
            }
            return session
        } catch {
            connection.close()
            throw error
        }
    }

    /// Opens a connection and authenticates.
    private func open(
        _ address: RedisAddress, pushed: (@Sendable ([RESPValue]) -> Void)? = nil
    ) async throws(RedisProblem) -> RedisConnection {
        let connection: RedisConnection
        do {
            connection = try await .connect(
                to: address, tls: settings.tls, timeout: max(settings.timeout, .seconds(1)), pushed: pushed)
        } catch {
            throw RedisProblem(connecting: error)
        }
        do throws(RedisProblem) {
            if let password = settings.password {
                let secret: Secret
                do throws(CredentialError) {
                    guard let first = try password.load().first else { return connection }
                    secret = first
                } catch {
                    throw RedisProblem("the password cannot be used: \(error)")
                }
                let user = settings.username.map { [RESPArgument($0)] } ?? []
                _ = try await ask(connection, ["AUTH"] + user + [RESPArgument(secret.reveal())])
            }
            return connection
        } catch {
            connection.close()
            throw error
        }
    }

    /// Sends a command of the handshake, which must not be answered with an error.
    private func ask(_ connection: RedisConnection, _ command: [RESPArgument]) async throws(RedisProblem) -> RESPValue {
        let reply: RESPValue
        do throws(RedisConnection.Failure) {
            // Reading a certificate and a password takes its time on a busy machine.
            reply = try await connection.send(command, timeout: max(settings.timeout, .seconds(1)))
        } catch {
            switch error {
            case .timedOut: throw RedisProblem("the server did not answer in time")
            case .closed: throw RedisProblem("the server closed the connection")
            case .malformed: throw RedisProblem("what answers is not Redis")
            case .tls: throw RedisProblem("the TLS connection failed; check the certificates of both sides")
            }
        }
        if case .error(let code) = reply { throw RedisProblem(refusal: code) }
        return reply
    }

    /// Waits until a session has ended: its connection is closed, it shows no sign of life, or the Sentinels name
    /// another primary.
    private func follow(_ session: Session, at address: RedisAddress) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await session.connection.closed() }
            group.addTask { [self] in await watch(session.connection, at: address) }
            group.addTask { [self] in await listen(at: address) }
            await group.next()
            group.cancelAll()
            session.connection.close()
        }
    }

    private func watch(_ connection: RedisConnection, at address: RedisAddress) async {
        var beats = 0
        while (try? await Task.sleep(for: Self.pulse)) != nil {
            guard (try? await connection.send(["PING"], timeout: settings.timeout)) == .text("PONG") else { return }
            beats += 1
            // While no Sentinel answers, the last known primary counts.
            if beats.isMultiple(of: 2), let named = try? await primary(), named != address {
                logger?.notice("the Sentinels name another Redis primary")
                return
            }
        }
    }

    /// Keeps a connection for events. It ends only when it is cancelled: without events, everything only takes longer.
    private func listen(at address: RedisAddress) async {
        while !Task.isCancelled {
            let received: @Sendable ([RESPValue]) -> Void = { [weak self] in self?.received($0) }
            if let connection = try? await open(address, pushed: received) {
                if (try? await ask(connection, ["SUBSCRIBE", RESPArgument(channel)])) != nil {
                    while (try? await Task.sleep(for: Self.pulse)) != nil,
                        (try? await connection.send(["PING"], timeout: settings.timeout)) != nil
                    {}
                }
                connection.close()
            }
            try? await Task.sleep(for: Self.pulse)
        }
    }

    private func received(_ message: [RESPValue]) {
        guard message.count == 3, let text = message.last?.string, let event = RedisEvent.event(in: text) else {
            return
        }
        deliver(event)
    }

    // MARK: Sentinel

    /// Returns the address of the primary, from the configuration or from the first Sentinel that knows it.
    private func primary() async throws(RedisProblem) -> RedisAddress {
        switch settings.place {
        case .server(let address): return address
        case .sentinels(let sentinels, let name):
            var problem = RedisProblem("no Sentinel is configured")
            for sentinel in sentinels {
                do throws(RedisProblem) {
                    return try await primary(named: name, by: sentinel)
                } catch {
                    problem = RedisProblem("no Sentinel names the primary: \(error.description)")
                }
            }
            throw problem
        }
    }

    private func primary(named name: String, by sentinel: RedisAddress) async throws(RedisProblem) -> RedisAddress {
        let connection: RedisConnection
        do {
            connection = try await .connect(
                to: sentinel, tls: settings.tls, timeout: max(settings.timeout, .seconds(1)))
        } catch {
            throw RedisProblem(connecting: error)
        }
        defer { connection.close() }
        let reply = try await ask(connection, ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", RESPArgument(name)])
        guard let parts = reply.array, parts.count == 2, let host = parts[0].string,
            let port = parts[1].string.flatMap({ UInt16($0) })
        else { throw RedisProblem("it knows no primary of this name; check fleet.redis.primary") }
        let address = RedisAddress(host: host, port: Int(port))
        guard settings.tls != nil || settings.allowsPlaintext || address.isLoopback else {
            throw RedisProblem("the primary is not on this machine, and the connection would be in plain text")
        }
        return address
    }

    // MARK: State

    private func note(_ session: Session) {
        let isWanted = state.withLock { state in
            guard !state.isShutDown else { return false }
            (state.session, state.problem) = (session, nil)
            return true
        }
        guard isWanted else { return session.connection.close() }
        connected.set(1)
        logger?.notice("connected to the fleet's Redis", metadata: ["version": "\(session.version)"])
        deliver(.connected)
    }

    private func note(_ problem: RedisProblem) {
        let (wasConnected, isNew) = state.withLock { state in
            defer { (state.session, state.problem) = (nil, problem) }
            return (state.session != nil, state.problem != problem && !state.isShutDown)
        }
        connected.set(0)
        if isNew {
            logger?.warning(
                "the fleet's Redis cannot be used; each process fetches its own tokens",
                metadata: ["error": "\(problem.description)"])
        }
        if wasConnected { deliver(.disconnected) }
    }

    private func deliver(_ event: SharedStoreEvent) {
        delivery.withLock { _ in
            let observers = state.withLock { $0.observers }
            for observer in observers { observer(event) }
        }
    }

    private static func fields(in info: [UInt8]) -> [String: String] {
        var fields: [String: String] = [:]
        for line in String(decoding: info, as: UTF8.self).split(whereSeparator: \.isNewline) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            fields[String(line[..<colon])] = String(line[line.index(after: colon)...].prefix(64))
        }
        return fields
    }
}

/// The metrics of one command.
struct RedisCommandMetrics: Sendable {
    let outcomes: LabelledCounter
    let duration: Timer

    init(_ name: String) {
        outcomes = LabelledCounter(.fleetCommands, [("command", name)])
        duration = Timer(.fleetCommandDuration, [("command", name)])
    }
}

/// Why Redis cannot be used, in this package's own words.
struct RedisProblem: SafeToLog, Hashable {
    var description: String
    init(_ description: String) { self.description = description }

    /// - Parameter code: The first word of an error reply.
    init(refusal code: String) {
        let text =
            switch code {
            case "WRONGPASS": "the server refuses the name or the password (WRONGPASS)"
            case "NOAUTH": "the server expects a password (NOAUTH); set fleet.redis.passwordFile"
            case "NOPERM": "this user lacks a permission (NOPERM); see the documentation for the commands it needs"
            case "LOADING": "the server is still loading its data (LOADING)"
            default: "the server refuses a command of the handshake (\(code))"
            }
        self.init(text)
    }

    init(connecting error: any Error) {
        let text =
            switch error {
            case is NIOSSLError, is NIOSSLExtraError, is BoringSSLError:
                "the TLS connection failed; check the certificates of both sides"
            default: "no connection was established"
            }
        self.init(text)
    }
}

/// What the processes tell each other.
enum RedisEvent {
    static func landed(_ name: String) -> String { "+" + name }
    static func coolDown(_ limit: String, _ time: Int) -> String { "!\(time) \(limit)" }

    static func event(in text: String) -> SharedStoreEvent? {
        guard text.utf8.count <= 512 else { return nil }
        let rest = text.dropFirst()
        switch text.first {
        case "+": return .landed(name: String(rest))
        case "-": return .revoked(tag: String(rest))
        case "!":
            let parts = rest.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, let time = parts.first.flatMap({ Int($0) }), 0...300_000_000 ~= time,
                let limit = parts.last
            else { return nil }
            return .coolDown(limit: String(limit), time: .microseconds(time))
        default: return nil
        }
    }
}
#endif

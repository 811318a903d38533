#if CommandLineSupport
import Hummingbird
import Logging
import NIOCore
import NIOHTTPTypes
import ServiceLifecycle
import Synchronization
import TokenBroker
import TokenBrokerHummingbird

/// An HTTP server for an ``EndpointSet``, run until it is shut down gracefully.
struct HTTPService: Service {
    private let application: Application<RouterResponder<BrokerRequestContext>>
    private let ports: AsyncStream<Int>
    private let place: String

    /// What a client may take of the server.
    struct Limits {
        var headDeadline: Duration = .seconds(10)
        var idleTimeout: Duration = .seconds(75)
        var headerBytes = 16_384
        var connections = 2_000
        /// Of one address.
        var connectionsPerAddress = Int.max
        /// May have all of them.
        var trustedProxies: [IPAddressBlock] = []
    }

    /// - Parameter port: 0 for any free one.
    init(_ endpoints: EndpointSet, host: String, port: Int, limits: Limits = Limits(), logger: Logger) {
        let (ports, found) = AsyncStream.makeStream(of: Int.self)
        let router = Router(context: BrokerRequestContext.self)
        router.mount(endpoints)
        self.ports = ports
        self.place = "\(host):\(port)"
        let headDeadline = TimeAmount(limits.headDeadline)
        let shares = ConnectionShares(limits, logger)
        self.application = Application(
            router: router,
            server: .http1(
                configuration: .init(
                    additionalChannelHandlers: [ShareOfConnections(shares), RequestHeadDeadline(headDeadline)],
                    idleTimeout: TimeAmount(limits.idleTimeout),
                    httpDecoderConfiguration: .init(
                        maxHeaderFieldSize: limits.headerBytes, maxHeaderListSize: limits.headerBytes,
                        maxHeaderFieldCount: 100
                    )
                )
            ),
            configuration: ApplicationConfiguration(
                address: .hostname(host, port: port),
                availableConnectionsDelegate: .maximum(limits.connections, logger: logger)
            ),
            onServerRunning: { channel in
                if let port = channel.localAddress?.port { found.yield(port) }
                found.finish()
            },
            logger: logger
        )
    }

    /// Waits until it listens; `nil` if it was shut down before. To be asked once.
    func port() async -> Int? {
        for await port in ports { return port }
        return nil
    }

    func run() async throws {
        do {
            try await application.run()
        } catch {
            throw Failure.cannotListen("cannot listen on \(place): \(error)")
        }
    }
}

/// How many connections each address has, so that none can keep all others out.
private final class ConnectionShares: Sendable {
    private let limit: Int
    private let trustedProxies: [IPAddressBlock]
    private let logger: Logger
    // Never more entries than there are connections.
    private let counts = Mutex<[AddressKey: Int]>([:])
    private let hasWarned = Atomic(false)

    init(_ limits: HTTPService.Limits, _ logger: Logger) {
        limit = limits.connectionsPerAddress
        trustedProxies = limits.trustedProxies
        self.logger = logger
    }

    /// Whose share a connection is taken from; `nil` for a trusted proxy, and for a Unix-domain socket.
    func owner(of address: SocketAddress?) -> AddressKey? {
        guard let text = address?.ipAddress else { return nil }
        let address = IPAddress(text)
        if let address, trustedProxies.contains(where: { $0.contains(address) }) { return nil }
        return AddressKey(address)
    }

    /// Whether there is room for another one. If so, ``leave(_:)`` has to follow.
    func enter(_ owner: AddressKey) -> Bool {
        let hasRoom = counts.withLock { counts in
            guard counts[owner, default: 0] < limit else { return false }
            counts[owner, default: 0] += 1
            return true
        }
        if !hasRoom, !hasWarned.exchange(true, ordering: .relaxed) {
            logger.warning(
                "an address has as many connections as one may have; if it is a proxy's, list it in server.trustedProxies"
            )
        }
        return hasRoom
    }

    func leave(_ owner: AddressKey) {
        counts.withLock { counts in
            let left = counts[owner, default: 0] - 1
            counts[owner] = left > 0 ? left : nil
        }
    }
}

/// Closes a connection of an address that has its share already, before anything is read from it.
private final class ShareOfConnections: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart

    private let shares: ConnectionShares
    private var owner: AddressKey?

    init(_ shares: ConnectionShares) { self.shares = shares }

    func channelActive(context: ChannelHandlerContext) {
        if let owner = shares.owner(of: context.remoteAddress) {
            guard shares.enter(owner) else { return context.close(promise: nil) }
            self.owner = owner
        }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        leave()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { leave() }

    private func leave() {
        if let owner { shares.leave(owner) }
        owner = nil
    }
}

/// Closes a connection when the head of a request takes too long to arrive, counted from the beginning of the connection or from
/// the first byte of a later request. Pauses between requests are not its business, and neither are bodies.
private final class RequestHeadDeadline: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart

    private let deadline: TimeAmount
    private var alarm: Scheduled<Void>?
    private var isReadingBody = false

    init(_ deadline: TimeAmount) { self.deadline = deadline }

    func handlerAdded(context: ChannelHandlerContext) {
        // The parts that are decoded do not tell when the first byte comes.
        let firstBytes = FirstBytes { [weak self] in self?.start(context) }
        do {
            try context.pipeline.syncOperations.addHandler(firstBytes, position: .first)
        } catch {
            context.close(promise: nil)
        }
        if context.channel.isActive { start(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        start(context)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            stop()
            isReadingBody = true
        case .body: break
        case .end: isReadingBody = false
        }
        context.fireChannelRead(data)
    }

    func handlerRemoved(context: ChannelHandlerContext) { stop() }

    private func start(_ context: ChannelHandlerContext) {
        guard alarm == nil, !isReadingBody else { return }
        alarm = context.eventLoop.assumeIsolated().scheduleTask(in: deadline) { context.close(promise: nil) }
    }

    private func stop() {
        alarm?.cancel()
        alarm = nil
    }

    /// Tells of each read, before it is decoded.
    private final class FirstBytes: ChannelInboundHandler, RemovableChannelHandler {
        typealias InboundIn = ByteBuffer
        private let tell: () -> Void

        init(_ tell: @escaping () -> Void) { self.tell = tell }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            tell()
            context.fireChannelRead(data)
        }
    }
}
#endif

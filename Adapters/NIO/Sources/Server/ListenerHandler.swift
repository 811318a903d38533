#if NIOSupport
import Logging
import Metrics
import NIOCore
import TokenBroker

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Accepts connections within the limits, in total and per address, and keeps track of those that are open.
final class ListenerHandler: ChannelInboundHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel

    private let limits: HTTPServer.Limits
    private let meter: Meter?
    private let logger: Logger
    private var open: [ObjectIdentifier: any Channel] = [:] {
        didSet { meter?.set(open.count) }
    }
    private var counts: [AddressKey: Int] = [:]
    private var isPaused = false
    private var isEnding = false
    private var ended: [EventLoopPromise<Void>] = []
    // Each of these is logged once, because clients can keep the condition going for as long as they like.
    private var hasWarnedOfShare = false
    private var hasWarnedOfNumber = false
    private var hasWarnedOfDescriptors = false

    init(_ limits: HTTPServer.Limits, _ meter: Meter?, _ logger: Logger) {
        self.limits = limits
        self.meter = meter
        meter?.set(0)
        self.logger = logger
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let connection = unwrapInboundIn(data)
        let owner = owner(of: connection.remoteAddress)
        if let owner {
            guard counts[owner, default: 0] < limits.connectionsPerAddress else {
                warnOfShare()
                return connection.close(promise: nil)
            }
            counts[owner, default: 0] += 1
        }
        open[ObjectIdentifier(connection)] = connection
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        connection.closeFuture.hop(to: context.eventLoop).whenComplete { _ in
            let (handler, context) = bound.value
            handler.leave(connection, owner, context)
        }
        if open.count >= limits.connections {
            pause(context)
            warnOfNumber()
        }
        context.fireChannelRead(data)
        // This runs after the initialization of the connection on its loop.
        if isEnding { quiesce(connection) }
    }

    private func leave(_ connection: any Channel, _ owner: AddressKey?, _ context: ChannelHandlerContext) {
        open[ObjectIdentifier(connection)] = nil
        if let owner {
            let left = counts[owner, default: 0] - 1
            counts[owner] = left > 0 ? left : nil
        }
        if open.count < limits.connections { resume(context) }
        endIfEmpty()
    }

    /// The address whose share a connection counts against; `nil` for a trusted proxy and for a Unix-domain socket.
    private func owner(of address: SocketAddress?) -> AddressKey? {
        guard let text = address?.ipAddress else { return nil }
        let address = IPAddress(text)
        if let address, limits.trustedProxies.contains(where: { $0.contains(address) }) { return nil }
        return AddressKey(address)
    }

    // MARK: Limits

    /// Pauses if the system has no descriptor or memory for another connection. Without a pause, the same error would
    /// follow at once.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let code = (error as? IOError)?.errnoCode, [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(code) else {
            return context.fireErrorCaught(error)
        }
        if !hasWarnedOfDescriptors {
            hasWarnedOfDescriptors = true
            logger.warning("the system has no descriptor or memory for another connection; trying again every second")
        }
        pause(context)
        context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(1)) { [weak self] in self?.resume(context) }
    }

    private func pause(_ context: ChannelHandlerContext) {
        isPaused = true
        setReading(false, context)
    }

    private func resume(_ context: ChannelHandlerContext) {
        guard isPaused, !isEnding, open.count < limits.connections else { return }
        isPaused = false
        setReading(true, context)
    }

    private func setReading(_ isOn: Bool, _ context: ChannelHandlerContext) {
        do {
            try context.channel.syncOptions?.setOption(.autoRead, value: isOn)
        } catch {
            // The channel is closed.
        }
    }

    private func warnOfShare() {
        guard !hasWarnedOfShare else { return }
        hasWarnedOfShare = true
        logger.warning(
            "an address has reached its connection limit; if it belongs to a proxy, list it in server.trustedProxies"
        )
    }

    private func warnOfNumber() {
        guard !hasWarnedOfNumber else { return }
        hasWarnedOfNumber = true
        logger.warning(
            "the connection limit has been reached; further connections wait until one closes",
            metadata: ["connections": .stringConvertible(limits.connections)]
        )
    }

    // MARK: Shutdown

    /// Makes each connection end after its current response. This includes connections that are still to be accepted.
    func quiesce() {
        isEnding = true
        for connection in open.values { quiesce(connection) }
    }

    private func quiesce(_ connection: any Channel) {
        connection.eventLoop.execute {
            connection.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
    }

    /// Completes `promise` when all connections have ended.
    func wait(_ promise: EventLoopPromise<Void>) {
        ended.append(promise)
        endIfEmpty()
    }

    /// Closes all connections, even with requests in progress.
    func closeAll() {
        for connection in open.values { connection.close(promise: nil) }
    }

    private func endIfEmpty() {
        guard isEnding, open.isEmpty else { return }
        for promise in ended { promise.succeed() }
        ended = []
    }
}
#endif

#if RedisSupport
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import TokenBroker

/// One connection to a Redis server. Commands are pipelined, and each has a timeout. A command that times out closes
/// the connection, since its reply would otherwise be taken for that of the next command.
struct RedisConnection: Sendable {
    private let channel: any Channel
    private let end: End

    /// The reason why a command has no reply.
    enum Failure: Error {
        case timedOut, closed, malformed
        /// The TLS handshake failed.
        case tls

        init(_ error: any Error) {
            switch error {
            case let failure as Failure: self = failure
            case is NIOSSLError, is NIOSSLExtraError, is BoringSSLError: self = .tls
            default: self = .closed
            }
        }
    }

    /// Why a connection ended.
    final class End: Sendable {
        let failure = Mutex(Failure.closed)
    }

    /// Connects to a server.
    /// - Parameters:
    ///   - tls: The settings of TLS; `nil` for a connection in plain text.
    ///   - timeout: The timeout of the connection attempt.
    ///   - pushed: Called with what the server sends unasked: the messages of a subscription.
    static func connect(
        to address: RedisAddress, tls: NIOSSLContext?, timeout: Duration,
        pushed: (@Sendable ([RESPValue]) -> Void)? = nil
    ) async throws -> RedisConnection {
        let end = End()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(TimeAmount(timeout))
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        // A name is verified, and sent to the server. An address is verified against the peer's.
                        let handler = try NIOSSLClientHandler(
                            context: tls, serverHostname: address.isName ? address.host : nil)
                        try channel.pipeline.syncOperations.addHandler(handler)
                    }
                    try channel.pipeline.syncOperations.addHandler(RedisHandler(pushed: pushed, end))
                }
            }
            .connect(host: address.host, port: address.port).get()
        return RedisConnection(channel: channel, end: end)
    }

    /// Sends a command, and returns its reply, which may be an error.
    /// - Throws: ``Failure``.
    func send(_ command: [RESPArgument], timeout: Duration) async throws(Failure) -> RESPValue {
        let promise = channel.eventLoop.makePromise(of: RESPValue.self)
        let call = RedisCall(bytes: encoded(command), timeout: TimeAmount(timeout), promise: promise)
        channel.writeAndFlush(call).cascadeFailure(to: promise)
        do {
            return try await promise.futureResult.get()
        } catch {
            // A command that was written after the end says why the connection ended.
            let failure = Failure(error)
            throw failure == .closed ? end.failure.withLock { $0 } : failure
        }
    }

    private func encoded(_ command: [RESPArgument]) -> ByteBuffer {
        var buffer = channel.allocator.buffer(capacity: 256)
        buffer.writeString("*\(command.count)\r\n")
        for argument in command {
            buffer.writeString("$\(argument.bytes.count)\r\n")
            buffer.writeBytes(argument.bytes)
            buffer.writeString("\r\n")
        }
        return buffer
    }

    func close() { channel.close(promise: nil) }

    /// Waits until the connection is closed.
    func closed() async { try? await channel.closeFuture.get() }
}

/// The address of a server.
struct RedisAddress: Sendable, Hashable {
    /// A name, or an IP address without brackets.
    var host: String
    var port: Int

    /// Whether the host is a name.
    var isName: Bool { IPAddress(host) == nil }
    var isLoopback: Bool { Host(bare: host)?.isLoopback ?? false }
}

/// One argument of a command.
struct RESPArgument: Sendable, ExpressibleByStringLiteral {
    var bytes: [UInt8]
    init(_ bytes: [UInt8]) { self.bytes = bytes }
    init(_ text: String) { bytes = Array(text.utf8) }
    init(_ number: Int) { self.init("\(number)") }
    init(stringLiteral text: String) { self.init(text) }
}

/// A command on its way through the pipeline.
struct RedisCall: Sendable {
    var bytes: ByteBuffer
    var timeout: TimeAmount
    var promise: EventLoopPromise<RESPValue>
}

/// Matches replies with commands, in their order.
final class RedisHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = RedisCall
    typealias OutboundOut = ByteBuffer

    private struct Pending {
        var promise: EventLoopPromise<RESPValue>
        var deadline: NIODeadline
    }

    private var parser = RESPParser()
    private var pending = CircularBuffer<Pending>()
    private let pushed: (@Sendable ([RESPValue]) -> Void)?
    private var alarm: Scheduled<Void>?
    private let reason: RedisConnection.End

    init(pushed: (@Sendable ([RESPValue]) -> Void)?, _ reason: RedisConnection.End) {
        self.pushed = pushed
        self.reason = reason
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let call = unwrapOutboundIn(data)
        pending.append(Pending(promise: call.promise, deadline: .now() + call.timeout))
        context.write(wrapOutboundOut(call.bytes), promise: promise)
        if alarm == nil { watch(context) }
    }

    /// Sets the alarm for the oldest command. All commands of a connection have about the same timeout.
    private func watch(_ context: ChannelHandlerContext) {
        guard let first = pending.first else { return }
        alarm = context.eventLoop.assumeIsolated().scheduleTask(deadline: first.deadline) { [weak self] in
            self?.ring(context, first.deadline)
        }
    }

    private func ring(_ context: ChannelHandlerContext, _ deadline: NIODeadline) {
        alarm = nil
        guard let first = pending.first else { return }
        let now = NIODeadline.now()
        guard first.deadline <= now else { return watch(context) }
        // If this loop was late, the reply may have arrived without having been read.
        let lateness = max(now - deadline, .milliseconds(1))
        alarm = context.eventLoop.assumeIsolated().scheduleTask(in: min(lateness, .seconds(1))) { [weak self] in
            guard let self else { return }
            alarm = nil
            guard let first = pending.first, first.deadline <= now else { return watch(context) }
            fail(context, .timedOut)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        parser.append(&bytes)
        do throws(RESPParser.Malformed) {
            while let reply = try parser.next() { received(reply, context) }
        } catch {
            fail(context, .malformed)
        }
    }

    private func received(_ reply: RESPValue, _ context: ChannelHandlerContext) {
        if let pushed, let parts = reply.array, parts.first?.string == "message" { return pushed(parts) }
        guard let first = pending.popFirst() else { return fail(context, .malformed) }
        first.promise.succeed(reply)
    }

    private func fail(_ context: ChannelHandlerContext, _ failure: RedisConnection.Failure) {
        reason.failure.withLock { $0 = failure }
        end()
        context.close(promise: nil)
    }

    private func end() {
        let failed = pending
        pending = []
        let failure = reason.failure.withLock { $0 }
        for command in failed { command.promise.fail(failure) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        alarm?.cancel()
        end()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(context, RedisConnection.Failure(error))
    }
}

extension TimeAmount {
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self = .nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }
}
#endif

#if NIOSupport
import NIOCore
import NIOHTTP1

/// The connection part of the server. Closes a connection whose client is idle or sends too slowly.
///
/// It precedes the decoder in the pipeline. The head of a request must arrive within `headTimeout`, measured from the
/// start of the connection or from the first byte of a later request. Between requests, a connection may be idle for
/// `idleTimeout`. While a request is in progress, the endpoint is responsible for timeouts, and ``EndpointSetHandler``
/// for a client that does not read.
final class ConnectionHandler: ChannelInboundHandler, ExchangeObserver {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let limits: HTTPServer.Limits
    private var state = State.head
    private var deadline: NIODeadline?
    /// When ``alarm`` fires, which is never later than the deadline. It is not rescheduled for each request.
    private var alarmTime = NIODeadline.distantFuture
    private var alarm: Scheduled<Void>?
    private var context: ChannelHandlerContext?
    private var decoder: ByteToMessageHandler<HTTPRequestDecoder>

    private enum State {
        case idle, head, exchange
    }

    init(_ limits: HTTPServer.Limits) {
        self.limits = limits
        decoder = Self.makeDecoder(limits)
    }

    private static func makeDecoder(_ limits: HTTPServer.Limits) -> ByteToMessageHandler<HTTPRequestDecoder> {
        var configuration = NIOHTTPDecoderLimitConfiguration()
        configuration.maxHeaderFieldSize = limits.headerBytes
        configuration.maxHeaderListSize = limits.headerBytes
        configuration.maxHeaderFieldCount = 100
        return ByteToMessageHandler(
            HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: configuration),
            maximumBufferSize: max(32_768, 2 * limits.headerBytes)
        )
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        do {
            try context.pipeline.syncOperations.addHandler(decoder, position: .after(self))
        } catch {
            context.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        alarm?.cancel()
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        wait(for: limits.headTimeout)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.fireChannelRead(data)
        // The bytes did not complete a head.
        if state == .idle {
            state = .head
            wait(for: limits.headTimeout)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        alarm?.cancel()
        context.fireChannelInactive()
    }

    private func wait(for time: Duration) {
        guard let context else { return }
        let deadline = NIODeadline.now() + TimeAmount(time)
        self.deadline = deadline
        if deadline < alarmTime { setAlarm(deadline, context) }
    }

    private func setAlarm(_ time: NIODeadline, _ context: ChannelHandlerContext) {
        alarm?.cancel()
        alarmTime = time
        alarm = context.eventLoop.assumeIsolated().scheduleTask(deadline: time) { [weak self] in self?.ring() }
    }

    private func ring() {
        alarmTime = .distantFuture
        guard let context, let deadline else { return }
        if deadline <= .now() { context.close(promise: nil) } else { setAlarm(deadline, context) }
    }

    // MARK: Exchanges

    func exchangeBegan() {
        state = .exchange
        deadline = nil
    }

    func exchangeEnded() {
        state = .idle
        wait(for: limits.idleTimeout)
    }

    func canContinueDecoding(after head: HTTPRequestHead) -> Bool { head.method != .CONNECT }

    /// Replaces the decoder. One that has seen an upgrade request reads nothing after it, so the bytes that it holds go
    /// to a new one.
    func continueDecoding() {
        guard let pipeline = context?.pipeline.syncOperations else { return }
        let next = Self.makeDecoder(limits)
        do {
            try pipeline.addHandler(next, position: .after(decoder))
            pipeline.removeHandler(decoder, promise: nil)
            decoder = next
        } catch {
            context?.close(promise: nil)
        }
    }
}
#endif

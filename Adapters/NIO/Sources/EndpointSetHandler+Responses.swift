#if NIOSupport
import HTTPTypes
public import NIOCore
import NIOHTTP1
import TokenBroker

/// Writing responses, and clients that do not read them.
extension EndpointSetHandler {
    // MARK: Responses

    func write(_ answer: EndpointResponse, _ context: ChannelHandlerContext) {
        // The connection may have ended in the meantime.
        guard case .answering(let answering) = exchange else { return }
        let request = answering.head
        let keepsAlive =
            request.isKeepAlive && !isQuiescing && !isInputClosed && answering.hasRequestEnded
            && (!request.stopsDecoder || connection?.canContinueDecoding(after: request) == true)
        let answer = answer.framed(for: request.method == .HEAD ? .head : .get)
        var head = HTTPResponseHead(answer.head, version: isHTTP1 ? .http1_1 : request.version)
        if !head.headers.contains(name: "date") { head.headers.add(name: "date", value: ResponseDate.current) }
        if isHTTP1, !keepsAlive {
            head.headers.replaceOrAdd(name: "connection", value: "close")
        } else if request.version == .http1_0 {
            head.headers.replaceOrAdd(name: "connection", value: "keep-alive")
        }
        write(head, answer.body, context)
        guard keepsAlive else {
            // An HTTP/2 stream ends with its response, whatever becomes of the request.
            return isHTTP1 || !answering.hasRequestEnded ? end(context) : endExchange(context)
        }
        if isDecoderStopped {
            connection?.continueDecoding()
            isDecoderStopped = false
        }
        endExchange(context)
    }

    func write(_ head: HTTPResponseHead, _ body: [UInt8], _ context: ChannelHandlerContext) {
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if !body.isEmpty {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: promiseOfSending(context))
    }

    /// Passes on the next handler's responses, and notes where they end.
    public func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard case .passedOn(var request) = exchange else {
            switch exchange {
            case .ending, .lingering: promise?.fail(ChannelError.ioOnClosedChannel)
            default: context.write(data, promise: promise)
            }
            return
        }
        switch unwrapOutboundIn(data) {
        case .head(var head) where head.status.code >= 200:
            request.hasResponseBegun = true
            if isHTTP1, isQuiescing || request.head.stopsDecoder {
                head.headers.replaceOrAdd(name: "connection", value: "close")
                request.isLast = true
            }
            exchange = .passedOn(request)
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .end:
            request.hasResponseEnded = true
            exchange = .passedOn(request)
            let sent = promiseOfSending(context)
            if let promise { sent.futureResult.cascade(to: promise) }
            context.write(data, promise: sent)
            endPassedOn(context)
        case .head, .body:
            context.write(data, promise: promise)
        }
    }

    func endPassedOn(_ context: ChannelHandlerContext) {
        guard case .passedOn(let request) = exchange, request.hasResponseEnded else { return }
        if isHTTP1, request.isLast || isQuiescing {
            end(context)
        } else if request.hasRequestEnded {
            alarm?.cancel()
            endExchange(context)
        } else {
            close(context, in: Self.lingeringTime)
        }
    }

    /// Continues with the next request, after a response has been written.
    func endExchange(_ context: ChannelHandlerContext) {
        exchange = .idle
        endTurn()
        connection?.exchangeEnded()
        if isQuiescing || isInputClosed { return end(context) }
        if !waiting.isEmpty || isReadPending { takeTurnsLater(context) }
    }

    // MARK: Backpressure

    func promiseOfSending(_ context: ChannelHandlerContext) -> EventLoopPromise<Void> {
        unsent += 1
        let sent = context.eventLoop.makePromise(of: Void.self)
        sent.futureResult.assumeIsolated().whenComplete { [self] _ in
            unsent -= 1
            // Deferred, because this is called within a flush whose caller may have more to write.
            if unsent == 0, case .ending = exchange { onLoop(context) { $0.linger($1) } }
        }
        return sent
    }

    /// Continues when the client reads its responses, and closes the connection if the client stalls for too long.
    public func channelWritabilityChanged(context: ChannelHandlerContext) {
        switch exchange {
        case .lingering, .closed: break
        case .passedOn(let request) where request.hasResponseEnded: break
        case .ending: close(context, in: timeToTake)
        case _ where context.channel.isWritable:
            alarm?.cancel()
            takeTurnsLater(context)
        default: close(context, in: writeTimeout)
        }
        context.fireChannelWritabilityChanged()
    }

    /// How long a client may read nothing of the last responses.
    var timeToTake: TimeAmount { isQuiescing ? min(Self.quiescingTime, writeTimeout) : writeTimeout }

    func close(_ context: ChannelHandlerContext, in time: TimeAmount) {
        alarm?.cancel()
        alarm = context.eventLoop.assumeIsolated().scheduleTask(in: time) { [weak self] in self?.close(context) }
    }
}
#endif

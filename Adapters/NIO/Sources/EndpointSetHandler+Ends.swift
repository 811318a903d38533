#if NIOSupport
public import NIOCore
import NIOHTTP1

/// Reading, and how a connection ends.
extension EndpointSetHandler {
    // MARK: Reading

    /// Reads if there is room for more, and otherwise later.
    public func read(context: ChannelHandlerContext) {
        if wantsToRead(context) { context.read() } else { isReadPending = true }
    }

    func readIfPending(_ context: ChannelHandlerContext) {
        guard isReadPending, wantsToRead(context) else { return }
        isReadPending = false
        context.read()
    }

    func wantsToRead(_ context: ChannelHandlerContext) -> Bool {
        switch exchange {
        case .idle, .passedOn, .beginning: waiting.isEmpty && context.channel.isWritable
        case .answering(let answering): waiting.isEmpty && answering.isAskedFor && !answering.hasRequestEnded
        case .lingering: true
        case .ending, .closed: false
        }
    }

    // MARK: Ends

    /// Ends the connection after the responses that are already written.
    func end(_ context: ChannelHandlerContext) {
        if case .answering(let answering) = exchange, !answering.hasRequestEnded { answering.body?.interrupt() }
        exchange = .ending
        endTurn()
        waiting.removeAll()
        if unsent > 0 {
            close(context, in: timeToTake)
        } else {
            onLoop(context) { $0.linger($1) }
        }
    }

    /// Closes the connection once the client has closed it or has sent a little more. If it were closed with unread
    /// data, the client's system could discard the response before the client has read it.
    func linger(_ context: ChannelHandlerContext) {
        guard case .ending = exchange else { return }
        if isInputClosed { return close(context) }
        exchange = .lingering(bytes: Self.lingeringBytes)
        close(context, in: Self.lingeringTime)
        if isHTTP1 {
            let closed = context.eventLoop.makePromise(of: Void.self)
            closed.futureResult.assumeIsolated().whenFailure { [self] _ in close(context) }
            context.close(mode: .output, promise: closed)
        }
        isReadPending = false
        context.read()
    }

    func linger(_ context: ChannelHandlerContext, over count: Int) {
        guard case .lingering(let bytes) = exchange else { return }
        if count > bytes { return close(context) }
        exchange = .lingering(bytes: bytes - count)
    }

    func close(_ context: ChannelHandlerContext) {
        abandon()
        context.close(promise: nil)
    }

    func abandon() {
        cancel()
        exchange = .closed
        endTurn()
        waiting.removeAll()
        alarm?.cancel()
    }

    func cancel() {
        guard case .answering(let answering) = exchange else { return }
        answering.task.cancel()
        if !answering.hasRequestEnded { answering.body?.interrupt() }
    }

    /// Removes the handlers that this one replaces. They would keep requests in order, and respond to malformed ones
    /// before their turn.
    public func handlerAdded(context: ChannelHandlerContext) {
        let pipeline = context.pipeline.syncOperations
        if let handler = try? pipeline.handler(type: HTTPServerPipelineHandler.self) {
            pipeline.removeHandler(handler, promise: nil)
        }
        if let handler = try? pipeline.handler(type: HTTPServerProtocolErrorHandler.self) {
            pipeline.removeHandler(handler, promise: nil)
        }
    }

    /// Cancels the work for a client that has disconnected.
    public func channelInactive(context: ChannelHandlerContext) {
        abandon()
        context.fireChannelInactive()
    }

    /// Cancels the work, and passes on the events that wait.
    public func handlerRemoved(context: ChannelHandlerContext) {
        let waiting = waiting
        abandon()
        guard context.channel.isActive else { return }
        for event in waiting {
            switch event {
            case .part(let part): context.fireChannelRead(wrapInboundOut(part))
            case .malformed(let error): context.fireErrorCaught(error)
            }
        }
        if isReadPending { context.read() }
    }

    /// Ends the connection gracefully when the server shuts down, and cancels the work for a client that has
    /// half-closed the connection.
    public func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is ChannelShouldQuiesceEvent:
            isQuiescing = true
            switch exchange {
            case .idle where unsent > 0: end(context)
            case .idle where isNew: close(context, in: Self.timeForFirst)
            case .idle: close(context)
            case .ending: close(context, in: timeToTake)
            default: break
            }
        case ChannelEvent.inputClosed:
            isInputClosed = true
            cancel()
            switch exchange {
            case .idle where waiting.isEmpty: end(context)
            case .lingering: close(context)
            default: break
            }
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }
}
#endif

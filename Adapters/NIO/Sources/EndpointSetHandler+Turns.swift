#if NIOSupport
public import NIOCore
import NIOHTTP1

/// The order in which events are handled. A connection handles one request at a time, and connections with pipelined
/// requests take turns.
extension EndpointSetHandler {
    /// Handles requests for the endpoints, and passes on all others.
    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        take(.part(unwrapInboundIn(data)), context)
    }

    /// Begins a request whose body did not arrive with its head.
    public func channelReadComplete(context: ChannelHandlerContext) {
        begin(context)
        // A decoder that reads no more buffers what arrives. That cannot be counted here, so each read counts as 32
        // KiB.
        if isDecoderStopped { linger(context, over: 32_768) }
        context.fireChannelReadComplete()
    }

    /// Responds, in turn, to a request that the decoder could not parse.
    public func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch (exchange, error) {
        case (_, ByteToMessageDecoderError.dataReceivedInErrorState(_, let data)):
            linger(context, over: data.readableBytes)
        case (_, is HTTPParserError), (_, is ByteToMessageDecoderError.PayloadTooLargeError):
            take(.malformed(error), context)
        default:
            context.fireErrorCaught(error)
        }
    }

    func take(_ event: Event, _ context: ChannelHandlerContext) {
        if waiting.isEmpty, !isTakingTurns, isTurn(of: event, context) {
            handle(event, context)
        } else {
            waiting.append(event)
        }
    }

    func isTurn(of event: Event, _ context: ChannelHandlerContext) -> Bool {
        switch (exchange, event) {
        // A client that does not read its responses gets no more.
        case (.idle, _): context.channel.isWritable
        case (.ending, _), (.lingering, _), (.closed, _), (.beginning, _): true
        case (.passedOn(let request), .malformed): !request.hasRequestEnded
        case (.answering(let request), .malformed): !request.hasRequestEnded
        case (_, .part(.head)): false
        case (_, .part): true
        }
    }

    /// Handles waiting events whose turn has come.
    ///
    /// Handlers and endpoints that respond at once come back to this loop, rather than to a recursive call, whose depth
    /// a client could choose.
    func takeTurns(_ context: ChannelHandlerContext) {
        guard !isTakingTurns else { return }
        isTakingTurns = true
        var hasPassedOn: Bool
        repeat {
            hasPassedOn = false
            while let event = waiting.first, isTurn(of: event, context), canBegin(event, context) {
                waiting.removeFirst()
                handle(event, context)
                if case .passedOn = exchange { hasPassedOn = true }
            }
            begin(context)
            // Many handlers flush what they wrote only now.
            if hasPassedOn { context.fireChannelReadComplete() }
        } while hasPassedOn
        isTakingTurns = false
        switch exchange {
        case .passedOn, .beginning, .answering: break
        case .idle, .ending, .lingering, .closed: endTurn()
        }
        readIfPending(context)
    }

    /// Returns whether it is a pipelined request's turn, among all connections of the event loop.
    func canBegin(_ event: Event, _ context: ChannelHandlerContext) -> Bool {
        guard case .idle = exchange, case .part(.head) = event else { return true }
        switch turn {
        case .taken: return true
        case .awaited: return false
        case .none: break
        }
        turns = turns ?? .current
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let hasCome = turns?.enter { bound.execute { handler, context in handler.turnHasCome(context) } } == true
        if hasCome { beginTurn(context) } else { turn = .awaited }
        return hasCome
    }

    func turnHasCome(_ context: ChannelHandlerContext) {
        beginTurn(context)
        takeTurns(context)
    }

    func beginTurn(_ context: ChannelHandlerContext) {
        // A slow request must not hold up the others.
        let alarm = context.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(5)) { [self] in endTurn() }
        turn = .taken(alarm)
    }

    func endTurn() {
        guard case .taken(let alarm) = turn else { return }
        turn = .none
        alarm.cancel()
        turns?.leave()
    }

    /// Calls ``takeTurns(_:)`` once the current calls have returned, a flush among them.
    func takeTurnsLater(_ context: ChannelHandlerContext) {
        guard !isTakingTurns else { return }
        onLoop(context) { handler, context in handler.takeTurns(context) }
    }

    func onLoop(
        _ context: ChannelHandlerContext,
        _ body: @escaping @Sendable (EndpointSetHandler, ChannelHandlerContext) -> Void
    ) {
        NIOLoopBound((self, context), eventLoop: context.eventLoop).execute(body)
    }
}
#endif

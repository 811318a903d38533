#if NIOSupport
public import NIOCore
import NIOHTTP1

/// In which order what arrives is handled: one request of a connection at a time, and connections with pipelined requests by turns.
extension EndpointSetHandler {
    /// Takes what is ours, and passes on the rest.
    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        take(.part(unwrapInboundIn(data)), context)
    }

    /// Begins with a request whose body did not arrive with its head.
    public func channelReadComplete(context: ChannelHandlerContext) {
        begin(context)
        // What a decoder keeps that reads no more cannot be counted, and grows.
        if isDecoderStopped { linger(context, over: 32_768) }
        context.fireChannelReadComplete()
    }

    /// Answers what the decoder could not read, in its turn.
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
        // A client that does not take its answers gets no others.
        case (.idle, _): context.channel.isWritable
        case (.ending, _), (.lingering, _), (.closed, _), (.beginning, _): true
        case (.passedOn(let request), .malformed): !request.hasRequestEnded
        case (.answering(let request), .malformed): !request.hasRequestEnded
        case (_, .part(.head)): false
        case (_, .part): true
        }
    }

    /// Handles what waits, as far as its turn has come. Handlers and endpoints that answer at once are met here again
    /// in the loop, and never in a call within a call, which a client could make as deep as it likes.
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
            // Only now does many a handler flush what it wrote.
            if hasPassedOn { context.fireChannelReadComplete() }
        } while hasPassedOn
        isTakingTurns = false
        switch exchange {
        case .passedOn, .beginning, .answering: break
        case .idle, .ending, .lingering, .closed: endTurn()
        }
        readIfPending(context)
    }

    /// Whether a pipelined request has its turn among those of all connections of the event loop.
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
        // One that takes its time must not hold up the others.
        let alarm = context.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(5)) { [self] in endTurn() }
        turn = .taken(alarm)
    }

    func endTurn() {
        guard case .taken(let alarm) = turn else { return }
        turn = .none
        alarm.cancel()
        turns?.leave()
    }

    /// The same once the calls that are under way have returned, a flush among them.
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

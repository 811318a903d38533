#if NIOSupport
import HTTPTypes
public import NIOCore
public import NIOHTTP1
public import TokenBroker

/// Answers the requests that an ``EndpointSet`` knows, and passes on the others to the next handler of the pipeline.
///
/// It speaks `HTTPServerRequestPart`, as HTTP/1.1 pipelines do and HTTP/2 streams behind
/// `HTTP2FramePayloadToHTTP1ServerCodec`:
///
/// ```swift
/// // HTTP/1.1
/// try channel.pipeline.syncOperations.configureHTTPServerPipeline()
/// try channel.pipeline.syncOperations.mount(broker.endpoints)
/// try channel.pipeline.syncOperations.addHandler(MyHandler())
/// // HTTP/2 as well, whatever was negotiated
/// channel.configureCommonHTTPServerPipeline { channel in
///     channel.eventLoop.makeCompletedFuture {
///         try channel.pipeline.syncOperations.addHandlers(EndpointSetHandler(broker.endpoints), MyHandler())
///     }
/// }.flatMapThrowing {
///     // Without it, a connection that broke the rules of HTTP/2 stays open and is read for ever.
///     try channel.pipeline.syncOperations.addHandler(NIOCloseOnErrorHandler())
/// }
/// ```
///
/// One request of a connection is worked on at a time, ours or the next handler's. What arrives in the meantime waits,
/// and no more is read; nor is it while the client does not take its answers. A body is read as the endpoint asks for
/// it, and `Expect: 100-continue` is answered when it does. When the client goes away, or closes its side of the
/// connection, the task that works for it is cancelled.
///
/// Malformed requests are answered here, after the answers to the requests before them, and end the connection. So do
/// requests for the endpoints that RFC 9112 forbids, such as those with two `Host` fields. For this the handler takes
/// the place of `HTTPServerPipelineHandler` and `HTTPServerProtocolErrorHandler`, and removes them from the pipeline.
///
/// A body that the next handler does not want costs nothing if that handler answers before it has arrived: what follows
/// is read for two seconds and up to a mebibyte, and then the connection is closed.
///
/// `ChannelShouldQuiesceEvent` (from `ServerQuiescingHelper`) ends the connection after the answer that is under way,
/// which a client has ten seconds to take. One that had no request yet has a second for it.
///
/// If the next handler upgrades connections, remove this handler as well: name it in the upgrader's
/// `extraHTTPHandlers`.
///
/// How long a connection may be idle or a head may take is the pipeline's to say, for instance with an
/// `IdleStateHandler` and a handler that closes the connection on its event. So are the bodies of the next handler's
/// requests. To bound what a connection can hold in memory, give child channels a `FixedSizeRecvByteBufferAllocator`, a
/// `maxMessagesPerRead` of 1 and a `writeBufferWaterMark`, as `Samples/ExistingNIO` does.
public final class EndpointSetHandler: ChannelDuplexHandler, RemovableChannelHandler {
    /// From the HTTP decoder.
    public typealias InboundIn = HTTPServerRequestPart
    /// What is not ours, unchanged.
    public typealias InboundOut = HTTPServerRequestPart
    /// From the next handler, for its own requests.
    public typealias OutboundIn = HTTPServerResponsePart
    /// To the HTTP encoder.
    public typealias OutboundOut = HTTPServerResponsePart

    /// How much is read, and for how long, of what nobody wants.
    private static let lingeringBytes = 1 << 20
    private static let lingeringTime = TimeAmount.seconds(2)
    /// How long a client may take nothing of the last answers while the server shuts down.
    private static let quiescingTime = TimeAmount.seconds(10)
    /// How long a connection is open that had no request yet, while the server shuts down: its client could not know.
    private static let timeForFirst = TimeAmount.seconds(1)

    private let endpoints: EndpointSet
    private let host: Host
    private let writeTimeout: TimeAmount
    private let connection: (any ExchangeObserver)?

    private var exchange = Exchange.idle
    /// What arrived before its turn.
    private var waiting = CircularBuffer<Event>()
    /// The body of a request that is beginning, as far as it has arrived.
    private var firstBytes = ByteBuffer()
    /// How many answers have been written that the network has not taken.
    private var unsent = 0
    private var isTakingTurns = false
    private var turns: TurnQueue?
    private var turn = Turn.none
    private var isReadPending = false
    private var isQuiescing = false
    /// Whether no request has come.
    private var isNew = true
    private var isInputClosed = false
    private var isHTTP1 = true
    private var isDecoderStopped = false
    /// Closes the connection.
    private var alarm: Scheduled<Void>?
    private var peer: PeerAddress?

    /// Who answers what no endpoint does.
    private enum Host {
        case nextHandler
        /// Nobody: it is not found.
        case none
    }

    /// - Parameters:
    ///   - endpoints: The routes.
    ///   - hostPaths: Paths that the next handler answers although an endpoint would, such as a `/healthz` of its own.
    public init(_ endpoints: EndpointSet, except hostPaths: Set<String> = []) {
        self.endpoints = endpoints.excluding(hostPaths)
        host = .nextHandler
        writeTimeout = .seconds(75)
        connection = nil
    }

    /// For a pipeline in which it is the last handler.
    /// - Parameters:
    ///   - writeTimeout: How long a client may take nothing of what was written for it.
    ///   - connection: Is told when requests begin and end.
    init(_ endpoints: EndpointSet, writeTimeout: TimeAmount, connection: (any ExchangeObserver)?) {
        self.endpoints = endpoints
        host = .none
        self.writeTimeout = writeTimeout
        self.connection = connection
    }

    private enum Event {
        case part(HTTPServerRequestPart)
        /// The decoder can make nothing of what follows.
        case malformed(any Error)
    }

    /// The one request that is worked on.
    private enum Exchange {
        case idle
        /// The next handler's.
        case passedOn(PassedOn)
        /// Ours, and perhaps all of it arrives with the head.
        case beginning(HTTPRequestHead, EndpointMatch?)
        /// Ours, handed to an endpoint.
        case answering(Answering)
        /// The last answer of the connection is written.
        case ending
        /// Nothing more is written, and so many bytes are still read, so that the client sees its answer and not a
        /// reset.
        case lingering(bytes: Int)
        case closed
    }

    /// This connection's place among those with pipelined requests.
    private enum Turn {
        case none, awaited
        case taken(Scheduled<Void>)
    }

    private struct PassedOn {
        let head: HTTPRequestHead
        var hasRequestEnded = false
        var hasResponseBegun = false
        var hasResponseEnded = false
        /// Whether the connection ends with this answer.
        var isLast = false
        /// How much of the request is still read once it is answered.
        var unwantedBytes = EndpointSetHandler.lingeringBytes
    }

    private struct Answering {
        let head: HTTPRequestHead
        let task: Task<Void, Never>
        let body: RequestBodyChunks?
        /// Whether the endpoint waits for more of the body.
        var isAskedFor = false
        var mayContinue = false
        var hasRequestEnded: Bool
    }

    // MARK: Turns

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

    private func take(_ event: Event, _ context: ChannelHandlerContext) {
        if waiting.isEmpty, !isTakingTurns, isTurn(of: event, context) {
            handle(event, context)
        } else {
            waiting.append(event)
        }
    }

    private func isTurn(of event: Event, _ context: ChannelHandlerContext) -> Bool {
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
    private func takeTurns(_ context: ChannelHandlerContext) {
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
    private func canBegin(_ event: Event, _ context: ChannelHandlerContext) -> Bool {
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

    private func turnHasCome(_ context: ChannelHandlerContext) {
        beginTurn(context)
        takeTurns(context)
    }

    private func beginTurn(_ context: ChannelHandlerContext) {
        // One that takes its time must not hold up the others.
        let alarm = context.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(5)) { [self] in endTurn() }
        turn = .taken(alarm)
    }

    private func endTurn() {
        guard case .taken(let alarm) = turn else { return }
        turn = .none
        alarm.cancel()
        turns?.leave()
    }

    /// The same once the calls that are under way have returned, a flush among them.
    private func takeTurnsLater(_ context: ChannelHandlerContext) {
        guard !isTakingTurns else { return }
        onLoop(context) { handler, context in handler.takeTurns(context) }
    }

    private func onLoop(
        _ context: ChannelHandlerContext,
        _ body: @escaping @Sendable (EndpointSetHandler, ChannelHandlerContext) -> Void
    ) {
        NIOLoopBound((self, context), eventLoop: context.eventLoop).execute(body)
    }

    // MARK: Requests

    private func handle(_ event: Event, _ context: ChannelHandlerContext) {
        switch event {
        case .part(let part): handle(part, context)
        case .malformed(let error): handleMalformed(error, context)
        }
    }

    private func handle(_ part: HTTPServerRequestPart, _ context: ChannelHandlerContext) {
        switch (exchange, part) {
        case (.idle, .head(let head)):
            connection?.exchangeBegan()
            if isNew, isQuiescing { alarm?.cancel() }
            isNew = false
            isHTTP1 = head.version.major == 1
            isDecoderStopped = head.stopsDecoder
            if let status = head.refusalOfFraming { return refuse(status, context) }
            let match = endpoints.match(RequestTarget(head.uri).path)
            if match != nil || host == .none {
                guard head.hasOneMeaningOfHost else { return refuse(.badRequest, context) }
                exchange = .beginning(head, match)
                firstBytes.clear()
            } else {
                exchange = .passedOn(PassedOn(head: head))
                context.fireChannelRead(wrapInboundOut(part))
            }
        case (.idle, _):
            // The rest of a request whose head never came, such as one that a handler before this one refused.
            context.fireChannelRead(wrapInboundOut(part))
        case (.passedOn(var request), .end):
            request.hasRequestEnded = true
            exchange = .passedOn(request)
            context.fireChannelRead(wrapInboundOut(part))
            endPassedOn(context)
        case (.passedOn(var request), .body(let chunk)) where request.hasResponseEnded:
            request.unwantedBytes -= chunk.readableBytes
            exchange = .passedOn(request)
            if request.unwantedBytes < 0 { close(context) }
        case (.passedOn, _):
            context.fireChannelRead(wrapInboundOut(part))
        case (.beginning, .body(var chunk)):
            firstBytes.writeBuffer(&chunk)
        case (.beginning(let head, let match), .end):
            answer(head, match, body: EndpointBody(Array(firstBytes.readableBytesView)), chunks: nil, context)
        case (.answering(var answering), .body(let chunk)):
            answering.isAskedFor = false
            exchange = .answering(answering)
            answering.body?.append(chunk)
        case (.answering(var answering), .end):
            answering.hasRequestEnded = true
            exchange = .answering(answering)
            answering.body?.finish()
        case (.lingering, .body(let chunk)):
            linger(context, over: chunk.readableBytes)
        case (.lingering, .end) where !isHTTP1:
            close(context)
        case (.lingering, _):
            linger(context, over: 100)
        case (.ending, _), (.closed, _), (_, .head):
            break
        }
    }

    private func handleMalformed(_ error: any Error, _ context: ChannelHandlerContext) {
        switch exchange {
        case .idle, .beginning:
            refuse(.badRequest, context)
        case .answering(let answering):
            answering.task.cancel()
            answering.body?.interrupt()
            refuse(.badRequest, context)
        case .passedOn(let request):
            if request.hasResponseBegun {
                end(context)
            } else {
                refuse(.badRequest, context)
            }
            context.fireErrorCaught(error)
        case .lingering:
            close(context)
        case .ending, .closed:
            break
        }
    }

    /// Answers in place of an endpoint, and ends the connection.
    private func refuse(_ status: HTTPResponse.Status, _ context: ChannelHandlerContext) {
        let answer = EndpointResponse(refusal: status).framed(for: .get)
        var head = HTTPResponseHead(answer.head, version: .http1_1)
        if isHTTP1 { head.headers.add(name: "connection", value: "close") }
        write(head, answer.body, context)
        end(context)
    }

    /// All that arrived together was seen, and the body has not ended.
    private func begin(_ context: ChannelHandlerContext) {
        guard case .beginning(let head, let match) = exchange else { return }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let body = RequestBodyChunks(firstBytes.readableBytes > 0 ? [firstBytes] : []) {
            bound.execute { handler, context in handler.bodyIsAskedFor(context) }
        }
        // A length beyond what can be counted is as good as any that is too long.
        let length = head.headers.first(name: "content-length").map { Int($0) ?? .max }
        answer(head, match, body: EndpointBody(body, announcedLength: length), chunks: body, context)
        if case .answering(var answering) = exchange {
            answering.mayContinue =
                firstBytes.readableBytes == 0 && head.version != .http1_0
                && head.headers[canonicalForm: "expect"].contains { $0.lowercased() == "100-continue" }
            exchange = .answering(answering)
        }
    }

    private func answer(
        _ head: HTTPRequestHead, _ match: EndpointMatch?, body: EndpointBody, chunks: RequestBodyChunks?,
        _ context: ChannelHandlerContext
    ) {
        // Of the channel, since an HTTP/2 stream's context knows none. A Unix socket has an address without an IP.
        peer =
            peer
            ?? context.channel.remoteAddress.flatMap { address in
                address.ipAddress.map { PeerAddress(ip: $0) } ?? .unixSocket
            }
        let request = HTTPRequest(head).map { EndpointRequest(head: $0, body: body, peer: peer) }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let task = Task {
            let answer: EndpointResponse
            switch (request, match) {
            case (let request?, let match?): answer = await match.respond(to: request)
            case (.some, nil): answer = EndpointResponse(refusal: .notFound)
            case (nil, _): answer = EndpointResponse(refusal: .badRequest)
            }
            bound.execute { handler, context in handler.write(answer, context) }
        }
        exchange = .answering(Answering(head: head, task: task, body: chunks, hasRequestEnded: chunks == nil))
        if isInputClosed { task.cancel() }
    }

    private func bodyIsAskedFor(_ context: ChannelHandlerContext) {
        guard case .answering(var answering) = exchange else { return }
        answering.isAskedFor = true
        let mayContinue = answering.mayContinue
        answering.mayContinue = false
        exchange = .answering(answering)
        if mayContinue {
            let head = HTTPResponseHead(version: answering.head.version, status: .continue)
            context.writeAndFlush(wrapOutboundOut(.head(head)), promise: nil)
        }
        readIfPending(context)
    }

    // MARK: Responses

    private func write(_ answer: EndpointResponse, _ context: ChannelHandlerContext) {
        // A connection that ended meanwhile has nobody to answer.
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
            // A stream ends with its answer, whatever becomes of the request.
            return isHTTP1 || !answering.hasRequestEnded ? end(context) : endExchange(context)
        }
        if isDecoderStopped {
            connection?.continueDecoding()
            isDecoderStopped = false
        }
        endExchange(context)
    }

    private func write(_ head: HTTPResponseHead, _ body: [UInt8], _ context: ChannelHandlerContext) {
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if !body.isEmpty {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: promiseOfSending(context))
    }

    /// Lets the next handler's answers pass, and notes where they end.
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

    private func endPassedOn(_ context: ChannelHandlerContext) {
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

    /// An answer is written, and the connection goes on.
    private func endExchange(_ context: ChannelHandlerContext) {
        exchange = .idle
        endTurn()
        connection?.exchangeEnded()
        if isQuiescing || isInputClosed { return end(context) }
        if !waiting.isEmpty || isReadPending { takeTurnsLater(context) }
    }

    // MARK: What the client does not take

    private func promiseOfSending(_ context: ChannelHandlerContext) -> EventLoopPromise<Void> {
        unsent += 1
        let sent = context.eventLoop.makePromise(of: Void.self)
        sent.futureResult.assumeIsolated().whenComplete { [self] _ in
            unsent -= 1
            // Within a flush, whose caller may have more to write.
            if unsent == 0, case .ending = exchange { onLoop(context) { $0.linger($1) } }
        }
        return sent
    }

    /// Goes on when the client takes its answers, and ends the connection if it does not for too long.
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

    /// For the last answers.
    private var timeToTake: TimeAmount { isQuiescing ? min(Self.quiescingTime, writeTimeout) : writeTimeout }

    private func close(_ context: ChannelHandlerContext, in time: TimeAmount) {
        alarm?.cancel()
        alarm = context.eventLoop.assumeIsolated().scheduleTask(in: time) { [weak self] in self?.close(context) }
    }

    // MARK: Reading

    /// Reads only what there is room for.
    public func read(context: ChannelHandlerContext) {
        if wantsToRead(context) { context.read() } else { isReadPending = true }
    }

    private func readIfPending(_ context: ChannelHandlerContext) {
        guard isReadPending, wantsToRead(context) else { return }
        isReadPending = false
        context.read()
    }

    private func wantsToRead(_ context: ChannelHandlerContext) -> Bool {
        switch exchange {
        case .idle, .passedOn, .beginning: waiting.isEmpty && context.channel.isWritable
        case .answering(let answering): waiting.isEmpty && answering.isAskedFor && !answering.hasRequestEnded
        case .lingering: true
        case .ending, .closed: false
        }
    }

    // MARK: Ends

    /// No answer follows those that are written.
    private func end(_ context: ChannelHandlerContext) {
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

    /// Closes the connection once the client has, or has sent a little more: if it were closed with something unread,
    /// the client's system could throw away the answer before anybody has read it.
    private func linger(_ context: ChannelHandlerContext) {
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

    private func linger(_ context: ChannelHandlerContext, over count: Int) {
        guard case .lingering(let bytes) = exchange else { return }
        if count > bytes { return close(context) }
        exchange = .lingering(bytes: bytes - count)
    }

    private func close(_ context: ChannelHandlerContext) {
        abandon()
        context.close(promise: nil)
    }

    private func abandon() {
        cancel()
        exchange = .closed
        endTurn()
        waiting.removeAll()
        alarm?.cancel()
    }

    private func cancel() {
        guard case .answering(let answering) = exchange else { return }
        answering.task.cancel()
        if !answering.hasRequestEnded { answering.body?.interrupt() }
    }

    /// Takes the place of the handlers that would keep requests in order, and answer malformed ones before their turn.
    public func handlerAdded(context: ChannelHandlerContext) {
        let pipeline = context.pipeline.syncOperations
        if let handler = try? pipeline.handler(type: HTTPServerPipelineHandler.self) {
            pipeline.removeHandler(handler, promise: nil)
        }
        if let handler = try? pipeline.handler(type: HTTPServerProtocolErrorHandler.self) {
            pipeline.removeHandler(handler, promise: nil)
        }
    }

    /// Cancels the work for a client that is gone.
    public func channelInactive(context: ChannelHandlerContext) {
        abandon()
        context.fireChannelInactive()
    }

    /// Cancels the work, and hands over what waits.
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

    /// Ends the connection in order when the server shuts down, and cancels the work for a client that has closed its
    /// side.
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

extension ChannelPipeline.SynchronousOperations {
    /// Mounts the broker's routes on this pipeline, behind the HTTP decoder and in front of your own handler.
    /// - Parameters:
    ///   - endpoints: The routes.
    ///   - hostPaths: Paths that the next handler answers although an endpoint would, such as a `/healthz` of its own.
    public func mount(_ endpoints: EndpointSet, except hostPaths: Set<String> = []) throws {
        try addHandler(EndpointSetHandler(endpoints, except: hostPaths))
    }
}

/// A connection, as far as the requests on it concern it.
protocol ExchangeObserver: AnyObject {
    /// The head of a request has arrived.
    func exchangeBegan()
    /// Its answer is written, and the connection is free for another.
    func exchangeEnded()
    /// Whether requests can be decoded that follow `head`, with which the client asked for another protocol.
    func canContinueDecoding(after head: HTTPRequestHead) -> Bool
    /// Has them decoded.
    func continueDecoding()
}

extension NIOLoopBound {
    /// Runs on the loop, later, as the value may only be used there.
    fileprivate func execute<Handler, Context>(_ body: @escaping @Sendable (Handler, Context) -> Void)
    where Value == (Handler, Context) {
        eventLoop.execute {
            let (handler, context) = self.value
            body(handler, context)
        }
    }
}
#endif

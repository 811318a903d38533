#if NIOSupport
import HTTPTypes
public import NIOCore
public import NIOHTTP1
public import TokenBroker

/// Answers the requests that an ``EndpointSet`` knows, and passes on the others to the next handler of the pipeline.
///
/// It speaks `HTTPServerRequestPart`, as HTTP/1.1 pipelines do and HTTP/2 streams behind `HTTP2FramePayloadToHTTP1ServerCodec`:
///
/// ```swift
/// // HTTP/1.1
/// try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
/// try channel.pipeline.syncOperations.addHandlers(EndpointSetHandler(broker.endpoints), MyHandler())
/// // HTTP/2 as well, whatever was negotiated
/// channel.configureCommonHTTPServerPipeline { channel in
///     channel.eventLoop.makeCompletedFuture {
///         try channel.pipeline.syncOperations.addHandlers(EndpointSetHandler(broker.endpoints), MyHandler())
///     }
/// }
/// ```
///
/// One request of a connection is worked on at a time, ours or the next handler's, with or without `HTTPServerPipelineHandler`; what
/// arrives in the meantime waits, and no more is read. A body is read as the endpoint asks for it, and `Expect: 100-continue` is
/// answered when it does. When the client goes away, the task that works for it is cancelled. `ChannelShouldQuiesceEvent` (from
/// `ServerQuiescingHelper`) ends the connection after the answer that is under way.
///
/// If the next handler upgrades connections, remove this handler as well: name it in the upgrader's `extraHTTPHandlers`.
public final class EndpointSetHandler: ChannelDuplexHandler, RemovableChannelHandler {
    /// From the HTTP decoder.
    public typealias InboundIn = HTTPServerRequestPart
    /// What is not ours, unchanged.
    public typealias InboundOut = HTTPServerRequestPart
    /// From the next handler, for its own requests.
    public typealias OutboundIn = HTTPServerResponsePart
    /// To the HTTP encoder.
    public typealias OutboundOut = HTTPServerResponsePart

    private let endpoints: EndpointSet
    private let hostPaths: Set<String>
    private var exchange = Exchange.idle
    /// What arrived before its turn.
    private var waiting = CircularBuffer<HTTPServerRequestPart>()
    private var isReadPending = false
    private var isQuiescing = false
    private var isInputClosed = false
    private var peer: PeerAddress?

    /// - Parameters:
    ///   - endpoints: The routes.
    ///   - hostPaths: Paths that the next handler answers although an endpoint would, such as a `/healthz` of its own.
    public init(_ endpoints: EndpointSet, except hostPaths: Set<String> = []) {
        self.endpoints = endpoints
        self.hostPaths = hostPaths
    }

    /// The one request that is worked on.
    private enum Exchange {
        case idle
        /// The next handler's.
        case passedOn(hasRequestEnded: Bool, hasResponseEnded: Bool)
        /// Ours, and perhaps all of it arrives with the head; what arrived of the body so far.
        case beginning(HTTPRequestHead, [ByteBuffer])
        /// Ours, handed to an endpoint.
        case answering(Answering)
        /// The answer is given, and so many bytes of an unread body are still tolerated.
        case draining(bytes: Int)
        case closing
    }

    private struct Answering {
        var head: HTTPRequestHead
        var task: Task<Void, Never>
        var body: RequestBodyChunks?
        /// Whether the endpoint waits for more of the body.
        var isAskedFor = false
        var mayContinue = false
        var hasRequestEnded: Bool
        var isAnswered = false
    }

    // MARK: Requests

    /// Takes what is ours, and passes on the rest.
    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        if waiting.isEmpty, isTurn(of: part) { handle(part, context) } else { waiting.append(part) }
    }

    /// Begins with a request whose body did not arrive with its head.
    public func channelReadComplete(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelReadComplete()
    }

    private func isTurn(of part: HTTPServerRequestPart) -> Bool {
        switch (exchange, part) {
        case (.idle, _), (.closing, _): true
        case (_, .head): false
        default: true
        }
    }

    private func handle(_ part: HTTPServerRequestPart, _ context: ChannelHandlerContext) {
        switch (exchange, part) {
        case (.idle, .head(let head)) where isOurs(head):
            exchange = .beginning(head, [])
        case (.idle, .head):
            exchange = .passedOn(hasRequestEnded: false, hasResponseEnded: false)
            context.fireChannelRead(wrapInboundOut(part))
        case (.idle, _):
            // The rest of a request whose head never came, such as one that a handler before this one refused.
            context.fireChannelRead(wrapInboundOut(part))
        case (.passedOn(_, let hasResponseEnded), .end):
            exchange = .passedOn(hasRequestEnded: true, hasResponseEnded: hasResponseEnded)
            context.fireChannelRead(wrapInboundOut(part))
            endOfPassedOn(context)
        case (.passedOn, _):
            context.fireChannelRead(wrapInboundOut(part))
        case (.beginning(let head, let chunks), .body(let chunk)):
            exchange = .beginning(head, chunks + [chunk])
        case (.beginning(let head, let chunks), .end):
            answer(head, body: RouteBody(chunks.flatMap(\.readableBytesView)), chunks: nil, context)
        case (.answering(var answering), .body(let chunk)):
            answering.body?.append(chunk)
            answering.isAskedFor = false
            exchange = .answering(answering)
        case (.answering(var answering), .end):
            answering.body?.finish()
            answering.hasRequestEnded = true
            exchange = .answering(answering)
        case (.draining(let bytes), .body(let chunk)) where chunk.readableBytes <= bytes:
            exchange = .draining(bytes: bytes - chunk.readableBytes)
        case (.draining, _):
            close(context)
        case (.closing, _), (_, .head):
            break
        }
    }

    private func isOurs(_ head: HTTPRequestHead) -> Bool {
        let path = originForm(ofTarget: head.uri).path
        return endpoints.contains(path: path) && !hostPaths.contains(String(path.prefix { $0 != "?" }))
    }

    /// All that arrived together was seen, and the body has not ended.
    private func begin(_ context: ChannelHandlerContext) {
        guard case .beginning(let head, let chunks) = exchange else { return }
        let onDemand = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let body = RequestBodyChunks(chunks) {
            onDemand.execute { handler, context in handler.bodyIsAskedFor(context) }
        }
        let length = head.headers.first(name: "content-length").flatMap { Int($0) }
        answer(head, body: RouteBody(body, announcedLength: length), chunks: body, context)
        if case .answering(var answering) = exchange {
            answering.mayContinue =
                chunks.isEmpty && head.headers[canonicalForm: "expect"].contains { $0.lowercased() == "100-continue" }
            exchange = .answering(answering)
        }
    }

    private func answer(
        _ head: HTTPRequestHead, body: RouteBody, chunks: RequestBodyChunks?, _ context: ChannelHandlerContext
    ) {
        // Of the channel, since an HTTP/2 stream's context knows none. A Unix socket has an address without an IP.
        peer = peer ?? context.channel.remoteAddress.map { PeerAddress(ip: $0.ipAddress ?? "") }
        let request = HTTPRequest(head).map { RouteRequest(head: $0, body: body, peer: peer) }
        let onAnswer = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let task = Task { [endpoints] in
            let answer: RouteResponse?
            if let request {
                answer = await endpoints.respond(to: request)
            } else {
                answer = .init(status: .badRequest)
            }
            onAnswer.execute { handler, context in handler.write(answer ?? .init(status: .notFound), context) }
        }
        exchange = .answering(Answering(head: head, task: task, body: chunks, hasRequestEnded: chunks == nil))
        if isInputClosed { task.cancel() }
    }

    private func bodyIsAskedFor(_ context: ChannelHandlerContext) {
        guard case .answering(var answering) = exchange, !answering.isAnswered else { return }
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

    private func write(_ answer: RouteResponse, _ context: ChannelHandlerContext) {
        // A connection that ended meanwhile has nobody to answer.
        guard case .answering(var answering) = exchange, !answering.isAnswered else { return }
        answering.isAnswered = true
        exchange = .answering(answering)
        let request = answering.head
        let isHTTP1 = request.version.major == 1
        let keepsAlive = request.isKeepAlive && !isQuiescing && !isInputClosed && answering.hasRequestEnded
        var head = HTTPResponseHead(answer.head, version: request.version)
        if answer.head.status.allowsBody, !head.headers.contains(name: "content-length") {
            // A HEAD request gets the length of what a GET would have got, and none of it.
            head.headers.add(name: "content-length", value: String(answer.body.count))
        }
        if isHTTP1, !keepsAlive {
            head.headers.replaceOrAdd(name: "connection", value: "close")
        } else if request.version == .http1_0 {
            head.headers.replaceOrAdd(name: "connection", value: "keep-alive")
        }
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if request.method != .HEAD, answer.head.status.allowsBody, !answer.body.isEmpty {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: answer.body)))), promise: nil)
        }
        // The next request waits until this answer has left, so that a client which does not read stops its connection.
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { [self] result in
            if case .success = result, keepsAlive || !isHTTP1 { next(context) } else { endConnection(context) }
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: written)
    }

    private func next(_ context: ChannelHandlerContext) {
        guard case .answering(let answering) = exchange else { return }
        guard answering.hasRequestEnded else { return drain(context) }
        exchange = .idle
        takeTurn(context)
    }

    private func endConnection(_ context: ChannelHandlerContext) {
        if case .answering(let answering) = exchange, !answering.hasRequestEnded, !isInputClosed {
            drain(context)
        } else {
            close(context)
        }
    }

    /// Reads a little of a body that nobody wants, so that the client sees the answer rather than a reset, and then closes.
    private func drain(_ context: ChannelHandlerContext) {
        exchange = .draining(bytes: 1 << 20)
        context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(2)) { [weak self] in
            if case .draining? = self?.exchange { self?.close(context) }
        }
        readIfPending(context)
    }

    private func close(_ context: ChannelHandlerContext) {
        exchange = .closing
        waiting.removeAll()
        context.close(promise: nil)
    }

    /// Lets the next handler's answers pass, and notes where they end.
    public func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        context.write(data, promise: promise)
        guard case .end = unwrapOutboundIn(data), case .passedOn(let hasRequestEnded, _) = exchange else { return }
        exchange = .passedOn(hasRequestEnded: hasRequestEnded, hasResponseEnded: true)
        endOfPassedOn(context)
    }

    private func endOfPassedOn(_ context: ChannelHandlerContext) {
        guard case .passedOn(true, true) = exchange else { return }
        exchange = .idle
        takeTurn(context)
    }

    private func takeTurn(_ context: ChannelHandlerContext) {
        if isQuiescing { return close(context) }
        var hasPassedOn = false
        while let part = waiting.first, isTurn(of: part) {
            waiting.removeFirst()
            handle(part, context)
            if case .passedOn = exchange { hasPassedOn = true }
        }
        begin(context)
        if hasPassedOn { context.fireChannelReadComplete() }
        readIfPending(context)
    }

    // MARK: Reading

    /// Reads only what there is room for.
    public func read(context: ChannelHandlerContext) {
        if wantsToRead { context.read() } else { isReadPending = true }
    }

    private func readIfPending(_ context: ChannelHandlerContext) {
        guard isReadPending, wantsToRead else { return }
        isReadPending = false
        context.read()
    }

    private var wantsToRead: Bool {
        guard waiting.isEmpty else { return false }
        return switch exchange {
        case .idle, .passedOn, .beginning, .draining: true
        case .answering(let answering): answering.isAskedFor && !answering.hasRequestEnded
        case .closing: false
        }
    }

    // MARK: Ends

    /// Cancels the work for a client that is gone.
    public func channelInactive(context: ChannelHandlerContext) {
        abandon()
        context.fireChannelInactive()
    }

    /// Cancels the work, and hands over what waits.
    public func handlerRemoved(context: ChannelHandlerContext) {
        let waiting = waiting
        abandon()
        if context.channel.isActive {
            for part in waiting { context.fireChannelRead(wrapInboundOut(part)) }
            if isReadPending { context.read() }
        }
    }

    private func abandon() {
        cancel()
        exchange = .closing
        waiting.removeAll()
    }

    private func cancel() {
        guard case .answering(let answering) = exchange else { return }
        answering.task.cancel()
        if !answering.hasRequestEnded { answering.body?.interrupt() }
    }

    /// Ends the connection in order when the server shuts down, and cancels the work for a client that has closed its side.
    public func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is ChannelShouldQuiesceEvent:
            isQuiescing = true
            if case .idle = exchange { close(context) }
        case ChannelEvent.inputClosed:
            isInputClosed = true
            cancel()
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }
}

extension NIOLoopBound {
    /// Runs on the loop, now or later, as the value may only be used there.
    fileprivate func execute<Handler, Context>(_ body: @escaping @Sendable (Handler, Context) -> Void)
    where Value == (Handler, Context) {
        eventLoop.execute {
            let (handler, context) = self.value
            body(handler, context)
        }
    }
}
#endif

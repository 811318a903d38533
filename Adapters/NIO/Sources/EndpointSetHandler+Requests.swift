#if NIOSupport
import HTTPTypes
import NIOCore
import NIOHTTP1
import TokenBroker

/// Dispatching requests: an endpoint responds, the next handler does, or the request is refused.
extension EndpointSetHandler {
    func handle(_ event: Event, _ context: ChannelHandlerContext) {
        switch event {
        case .part(let part): handle(part, context)
        case .malformed(let error): handleMalformed(error, context)
        }
    }

    func handle(_ part: HTTPServerRequestPart, _ context: ChannelHandlerContext) {
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
            // The rest of a request whose head never arrived, for instance because an earlier handler refused it.
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

    func handleMalformed(_ error: any Error, _ context: ChannelHandlerContext) {
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

    /// Responds in place of an endpoint, and ends the connection.
    func refuse(_ status: HTTPResponse.Status, _ context: ChannelHandlerContext) {
        let answer = EndpointResponse(refusal: status).framed(for: .get)
        var head = HTTPResponseHead(answer.head, version: .http1_1)
        if isHTTP1 { head.headers.add(name: "connection", value: "close") }
        write(head, answer.body, context)
        end(context)
    }

    /// Hands a request whose body has not ended to its endpoint, once everything that arrived together was handled.
    func begin(_ context: ChannelHandlerContext) {
        guard case .beginning(let head, let match) = exchange else { return }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let body = RequestBodyChunks(firstBytes.readableBytes > 0 ? [firstBytes] : []) {
            bound.execute { handler, context in handler.bodyIsAskedFor(context) }
        }
        // A length that does not fit an Int is treated as any other that is too long.
        let length = head.headers.first(name: "content-length").map { Int($0) ?? .max }
        answer(head, match, body: EndpointBody(body, announcedLength: length), chunks: body, context)
        if case .answering(var answering) = exchange {
            answering.mayContinue =
                firstBytes.readableBytes == 0 && head.version != .http1_0
                && head.headers[canonicalForm: "expect"].contains { $0.lowercased() == "100-continue" }
            exchange = .answering(answering)
        }
    }

    func answer(
        _ head: HTTPRequestHead, _ match: EndpointMatch?, body: EndpointBody, chunks: RequestBodyChunks?,
        _ context: ChannelHandlerContext
    ) {
        // Taken from the channel, because the context of an HTTP/2 stream has no address. A Unix-domain socket has an
        // address without an IP.
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

    func bodyIsAskedFor(_ context: ChannelHandlerContext) {
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
}
#endif

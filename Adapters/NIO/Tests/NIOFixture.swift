#if NIOSupport
import HTTPTypes
import Logging
import NIOCore
import NIOExtras
import NIOHTTP1
import NIOHTTP2
import NIOPosix
import TokenBroker
import TokenBrokerNIO
import TokenBrokerTesting

/// An adopter's server, with its own bootstrap, pipeline and routes.
struct NIOFixture: RouteAdapterFixture {
    static let capabilities = RouteAdapterContract.Capabilities.all
    var pipeline = Pipeline.assisted

    enum Pipeline: CaseIterable {
        /// The pipeline that `configureHTTPServerPipeline` creates.
        case assisted
        /// A pipeline without `HTTPServerPipelineHandler`, on connections that may be half-closed.
        case bare
    }

    func withServer(
        _ endpoints: EndpointSet, _ body: @Sendable (RouteAdapterContract.Server) async throws -> Void
    ) async throws {
        let pipeline = pipeline
        try await TokenBrokerNIOTests.withServer(allowsHalfClosure: pipeline == .bare) { channel in
            try channel.pipeline.syncOperations.configureHTTPServerPipeline(
                withPipeliningAssistance: pipeline == .assisted, withErrorHandling: true
            )
            try addHandlers(endpoints, to: channel)
        } body: { port, shutDown in
            try await body(RouteAdapterContract.Server(port: port, shutDown: shutDown))
        }
    }
}

/// The server that the program runs, which has only the broker's routes.
struct HTTPServerFixture: RouteAdapterFixture {
    static let capabilities = RouteAdapterContract.Capabilities.all
    var limits = HTTPServer.Limits()

    func withServer(
        _ endpoints: EndpointSet, _ body: @Sendable (RouteAdapterContract.Server) async throws -> Void
    ) async throws {
        let all = EndpointSet([HostEndpoint(path: "/host"), HostEndpoint(path: "/healthz")] + endpoints.endpoints)
        let server = try await HTTPServer.listen(
            all, host: "127.0.0.1", port: 0, limits: limits, logger: Logger(label: "test"))
        do {
            try await body(
                RouteAdapterContract.Server(port: server.port) {
                    // The program's shutdown has a timeout, too.
                    let alarm = Task {
                        try await Task.sleep(for: .seconds(10))
                        server.abort()
                    }
                    await server.drain()
                    alarm.cancel()
                })
        } catch {
            await server.close()
            throw error
        }
        await server.close()
    }

    private struct HostEndpoint: Endpoint {
        let path: RoutePath
        func respond(to request: EndpointRequest) async -> EndpointResponse {
            guard request.head.method == .get else { return EndpointResponse(status: .methodNotAllowed) }
            return EndpointResponse(status: .ok, body: Array("host".utf8))
        }
    }
}

/// An adopter's server that serves HTTP/2 streams in clear text.
struct NIOHTTP2Fixture: RouteAdapterFixture {
    static let capabilities: RouteAdapterContract.Capabilities = [.repeatedFields, .gracefulShutdown]

    func withServer(
        _ endpoints: EndpointSet, _ body: @Sendable (RouteAdapterContract.Server) async throws -> Void
    ) async throws {
        try await TokenBrokerNIOTests.withServer(allowsHalfClosure: false) { channel in
            let manager = NIOHTTP2ServerConnectionManagementHandler(
                eventLoop: channel.eventLoop,
                configuration: .init(maxIdleTime: nil, maxAge: nil, maxGraceTime: nil, keepalive: nil)
            )
            _ = try channel.pipeline.syncOperations.configureHTTP2Pipeline(
                mode: .server, connectionConfiguration: .init(), streamConfiguration: .init(),
                streamDelegate: manager.http2StreamDelegate
            ) { stream in
                stream.eventLoop.makeCompletedFuture {
                    try stream.pipeline.syncOperations.addHandler(HTTP2FramePayloadToHTTP1ServerCodec())
                    try addHandlers(endpoints, to: stream)
                }
            }
            try channel.pipeline.syncOperations.addHandlers(manager, NIOCloseOnErrorHandler())
        } body: { port, shutDown in
            let transport = try await HTTP2Transport(port: port)
            try await body(RouteAdapterContract.Server(port: port, transport: transport, shutDown: shutDown))
            await transport.close()
        }
    }
}

private func addHandlers(_ endpoints: EndpointSet, to channel: any Channel) throws {
    try channel.pipeline.syncOperations.addHandlers(
        EndpointSetHandler(endpoints, except: ["/healthz"]), HostHandler()
    )
}

private func withServer(
    allowsHalfClosure: Bool, initialize: @escaping @Sendable (any Channel) throws -> Void,
    body: (_ port: Int, _ shutDown: @escaping @Sendable () async throws -> Void) async throws -> Void
) async throws {
    let group = MultiThreadedEventLoopGroup.singleton
    let quiescing = ServerQuiescingHelper(group: group)
    let server = try await ServerBootstrap(group: group)
        .serverChannelOption(.backlog, value: 256)
        .serverChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(quiescing.makeServerChannelHandler(channel: channel))
            }
        }
        .childChannelOption(.allowRemoteHalfClosure, value: allowsHalfClosure)
        // Fixed buffer sizes keep the system's own buffers out of the measurement.
        .childChannelOption(.socketOption(.so_rcvbuf), value: 65_536)
        .childChannelOption(.socketOption(.so_sndbuf), value: 65_536)
        .childChannelInitializer { channel in channel.eventLoop.makeCompletedFuture { try initialize(channel) } }
        .bind(host: "127.0.0.1", port: 0).get()
    let shutDown: @Sendable () async throws -> Void = {
        guard server.isActive else { return }
        let end = server.eventLoop.makePromise(of: Void.self)
        quiescing.initiateShutdown(promise: end)
        try await end.futureResult.get()
    }
    do {
        try await body(server.localAddress?.port ?? 0, shutDown)
    } catch {
        try await shutDown()
        throw error
    }
    try await shutDown()
}

/// The adopter's own routes.
private final class HostHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // These routes take no bodies, so they respond before a body arrives.
        guard case .head(let head) = unwrapInboundIn(data) else { return }
        let isFound = head.method == .GET && ["/host", "/healthz"].contains(head.uri)
        let buffer = ByteBuffer(string: isFound ? "host" : "nothing")
        var response = HTTPResponseHead(version: head.version, status: isFound ? .ok : .notFound)
        response.headers.add(name: "content-length", value: String(buffer.readableBytes))
        context.write(wrapOutboundOut(.head(response)), promise: nil)
        if head.method != .HEAD { context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil) }
        let isLast = head.version.major == 1 && !head.isKeepAlive
        let sent = context.eventLoop.makePromise(of: Void.self)
        if isLast { sent.futureResult.assumeIsolated().whenComplete { _ in context.close(promise: nil) } }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: sent)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }
}

/// A transport that sends requests as streams of one HTTP/2 connection in clear text.
struct HTTP2Transport: HTTPTransport {
    private let channel: any Channel
    private let multiplexer: NIOHTTP2Handler.StreamMultiplexer

    init(port: Int) async throws {
        (channel, multiplexer) = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.configureHTTP2Pipeline(
                    mode: .client, connectionConfiguration: .init(), streamConfiguration: .init()
                ) { $0.close() }
                .map { (channel, $0) }
            }
    }

    func close() async { try? await channel.close() }

    /// Opens a stream with a request's head and body, and returns the stream and its future response.
    func open(
        _ request: HTTPRequest, body: [UInt8]
    ) async throws -> (stream: any Channel, answer: EventLoopFuture<TransportResponse>) {
        let answer = channel.eventLoop.makePromise(of: TransportResponse.self)
        let stream = try await multiplexer.createStreamChannel { stream in
            stream.eventLoop.makeCompletedFuture {
                try stream.pipeline.syncOperations.addHandlers(
                    HTTP2FramePayloadToHTTP1ClientCodec(httpProtocol: .http), AnswerHandler(answer)
                )
            }
        }.get()
        var head = HTTPRequestHead(
            version: .http2, method: HTTPMethod(rawValue: request.method.rawValue), uri: request.path ?? "/",
            headers: HTTPHeaders(request.headerFields.map { ($0.name.rawName, $0.value) })
        )
        head.headers.add(name: "host", value: request.authority ?? "")
        stream.write(HTTPClientRequestPart.head(head), promise: nil)
        if !body.isEmpty {
            stream.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: body))), promise: nil)
        }
        // A stream with an early response takes no more, so this write may fail.
        stream.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        return (stream, answer.futureResult)
    }

    func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        do {
            return try await open(request, body: body).answer.get()
        } catch {
            throw TransportError(.closed)
        }
    }
}

private final class AnswerHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    private let promise: EventLoopPromise<TransportResponse>
    private var response = TransportResponse(head: HTTPResponse(status: .internalServerError))

    init(_ promise: EventLoopPromise<TransportResponse>) { self.promise = promise }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            response.head.status = .init(code: Int(head.status.code))
            for (name, value) in head.headers {
                if let name = HTTPField.Name(name) {
                    response.head.headerFields.append(HTTPField(name: name, value: value))
                }
            }
        case .body(let buffer): response.body += Array(buffer.readableBytesView)
        case .end: promise.succeed(response)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { promise.fail(error) }
    func channelInactive(context: ChannelHandlerContext) { promise.fail(ChannelError.eof) }
}
#endif

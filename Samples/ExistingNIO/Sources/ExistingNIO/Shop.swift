import CurlTransport
import Logging
import NIOCore
import NIOExtras
import NIOHTTP1
import NIOPosix
import ServiceLifecycle
import TokenBrokerComposer
import TokenBrokerNIO

/// A shop with its own NIO pipeline that mounts the broker's endpoints.
@main struct Shop {
    static func main() async throws {
        let logger = Logger(label: "shop")
        var registry = Registry.standard
        try registry.register(.curl)
        let broker = try await Composer(registry: registry).compose(.load("broker.yaml"), logger: logger)
        let server = ShopServer(broker: broker, logger: logger)
        let services = ServiceGroup(
            services: [broker, server], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger
        )
        try await services.run()
    }
}

struct ShopServer: Service {
    let broker: Broker
    let logger: Logger

    func run() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let quiescing = ServerQuiescingHelper(group: group)
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(quiescing.makeServerChannelHandler(channel: channel))
                }
            }
            // These bound the memory that a client can occupy: one read, and a few responses that it does not read.
            .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 4096))
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 4096, high: 16_384))
            .childChannelInitializer { [broker] channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.configureHTTPServerPipeline()
                    // The timeout is longer than any response takes.
                    try pipeline.addHandlers(IdleStateHandler(allTimeout: .seconds(75)), IdleHandler())
                    // This one line mounts the broker, except for a path that the shop serves itself.
                    try pipeline.mount(broker.endpoints, except: ["/healthz"])
                    try pipeline.addHandler(ShopHandler())
                }
            }
            .bind(host: broker.server.host, port: broker.server.port).get()
        logger.info("listens on http://127.0.0.1:\(channel.localAddress?.port ?? 0)")

        let end = channel.eventLoop.makePromise(of: Void.self)
        try? await gracefulShutdown()
        quiescing.initiateShutdown(promise: end)
        try await end.futureResult.get()
    }
}

/// The shop's own routes, unchanged.
private final class ShopHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // These routes take no bodies, so they respond before a body arrives.
        guard case .head(let request) = unwrapInboundIn(data) else { return }
        let text: String? = ["/": "my shop", "/healthz": "my own health"][request.uri]
        let body = ByteBuffer(string: text ?? "not found")
        var head = HTTPResponseHead(version: request.version, status: text == nil ? .notFound : .ok)
        head.headers.add(name: "content-length", value: String(body.readableBytes))
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        let sent = context.eventLoop.makePromise(of: Void.self)
        if !request.isKeepAlive { sent.futureResult.assumeIsolated().whenComplete { _ in context.close(promise: nil) } }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: sent)
    }
}

/// Closes idle connections.
private final class IdleHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is IdleStateHandler.IdleStateEvent else { return context.fireUserInboundEventTriggered(event) }
        context.close(promise: nil)
    }
}

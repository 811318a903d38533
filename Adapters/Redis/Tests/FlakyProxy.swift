#if RedisSupport
import NIOCore
import NIOPosix
import Synchronization

/// A proxy in front of a server that delays, garbles, holds back or cuts what goes through it.
final class FlakyProxy: Sendable {
    /// What happens to the bytes.
    enum Behaviour: Sendable, CaseIterable {
        case passes
        /// Each piece of an answer comes 30 ms later.
        case delays
        /// Every answer has a changed byte.
        case garbles
        /// No answer comes, and the connection stays open.
        case holds
        /// The connection is closed in the middle of an answer.
        case cuts
        /// Bytes come one by one.
        case drips
    }

    let port: Int
    private let listener: any Channel
    private let behaviour = Mutex(Behaviour.passes)

    init(to serverPort: Int) async throws {
        let box = Box()
        listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { client in
                ClientBootstrap(group: client.eventLoop)
                    .channelInitializer { server in
                        server.eventLoop.makeCompletedFuture {
                            try server.pipeline.syncOperations.addHandler(Pipe(to: client) { box.proxy?.current })
                        }
                    }
                    .connect(host: "127.0.0.1", port: serverPort)
                    .flatMapThrowing { server in
                        try client.pipeline.syncOperations.addHandler(Pipe(to: server) { nil })
                        client.setOption(.autoRead, value: true).whenComplete { _ in }
                    }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = listener.localAddress?.port ?? 0
        box.set(self)
    }

    var current: Behaviour { behaviour.withLock { $0 } }
    func set(_ behaviour: Behaviour) { self.behaviour.withLock { $0 = behaviour } }
    func stop() async { try? await listener.close() }

    private final class Box: Sendable {
        private let value = Mutex<FlakyProxy?>(nil)
        var proxy: FlakyProxy? { value.withLock { $0 } }
        func set(_ proxy: FlakyProxy) { value.withLock { $0 = proxy } }
    }

    /// Passes on what one side sends, as the behaviour says; unchanged without one.
    private final class Pipe: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let other: any Channel
        private let behaviour: @Sendable () -> Behaviour?

        init(to other: any Channel, _ behaviour: @escaping @Sendable () -> Behaviour?) {
            self.other = other
            self.behaviour = behaviour
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var bytes = unwrapInboundIn(data)
            switch behaviour() ?? .passes {
            case .passes: other.writeAndFlush(bytes, promise: nil)
            case .delays:
                let (other, late) = (other, bytes)
                context.eventLoop.scheduleTask(in: .milliseconds(30)) { other.writeAndFlush(late, promise: nil) }
            case .garbles:
                let index = bytes.readerIndex + Int.random(in: 0..<bytes.readableBytes)
                let byte = bytes.getInteger(at: index, as: UInt8.self) ?? 0
                bytes.setInteger(byte ^ UInt8.random(in: 1...255), at: index)
                other.writeAndFlush(bytes, promise: nil)
            case .holds: break
            case .cuts:
                other.writeAndFlush(
                    bytes.getSlice(at: bytes.readerIndex, length: bytes.readableBytes / 2) ?? bytes, promise: nil)
                context.close(promise: nil)
            case .drips:
                while let byte = bytes.readSlice(length: 1) { other.writeAndFlush(byte, promise: nil) }
            }
        }

        func channelInactive(context: ChannelHandlerContext) { other.close(promise: nil) }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
#endif

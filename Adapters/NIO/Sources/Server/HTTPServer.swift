#if NIOSupport
package import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
package import TokenBroker

/// An HTTP/1.1 server for an ``EndpointSet`` and nothing else.
///
/// It has two parts, each to be changed without the other. The *connection* (``ListenerHandler``,
/// ``ConnectionHandler``) knows sockets and time: who may connect, how many, and for how long somebody may keep silent.
/// TLS belongs between the socket and ``ConnectionHandler``. The *exchange* (``EndpointSetHandler``) knows one request
/// and its answer.
package final class HTTPServer: Sendable {
    /// What clients may take of the server.
    package struct Limits: Sendable {
        /// For the head of a request, from the beginning of the connection or its first byte on.
        package var headTimeout: Duration = .seconds(10)
        /// For a connection between requests, and for a client to take what was written for it.
        package var idleTimeout: Duration = .seconds(75)
        /// Of the header fields of a request, all together.
        package var headerBytes = 16_384
        /// Open at once. Fewer, if the process may not open as many files; see ``HTTPServer/limits``.
        package var connections = 2_000
        /// Of one address (IPv6: its first 64 bits).
        package var connectionsPerAddress = Int.max
        /// May have all of them.
        package var trustedProxies: [IPAddressBlock] = []

        package init() {}
    }

    /// The port that it listens on.
    package let port: Int
    /// Those that hold.
    package let limits: Limits
    private let group: MultiThreadedEventLoopGroup
    private let listener: any Channel
    private let connections: NIOLoopBound<ListenerHandler>

    private init(
        port: Int, limits: Limits, group: MultiThreadedEventLoopGroup, listener: any Channel,
        connections: NIOLoopBound<ListenerHandler>
    ) {
        self.port = port
        self.limits = limits
        self.group = group
        self.listener = listener
        self.connections = connections
    }

    /// Listens, and serves from now on.
    ///
    /// Call ``close()`` in the end, whatever happened.
    /// - Parameter port: 0 for any free one.
    /// - Throws: What the system says if it cannot listen there.
    package static func listen(
        _ endpoints: EndpointSet, host: String, port: Int, limits: Limits = Limits(), logger: Logger
    ) async throws -> HTTPServer {
        let limits = limits.withinDescriptors(logger)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: System.coreCount)
        do {
            let listener = try await ServerBootstrap(group: group)
                .serverChannelOption(.backlog, value: 1024)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                // Its connections inherit it: what the system keeps for a client that does not read. Otherwise it grows to megabytes.
                .serverChannelOption(.socketOption(.so_sndbuf), value: 64 << 10)
                // So that not one more connection is taken than there may be.
                .serverChannelOption(.maxMessagesPerRead, value: 1)
                .serverChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(ListenerHandler(limits, logger))
                    }
                }
                // What a client can have the server hold: one read, and a few answers that it does not take.
                .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 4096))
                .childChannelOption(.maxMessagesPerRead, value: 1)
                .childChannelOption(.writeBufferWaterMark, value: .init(low: 4096, high: 16_384))
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try initialize(channel, endpoints, limits) }
                }
                .bind(host: host, port: port).get()
            let connections = try await listener.eventLoop.submit {
                let handler = try listener.pipeline.syncOperations.handler(type: ListenerHandler.self)
                return NIOLoopBound(handler, eventLoop: listener.eventLoop)
            }.get()
            return HTTPServer(
                port: listener.localAddress?.port ?? port, limits: limits, group: group, listener: listener,
                connections: connections
            )
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    private static func initialize(_ channel: any Channel, _ endpoints: EndpointSet, _ limits: Limits) throws {
        let connection = ConnectionHandler(limits)
        // The connection adds its decoder after itself.
        try channel.pipeline.syncOperations.addHandlers(
            HTTPResponseEncoder(), connection, NIOHTTPResponseHeadersValidator(),
            EndpointSetHandler(endpoints, writeTimeout: TimeAmount(limits.idleTimeout), connection: connection),
            NIOCloseOnErrorHandler()
        )
    }

    /// Takes no new connections, and returns when every answer that is under way has been given.
    package func drain() async {
        listener.eventLoop.execute { [connections] in connections.value.quiesce() }
        // What has connected by now is taken first: with its listener, the system would end it.
        try? await Task.sleep(for: .milliseconds(100))
        try? await listener.close()
        let ended = listener.eventLoop.makePromise(of: Void.self)
        listener.eventLoop.execute { [connections] in connections.value.wait(ended) }
        try? await ended.futureResult.get()
    }

    /// Ends all connections now, so that ``drain()`` returns.
    package func abort() { listener.eventLoop.execute { [connections] in connections.value.closeAll() } }

    /// Ends what is left, and the threads.
    package func close() async {
        try? await listener.close()
        abort()
        try? await group.shutdownGracefully()
    }
}
#endif

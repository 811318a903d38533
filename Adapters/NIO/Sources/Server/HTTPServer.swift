#if NIOSupport
package import Logging
package import Metrics
import NIOCore
import NIOHTTP1
import NIOPosix
package import TokenBroker

/// An HTTP/1.1 server that serves an ``EndpointSet`` and nothing else.
///
/// It has two independent parts. The *connection* (``ListenerHandler``, ``ConnectionHandler``) handles sockets and
/// time: which clients may connect, how many, and how long they may be idle. TLS belongs between the socket and
/// ``ConnectionHandler``. The *exchange* (``EndpointSetHandler``) handles a single request and its response.
package final class HTTPServer: Sendable {
    /// The limits on what clients may use of the server.
    package struct Limits: Sendable {
        /// The timeout for the head of a request, measured from the start of the connection or from the first byte of a
        /// later request.
        package var headTimeout: Duration = .seconds(10)
        /// How long a connection may be idle between requests, and how long a client may read nothing of what was
        /// written to it.
        package var idleTimeout: Duration = .seconds(75)
        /// The maximum size of a request's header fields together, in bytes.
        package var headerBytes = 16_384
        /// The maximum number of open connections. It is lower if the process may not open that many files; see
        /// ``HTTPServer/limits``.
        package var connections = 2_000
        /// The maximum number of connections from one address (IPv6: its first 64 bits).
        package var connectionsPerAddress = Int.max
        /// The proxies to which ``connectionsPerAddress`` does not apply.
        package var trustedProxies: [IPAddressBlock] = []

        package init() {}
    }

    /// The port that the server listens on.
    package let port: Int
    /// The limits in effect.
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

    /// Creates a server that listens and accepts connections.
    ///
    /// Always call ``close()`` when you are done, even after an error.
    ///
    /// - Parameters:
    ///   - port: The port, or 0 for any free one.
    ///   - connections: Shows the number of open connections.
    /// - Throws: The system's error if it cannot listen there.
    package static func listen(
        _ endpoints: EndpointSet, host: String, port: Int, limits: Limits = Limits(), connections: Meter? = nil,
        logger: Logger
    ) async throws -> HTTPServer {
        let limits = limits.withinDescriptors(logger)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: System.coreCount)
        do {
            let listener = try await ServerBootstrap(group: group)
                .serverChannelOption(.backlog, value: 1024)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                // Connections inherit this send buffer. Otherwise, what the system buffers for a client that does not
                // read grows to megabytes.
                .serverChannelOption(.socketOption(.so_sndbuf), value: 64 << 10)
                // Accept one connection at a time, so that the limit on connections is never exceeded.
                .serverChannelOption(.maxMessagesPerRead, value: 1)
                .serverChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(ListenerHandler(limits, connections, logger))
                    }
                }
                // Limit what a client can make the server hold: one read, and a few responses that the client does not
                // read.
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
        // ConnectionHandler adds its decoder after itself.
        try channel.pipeline.syncOperations.addHandlers(
            HTTPResponseEncoder(), connection, NIOHTTPResponseHeadersValidator(),
            EndpointSetHandler(endpoints, writeTimeout: TimeAmount(limits.idleTimeout), connection: connection),
            NIOCloseOnErrorHandler()
        )
    }

    /// Accepts no new connections, and returns when all responses in progress have been sent.
    package func drain() async {
        listener.eventLoop.execute { [connections] in connections.value.quiesce() }
        // Clients that have already connected are accepted first. The system would end them with their listener.
        try? await Task.sleep(for: .milliseconds(100))
        try? await listener.close()
        let ended = listener.eventLoop.makePromise(of: Void.self)
        listener.eventLoop.execute { [connections] in connections.value.wait(ended) }
        try? await ended.futureResult.get()
    }

    /// Closes all connections immediately, so that ``drain()`` returns.
    package func abort() { listener.eventLoop.execute { [connections] in connections.value.closeAll() } }

    /// Closes the listener and all connections, and ends the threads.
    package func close() async {
        try? await listener.close()
        abort()
        try? await group.shutdownGracefully()
    }
}
#endif

#if HummingbirdSupport
import HTTPTypes
public import Hummingbird
public import NIOCore
import NIOHTTPTypes
import ServiceLifecycle
public import TokenBroker

// For the members of the kernel's TCP information.
#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

extension Router {
    /// Mounts the broker's routes on this router.
    ///
    /// The routes are mounted as a middleware, so nothing is registered twice and nothing traps. Routes that were added
    /// *before* this call keep their paths, such as a `/healthz` of your own. Middleware added before it also wraps the
    /// broker's routes. Any other method on the broker's paths gets the broker's 405.
    ///
    /// ```swift
    /// let router = Router(context: BrokerRequestContext.self)
    /// router.get("/") { _, _ in "my shop" }
    /// router.mount(broker.endpoints)
    /// ```
    ///
    /// The broker needs a ``ConnectionRequestContext``, such as ``BrokerRequestContext``, to know its peers, to answer
    /// `Expect: 100-continue`, and to cancel the work for a client that has disconnected. With any other context it
    /// does none of these, and features that depend on the peer's address refuse requests. A
    /// `RemoteAddressRequestContext` is enough to provide the address.
    ///
    /// Hummingbird 2.28 itself has these limitations. A reverse proxy that normalizes requests, with limits of its own,
    /// makes up for them:
    ///
    /// - It reads a body that no route reads to its end, however long that takes.
    /// - After an `Upgrade` or `CONNECT` request on a path of yours, it responds to nothing more, and buffers what
    ///   arrives until the client disconnects. On the broker's paths, the connection is closed after the response.
    /// - It treats HTTP/1.0 as HTTP/1.1: the connection stays open, and the client may be sent `100 Continue`.
    /// - It accepts requests without `Host`, transfer codings other than `chunked`, and absolute-form targets whose
    ///   authority differs from `Host`, which takes precedence. The broker's paths refuse a second `Host`.
    /// - It waits without limit for a client that does not read, even during shutdown. Set `idleTimeout`, and the
    ///   service group's `maximumGracefulShutdownDuration`.
    /// - It closes a connection immediately, so a client that is still sending may lose the last response.
    ///
    /// - Parameters:
    ///   - endpoints: The routes to mount.
    ///   - hostPaths: Paths that your own routes serve even if an endpoint has the same path. They may be added later.
    public func mount(_ endpoints: EndpointSet, except hostPaths: Set<String> = []) {
        add(middleware: EndpointSetMiddleware(endpoints, except: hostPaths))
    }
}

/// A request context that provides the channel of its connection.
public protocol ConnectionRequestContext: RemoteAddressRequestContext {
    /// The channel of the connection, or of the HTTP/2 stream.
    var channel: any Channel { get }
}

extension ConnectionRequestContext {
    /// The address of the connection's peer.
    public var remoteAddress: SocketAddress? { channel.remoteAddress }
}

/// Hummingbird's basic request context, together with the channel of the connection.
public struct BrokerRequestContext: ConnectionRequestContext {
    /// Hummingbird's own part of the context.
    public var coreContext: CoreRequestContextStorage
    /// The channel of the connection, or of the HTTP/2 stream.
    public let channel: any Channel

    /// Creates a request context.
    ///
    /// - Parameter source: The server's source, which contains the connection's channel.
    public init(source: ApplicationRequestContextSource) {
        self.coreContext = .init(source: source)
        self.channel = source.channel
    }
}

/// A middleware that responds to the requests for an `EndpointSet`, and passes on all others.
///
/// Use it in hosts without a `Router`. To mount it on a `Router`, call `Hummingbird/Router/mount(_:except:)`.
public struct EndpointSetMiddleware<Context: RequestContext>: RouterMiddleware {
    private let endpoints: EndpointSet

    /// Creates a middleware.
    ///
    /// - Parameters:
    ///   - endpoints: The routes.
    ///   - hostPaths: Paths that the host serves even if an endpoint has the same path.
    public init(_ endpoints: EndpointSet, except hostPaths: Set<String> = []) {
        self.endpoints = endpoints.excluding(hostPaths)
    }

    /// Responds to a request for one of the endpoints, and passes on any other.
    public func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        guard let match = endpoints.match(request.head.path ?? "") else { return try await next(request, context) }
        // Hummingbird turns the first `Host` into the authority, and leaves the others among the fields.
        if let host = HTTPField.Name("Host"), request.headers.contains(host) { throw HTTPError(.badRequest) }
        let channel = (context as? any ConnectionRequestContext)?.channel
        let body = WatchedBody(IncomingBody(request, channel: channel))
        // Hummingbird has checked that the length is a number, but not that it fits an Int.
        let announcedLength = request.headers[.contentLength].map { Int($0) ?? .max }
        let peer = (context as? any RemoteAddressRequestContext)?.remoteAddress.flatMap { address in
            address.ipAddress.map { PeerAddress(ip: $0) } ?? .unixSocket
        }
        let answer = await respond(
            to: EndpointRequest(
                head: request.head, body: EndpointBody(body, announcedLength: announcedLength), peer: peer),
            by: match, on: channel
        )
        .framed(for: request.method)
        var response = Response(status: answer.head.status, headers: answer.head.headerFields)
        let buffer = ByteBuffer(bytes: answer.body)
        let hasRequestBody = announcedLength ?? 0 > 0 || request.headers.contains(.transferEncoding)
        let isBodyRead = await body.isFinished
        let isBodyLeft = hasRequestBody && !isBodyRead
        // After an upgrade request, Hummingbird's decoder reads no further request.
        if isBodyLeft || Task.isShuttingDownGracefully || request.headers.contains(.upgrade) {
            response.headers[.connection] = "close"
            response.body = ResponseBody(contentLength: buffer.readableBytes) { writer in
                try await writer.write(buffer)
                try await writer.finish(nil)
                // Hummingbird would read the rest, whatever its length. Reading only a little lets the client see the
                // response rather than a reset.
                if isBodyLeft { _ = await body.drain() }
                throw LastAnswer()
            }
        } else {
            response.body = ResponseBody(byteBuffer: buffer)
        }
        // Setting the body replaced the length, so it is set again.
        response.headers[.contentLength] = answer.head.headerFields[.contentLength]
        return response
    }

    /// Returns the endpoint's response. Cancels the work if the connection ends before it is done.
    private func respond(
        to request: EndpointRequest, by match: EndpointMatch, on channel: (any Channel)?
    ) async -> EndpointResponse {
        guard let channel else { return await match.respond(to: request) }
        let work = Task { await match.respond(to: request) }
        let watch = DisconnectHandler { work.cancel() }
        channel.eventLoop.execute {
            // Placed first, because Hummingbird's own handlers do not pass on the end of the channel. A closed channel
            // accepts no handler.
            do { try channel.pipeline.syncOperations.addHandler(watch, position: .first) } catch { work.cancel() }
            // The handler does not learn of a client that disconnected before that.
            channel.whenClientHasLeft { work.cancel() }
        }
        defer { channel.pipeline.removeHandler(watch, promise: nil) }
        return await withTaskCancellationHandler {
            await work.value
        } onCancel: {
            work.cancel()
        }
    }

    /// An error that makes Hummingbird close the connection. A test that calls the router without a connection sees it.
    private struct LastAnswer: Error, CustomStringConvertible {
        var description: String {
            "the response is complete and the connection should now close; in a test without one, use a live server"
        }
    }
}

extension Channel {
    /// Calls `body` if the client has already closed its side, even if that has not been read yet.
    fileprivate func whenClientHasLeft(_ body: @escaping @Sendable () -> Void) {
        guard isActive else { return body() }
        // An HTTP/2 stream has no socket, and is inactive when its client has disconnected.
        guard let socket = self as? any SocketOptionProvider else { return }
        #if os(Linux)
        // TCP_CLOSE_WAIT of <netinet/tcp.h>.
        socket.getTCPInfo().whenSuccess { if $0.tcpi_state == 8 { body() } }
        #elseif canImport(Darwin)
        // TCPS_CLOSE_WAIT of <netinet/tcp_fsm.h>.
        socket.getTCPConnectionInfo().whenSuccess { if $0.tcpi_state == 5 { body() } }
        #endif
    }
}

/// A handler that reports when the client has closed the connection, or its side of it.
private final class DisconnectHandler: ChannelInboundHandler, RemovableChannelHandler, Sendable {
    typealias InboundIn = NIOAny
    private let onDisconnect: @Sendable () -> Void

    init(onDisconnect: @escaping @Sendable () -> Void) { self.onDisconnect = onDisconnect }

    func channelInactive(context: ChannelHandlerContext) {
        onDisconnect()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event { onDisconnect() }
        context.fireUserInboundEventTriggered(event)
    }
}

/// A request body that sends `100 Continue` before the first read, if the client expects it.
private struct IncomingBody: AsyncSequence, Sendable {
    private let body: RequestBody
    private let goOn: (@Sendable () -> Void)?

    init(_ request: Request, channel: (any Channel)?) {
        body = request.body
        if let channel, request.headers[.expect]?.lowercased() == "100-continue" {
            goOn = { channel.writeAndFlush(HTTPResponsePart.head(HTTPResponse(status: .continue)), promise: nil) }
        } else {
            goOn = nil
        }
    }

    func makeAsyncIterator() -> Iterator { Iterator(base: body.makeAsyncIterator(), goOn: goOn) }

    struct Iterator: AsyncIteratorProtocol {
        var base: RequestBody.AsyncIterator
        var goOn: (@Sendable () -> Void)?

        mutating func next() async throws -> ByteBufferView? {
            goOn.take()?()
            return try await base.next()?.readableBytesView
        }
    }
}
#endif

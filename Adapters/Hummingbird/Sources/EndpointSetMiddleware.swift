#if HummingbirdSupport
import HTTPTypes
public import Hummingbird
public import NIOCore
import NIOHTTPTypes
import ServiceLifecycle
public import TokenBroker

// For the members of the kernel's view of a connection.
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
    /// It is a middleware, so nothing is registered twice and nothing traps: routes that were added *before* this call
    /// keep their paths (a `/healthz` of your own goes on answering), and middleware added before wraps the broker's
    /// routes as well. Every other method on the broker's paths gets the broker's 405.
    ///
    /// ```swift
    /// let router = Router(context: BrokerRequestContext.self)
    /// router.get("/") { _, _ in "my shop" }
    /// router.mount(broker.endpoints)
    /// ```
    ///
    /// The context must be a ``ConnectionRequestContext``, such as ``BrokerRequestContext``, for the broker to know its
    /// peers, to answer `Expect: 100-continue`, and to stop working for a client that is gone. With another context
    /// that is left out, and whatever depends on the peer's address refuses, unless it is a
    /// `RemoteAddressRequestContext`.
    ///
    /// What Hummingbird 2.28 itself does not do; a reverse proxy that normalizes requests, with limits of its own,
    /// makes up for it:
    /// - it reads a body that no route reads to its end, however long that takes;
    /// - after an `Upgrade` or `CONNECT` on a path of yours it answers nothing more, and keeps what comes until the
    ///   client leaves. On the broker's paths the connection is closed after the answer;
    /// - it takes HTTP/1.0 for HTTP/1.1: the connection stays open, and the client may be sent `100 Continue`;
    /// - it accepts requests without `Host`, transfer codings other than `chunked`, and targets in absolute form whose
    ///   authority is not that of `Host`, which counts. The broker's paths refuse a second `Host`;
    /// - it waits without limit for a client that does not read, also when it shuts down: set `idleTimeout`, and
    ///   `maximumGracefulShutdownDuration` of the service group;
    /// - it closes at once, so that a client that is still sending may lose the last answer.
    ///
    /// - Parameters:
    ///   - endpoints: The routes.
    ///   - hostPaths: Paths that your routes answer although an endpoint would, also those that are added later.
    public func mount(_ endpoints: EndpointSet, except hostPaths: Set<String> = []) {
        add(middleware: EndpointSetMiddleware(endpoints, except: hostPaths))
    }
}

/// A request context that knows its connection.
public protocol ConnectionRequestContext: RemoteAddressRequestContext {
    /// The connection's channel, or the HTTP/2 stream's.
    var channel: any Channel { get }
}

extension ConnectionRequestContext {
    /// Who is at the other end of the connection.
    public var remoteAddress: SocketAddress? { channel.remoteAddress }
}

/// Hummingbird's basic context plus the connection.
public struct BrokerRequestContext: ConnectionRequestContext {
    /// Hummingbird's own part.
    public var coreContext: CoreRequestContextStorage
    /// The connection's channel, or the HTTP/2 stream's.
    public let channel: any Channel

    /// - Parameter source: From the server, with the connection's channel.
    public init(source: ApplicationRequestContextSource) {
        self.coreContext = .init(source: source)
        self.channel = source.channel
    }
}

/// Answers the requests that an ``EndpointSet`` knows, and passes on the others. For hosts that do not use `Router`;
/// otherwise ``Hummingbird/Router/mount(_:except:)`` is the short way.
public struct EndpointSetMiddleware<Context: RequestContext>: RouterMiddleware {
    private let endpoints: EndpointSet

    /// - Parameters:
    ///   - endpoints: The routes.
    ///   - hostPaths: Paths that the host answers although an endpoint would.
    public init(_ endpoints: EndpointSet, except hostPaths: Set<String> = []) {
        self.endpoints = endpoints.excluding(hostPaths)
    }

    /// Answers what is ours, and passes on the rest.
    public func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        guard let match = endpoints.match(request.head.path ?? "") else { return try await next(request, context) }
        // The host has made the first its authority, and left the others among the fields.
        if let host = HTTPField.Name("Host"), request.headers.contains(host) { throw HTTPError(.badRequest) }
        let channel = (context as? any ConnectionRequestContext)?.channel
        let body = WatchedBody(IncomingBody(request, channel: channel))
        // The host has seen that it is a number, but not that it fits.
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
        // After a request for an upgrade the host's decoder reads no other.
        if isBodyLeft || Task.isShuttingDownGracefully || request.headers.contains(.upgrade) {
            response.headers[.connection] = "close"
            response.body = ResponseBody(contentLength: buffer.readableBytes) { writer in
                try await writer.write(buffer)
                try await writer.finish(nil)
                // Hummingbird would read the rest whatever its length. We read a little, so that the client sees the
                // answer rather than a reset.
                if isBodyLeft { _ = await body.drain() }
                throw LastAnswer()
            }
        } else {
            response.body = ResponseBody(byteBuffer: buffer)
        }
        // The body that was set brings its own.
        response.headers[.contentLength] = answer.head.headerFields[.contentLength]
        return response
    }

    /// Cancels the work when the connection ends before it is done.
    private func respond(
        to request: EndpointRequest, by match: EndpointMatch, on channel: (any Channel)?
    ) async -> EndpointResponse {
        guard let channel else { return await match.respond(to: request) }
        let work = Task { await match.respond(to: request) }
        let watch = DisconnectHandler { work.cancel() }
        channel.eventLoop.execute {
            // First, since Hummingbird's own keep the end of the channel to themselves. A channel that is gone takes
            // no handler.
            do { try channel.pipeline.syncOperations.addHandler(watch, position: .first) } catch { work.cancel() }
            // A client that was gone before that, the handler does not hear of.
            channel.whenClientHasLeft { work.cancel() }
        }
        defer { channel.pipeline.removeHandler(watch, promise: nil) }
        return await withTaskCancellationHandler {
            await work.value
        } onCancel: {
            work.cancel()
        }
    }

    /// Makes Hummingbird close the connection.
    private struct LastAnswer: Error {}
}

extension Channel {
    /// Calls `body` if the client has closed its side by now, read or not.
    fileprivate func whenClientHasLeft(_ body: @escaping @Sendable () -> Void) {
        guard isActive else { return body() }
        // A stream of HTTP/2 has no socket, and is inactive when its client has left.
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

/// Tells when the client has closed the connection, or its side of it.
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

/// A request's body, whose client may have to be told to send it.
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

#if HummingbirdSupport
import HTTPTypes
public import Hummingbird
import NIOCore
import Synchronization
public import TokenBroker

extension Router {
    /// Mounts the broker's routes on this router.
    ///
    /// It is a middleware, so nothing is registered twice and nothing traps: routes that were added *before* this call keep their
    /// paths (a `/healthz` of your own goes on answering), and middleware added before wraps the broker's routes as
    /// well. Every other method on the broker's paths gets the broker's 405.
    ///
    /// ```swift
    /// let router = Router(context: BrokerRequestContext.self)
    /// router.get("/") { _, _ in "my shop" }
    /// router.mount(broker.endpoints)
    /// ```
    ///
    /// The context must be a `RemoteAddressRequestContext`, such as ``BrokerRequestContext``, for the broker to know its peers. Without
    /// it, whatever depends on the peer's address refuses.
    ///
    /// - Parameter endpoints: The routes.
    public func mount(_ endpoints: EndpointSet) {
        add(middleware: EndpointSetMiddleware(endpoints))
    }
}

/// Answers the requests that an ``EndpointSet`` knows, and passes on the others. For hosts that do not use `Router`; otherwise
/// ``Hummingbird/Router/mount(_:)`` is the short way.
public struct EndpointSetMiddleware<Context: RequestContext>: RouterMiddleware {
    private let endpoints: EndpointSet

    /// - Parameter endpoints: The routes.
    public init(_ endpoints: EndpointSet) { self.endpoints = endpoints }

    /// Answers what is ours, and passes on the rest.
    public func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        guard endpoints.contains(path: request.head.path ?? "") else { return try await next(request, context) }
        let body = WatchedBody(request.body)
        let announcedLength = request.headers[.contentLength].flatMap { Int($0) }
        let peer = (context as? any RemoteAddressRequestContext)?.remoteAddress.map { address in
            PeerAddress(ip: address.ipAddress ?? "")
        }
        let answer = await endpoints.respond(
            to: RouteRequest(head: request.head, body: RouteBody(body, announcedLength: announcedLength), peer: peer)
        )
        guard let answer else { return try await next(request, context) }
        var response = Response(status: answer.head.status, headers: answer.head.headerFields)
        if request.method == .head {
            // The length of what a GET would have got, and none of it.
            response.headers[.contentLength] = String(answer.body.count)
            return response
        }
        let buffer = ByteBuffer(bytes: answer.body)
        let hasRequestBody = announcedLength ?? 0 > 0 || request.headers.contains(.transferEncoding)
        if !hasRequestBody || body.isFinished {
            response.body = ResponseBody(byteBuffer: buffer)
        } else {
            // Hummingbird would read the rest of the body whatever its length. We read a little, so that the client sees the answer
            // rather than a reset, and then close.
            response.headers[.connection] = "close"
            response.body = ResponseBody(contentLength: buffer.readableBytes) { writer in
                try await writer.write(buffer)
                try await writer.finish(nil)
                await body.drain(upTo: 1 << 20, within: .seconds(2))
                throw UnreadBody()
            }
        }
        return response
    }

    /// Makes Hummingbird close the connection.
    private struct UnreadBody: Error {}
}

/// A request's body that knows whether it was read to its end.
private final class WatchedBody: AsyncSequence, Sendable {
    typealias Element = ByteBufferView

    private let body: RequestBody
    private let finished = Atomic(false)

    init(_ body: RequestBody) { self.body = body }

    var isFinished: Bool { finished.load(ordering: .acquiring) }

    func makeAsyncIterator() -> Iterator { Iterator(base: body.makeAsyncIterator(), body: self) }

    struct Iterator: AsyncIteratorProtocol {
        var base: RequestBody.AsyncIterator
        let body: WatchedBody

        mutating func next() async throws -> ByteBufferView? {
            let buffer = try await base.next()
            if buffer == nil { body.finished.store(true, ordering: .releasing) }
            return buffer?.readableBytesView
        }
    }

    func drain(upTo limit: Int, within time: Duration) async {
        _ = try? await withTimeLimit(time, Alarm(ContinuousClock())) { [self] in
            var count = 0
            for try await chunk in self {
                count += chunk.count
                if count > limit { break }
            }
        }
    }
}

/// Hummingbird's basic context plus the address of the peer.
public struct BrokerRequestContext: RemoteAddressRequestContext {
    /// Hummingbird's own part.
    public var coreContext: CoreRequestContextStorage
    /// Who is at the other end of the connection.
    public let remoteAddress: SocketAddress?

    /// - Parameter source: From the server, with the connection's channel.
    public init(source: ApplicationRequestContextSource) {
        self.coreContext = .init(source: source)
        self.remoteAddress = source.channel.remoteAddress
    }
}
#endif

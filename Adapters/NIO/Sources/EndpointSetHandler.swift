#if NIOSupport
import HTTPTypes
public import NIOCore
public import NIOHTTP1
public import TokenBroker

/// A channel handler that responds to the requests for an `EndpointSet`, and passes on all others to the next
/// handler.
///
/// It handles `HTTPServerRequestPart`, as HTTP/1.1 pipelines do, and HTTP/2 streams with an
/// `HTTP2FramePayloadToHTTP1ServerCodec`:
///
/// ```swift
/// // HTTP/1.1
/// try channel.pipeline.syncOperations.configureHTTPServerPipeline()
/// try channel.pipeline.syncOperations.mount(broker.endpoints)
/// try channel.pipeline.syncOperations.addHandler(MyHandler())
/// // HTTP/1.1 or HTTP/2, whichever was negotiated
/// channel.configureCommonHTTPServerPipeline { channel in
///     channel.eventLoop.makeCompletedFuture {
///         try channel.pipeline.syncOperations.addHandlers(EndpointSetHandler(broker.endpoints), MyHandler())
///     }
/// }.flatMapThrowing {
///     // Without it, a connection that violates HTTP/2 stays open and is read forever.
///     try channel.pipeline.syncOperations.addHandler(NIOCloseOnErrorHandler())
/// }
/// ```
///
/// A connection handles one request at a time, for an endpoint or for the next handler. What arrives in the meantime
/// waits, and nothing more is read. Nothing is read either while the client does not read its responses (backpressure).
/// A body is read when the endpoint asks for it, and only then is `Expect: 100-continue` answered. When the client
/// disconnects or half-closes the connection, the task that works for it is cancelled.
///
/// This handler responds to malformed requests, after the responses to the requests before them, and then ends the
/// connection. It does the same with requests for the endpoints that RFC 9112 forbids, such as those with two `Host`
/// fields. For this, it replaces `HTTPServerPipelineHandler` and `HTTPServerProtocolErrorHandler`, and removes them
/// from the pipeline.
///
/// If the next handler responds before the body of its request has arrived, the rest is read for two seconds and up to
/// a mebibyte. If the body has not ended by then, the connection is closed.
///
/// `ChannelShouldQuiesceEvent` (from `ServerQuiescingHelper`) ends the connection after the current response, which a
/// client has ten seconds to read. A connection without any request so far has a second for one.
///
/// If the next handler upgrades connections, remove this handler as well: name it in the upgrader's
/// `extraHTTPHandlers`.
///
/// Timeouts for idle connections, for the heads of requests and for the bodies of the next handler's requests are up to
/// the pipeline. Use, for instance, an `IdleStateHandler` and a handler that closes the connection on its event. To
/// bound what a connection can hold in memory, give child channels a `FixedSizeRecvByteBufferAllocator`, a
/// `maxMessagesPerRead` of 1 and a `writeBufferWaterMark`, as `Samples/ExistingNIO` does.
public final class EndpointSetHandler: ChannelDuplexHandler, RemovableChannelHandler {
    /// Request parts from the HTTP decoder.
    public typealias InboundIn = HTTPServerRequestPart
    /// Request parts for the next handler, unchanged.
    public typealias InboundOut = HTTPServerRequestPart
    /// Response parts from the next handler, for its own requests.
    public typealias OutboundIn = HTTPServerResponsePart
    /// Response parts for the HTTP encoder.
    public typealias OutboundOut = HTTPServerResponsePart

    /// How many bytes are still read of a request that is not wanted, and for how long.
    static let lingeringBytes = 1 << 20
    static let lingeringTime = TimeAmount.seconds(2)
    /// How long a client may read nothing of the last responses while the server shuts down.
    static let quiescingTime = TimeAmount.seconds(10)
    /// How long a connection without any request stays open while the server shuts down. Its client could not know of
    /// the shutdown.
    static let timeForFirst = TimeAmount.seconds(1)

    let endpoints: EndpointSet
    let host: Host
    let writeTimeout: TimeAmount
    let connection: (any ExchangeObserver)?

    var exchange = Exchange.idle
    /// Events that arrived before their turn.
    var waiting = CircularBuffer<Event>()
    /// The part of a beginning request's body that has arrived.
    var firstBytes = ByteBuffer()
    /// The number of responses that have been written but not yet sent.
    var unsent = 0
    var isTakingTurns = false
    var turns: TurnQueue?
    var turn = Turn.none
    var isReadPending = false
    var isQuiescing = false
    /// Whether no request has arrived yet.
    var isNew = true
    var isInputClosed = false
    var isHTTP1 = true
    var isDecoderStopped = false
    /// The timer that closes the connection.
    var alarm: Scheduled<Void>?
    var peer: PeerAddress?

    /// What receives the requests that no endpoint responds to.
    enum Host {
        case nextHandler
        /// Nothing. The response is 404.
        case none
    }

    /// Creates a handler.
    ///
    /// - Parameters:
    ///   - endpoints: The routes.
    ///   - hostPaths: Paths that the next handler serves even if an endpoint has the same path, such as a `/healthz` of
    ///     its own.
    public init(_ endpoints: EndpointSet, except hostPaths: Set<String> = []) {
        self.endpoints = endpoints.excluding(hostPaths)
        host = .nextHandler
        writeTimeout = .seconds(75)
        connection = nil
    }

    /// Creates a handler that is the last in its pipeline.
    ///
    /// - Parameters:
    ///   - endpoints: The routes.
    ///   - writeTimeout: How long a client may read nothing of what was written to it.
    ///   - connection: The observer of the connection's requests.
    init(_ endpoints: EndpointSet, writeTimeout: TimeAmount, connection: (any ExchangeObserver)?) {
        self.endpoints = endpoints
        host = .none
        self.writeTimeout = writeTimeout
        self.connection = connection
    }

    enum Event {
        case part(HTTPServerRequestPart)
        /// The decoder cannot parse what follows.
        case malformed(any Error)
    }

    /// The state of the current request.
    enum Exchange {
        case idle
        /// Passed on to the next handler.
        case passedOn(PassedOn)
        /// For an endpoint. All of it may arrive with the head.
        case beginning(HTTPRequestHead, EndpointMatch?)
        /// Handed to an endpoint.
        case answering(Answering)
        /// The last response of the connection is written.
        case ending
        /// Nothing more is written. This many bytes are still read, so that the client sees its response rather than a
        /// reset.
        case lingering(bytes: Int)
        case closed
    }

    /// This connection's turn among the connections with pipelined requests.
    enum Turn {
        case none, awaited
        case taken(Scheduled<Void>)
    }

    struct PassedOn {
        let head: HTTPRequestHead
        var hasRequestEnded = false
        var hasResponseBegun = false
        var hasResponseEnded = false
        /// Whether the connection ends with this response.
        var isLast = false
        /// How many bytes of the request are still read after the response.
        var unwantedBytes = EndpointSetHandler.lingeringBytes
    }

    struct Answering {
        let head: HTTPRequestHead
        let task: Task<Void, Never>
        let body: RequestBodyChunks?
        /// Whether the endpoint waits for more of the body.
        var isAskedFor = false
        var mayContinue = false
        var hasRequestEnded: Bool
    }
}

extension ChannelPipeline.SynchronousOperations {
    /// Mounts the broker's routes on this pipeline, after the HTTP decoder and before your own handler.
    ///
    /// - Parameters:
    ///   - endpoints: The routes to mount.
    ///   - hostPaths: Paths that the next handler serves even if an endpoint has the same path, such as a `/healthz` of
    ///     its own.
    /// - Throws: An error if the handler cannot be added.
    public func mount(_ endpoints: EndpointSet, except hostPaths: Set<String> = []) throws {
        try addHandler(EndpointSetHandler(endpoints, except: hostPaths))
    }
}

/// An observer of the requests on a connection.
protocol ExchangeObserver: AnyObject {
    /// The head of a request has arrived.
    func exchangeBegan()
    /// The response is written, and the connection is free for another request.
    func exchangeEnded()
    /// Returns whether requests after `head` can be decoded, although the client asked for another protocol with it.
    func canContinueDecoding(after head: HTTPRequestHead) -> Bool
    /// Makes the decoder read the requests that follow.
    func continueDecoding()
}

extension NIOLoopBound {
    /// Runs `body` later on the event loop, the only place where the value may be used.
    func execute<Handler, Context>(_ body: @escaping @Sendable (Handler, Context) -> Void)
    where Value == (Handler, Context) {
        eventLoop.execute {
            let (handler, context) = self.value
            body(handler, context)
        }
    }
}
#endif

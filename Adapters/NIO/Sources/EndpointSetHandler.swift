#if NIOSupport
import HTTPTypes
public import NIOCore
public import NIOHTTP1
public import TokenBroker

/// Answers the requests that an ``EndpointSet`` knows, and passes on the others to the next handler of the pipeline.
///
/// It speaks `HTTPServerRequestPart`, as HTTP/1.1 pipelines do and HTTP/2 streams behind
/// `HTTP2FramePayloadToHTTP1ServerCodec`:
///
/// ```swift
/// // HTTP/1.1
/// try channel.pipeline.syncOperations.configureHTTPServerPipeline()
/// try channel.pipeline.syncOperations.mount(broker.endpoints)
/// try channel.pipeline.syncOperations.addHandler(MyHandler())
/// // HTTP/2 as well, whatever was negotiated
/// channel.configureCommonHTTPServerPipeline { channel in
///     channel.eventLoop.makeCompletedFuture {
///         try channel.pipeline.syncOperations.addHandlers(EndpointSetHandler(broker.endpoints), MyHandler())
///     }
/// }.flatMapThrowing {
///     // Without it, a connection that broke the rules of HTTP/2 stays open and is read for ever.
///     try channel.pipeline.syncOperations.addHandler(NIOCloseOnErrorHandler())
/// }
/// ```
///
/// One request of a connection is worked on at a time, ours or the next handler's. What arrives in the meantime waits,
/// and no more is read; nor is it while the client does not take its answers. A body is read as the endpoint asks for
/// it, and `Expect: 100-continue` is answered when it does. When the client goes away, or closes its side of the
/// connection, the task that works for it is cancelled.
///
/// Malformed requests are answered here, after the answers to the requests before them, and end the connection. So do
/// requests for the endpoints that RFC 9112 forbids, such as those with two `Host` fields. For this the handler takes
/// the place of `HTTPServerPipelineHandler` and `HTTPServerProtocolErrorHandler`, and removes them from the pipeline.
///
/// A body that the next handler does not want costs nothing if that handler answers before it has arrived: what follows
/// is read for two seconds and up to a mebibyte, and then the connection is closed.
///
/// `ChannelShouldQuiesceEvent` (from `ServerQuiescingHelper`) ends the connection after the answer that is under way,
/// which a client has ten seconds to take. One that had no request yet has a second for it.
///
/// If the next handler upgrades connections, remove this handler as well: name it in the upgrader's
/// `extraHTTPHandlers`.
///
/// How long a connection may be idle or a head may take is the pipeline's to say, for instance with an
/// `IdleStateHandler` and a handler that closes the connection on its event. So are the bodies of the next handler's
/// requests. To bound what a connection can hold in memory, give child channels a `FixedSizeRecvByteBufferAllocator`, a
/// `maxMessagesPerRead` of 1 and a `writeBufferWaterMark`, as `Samples/ExistingNIO` does.
public final class EndpointSetHandler: ChannelDuplexHandler, RemovableChannelHandler {
    /// From the HTTP decoder.
    public typealias InboundIn = HTTPServerRequestPart
    /// What is not ours, unchanged.
    public typealias InboundOut = HTTPServerRequestPart
    /// From the next handler, for its own requests.
    public typealias OutboundIn = HTTPServerResponsePart
    /// To the HTTP encoder.
    public typealias OutboundOut = HTTPServerResponsePart

    /// How much is read, and for how long, of what nobody wants.
    static let lingeringBytes = 1 << 20
    static let lingeringTime = TimeAmount.seconds(2)
    /// How long a client may take nothing of the last answers while the server shuts down.
    static let quiescingTime = TimeAmount.seconds(10)
    /// How long a connection is open that had no request yet, while the server shuts down: its client could not know.
    static let timeForFirst = TimeAmount.seconds(1)

    let endpoints: EndpointSet
    let host: Host
    let writeTimeout: TimeAmount
    let connection: (any ExchangeObserver)?

    var exchange = Exchange.idle
    /// What arrived before its turn.
    var waiting = CircularBuffer<Event>()
    /// The body of a request that is beginning, as far as it has arrived.
    var firstBytes = ByteBuffer()
    /// How many answers have been written that the network has not taken.
    var unsent = 0
    var isTakingTurns = false
    var turns: TurnQueue?
    var turn = Turn.none
    var isReadPending = false
    var isQuiescing = false
    /// Whether no request has come.
    var isNew = true
    var isInputClosed = false
    var isHTTP1 = true
    var isDecoderStopped = false
    /// Closes the connection.
    var alarm: Scheduled<Void>?
    var peer: PeerAddress?

    /// Who answers what no endpoint does.
    enum Host {
        case nextHandler
        /// Nobody: it is not found.
        case none
    }

    /// - Parameters:
    ///   - endpoints: The routes.
    ///   - hostPaths: Paths that the next handler answers although an endpoint would, such as a `/healthz` of its own.
    public init(_ endpoints: EndpointSet, except hostPaths: Set<String> = []) {
        self.endpoints = endpoints.excluding(hostPaths)
        host = .nextHandler
        writeTimeout = .seconds(75)
        connection = nil
    }

    /// For a pipeline in which it is the last handler.
    /// - Parameters:
    ///   - writeTimeout: How long a client may take nothing of what was written for it.
    ///   - connection: Is told when requests begin and end.
    init(_ endpoints: EndpointSet, writeTimeout: TimeAmount, connection: (any ExchangeObserver)?) {
        self.endpoints = endpoints
        host = .none
        self.writeTimeout = writeTimeout
        self.connection = connection
    }

    enum Event {
        case part(HTTPServerRequestPart)
        /// The decoder can make nothing of what follows.
        case malformed(any Error)
    }

    /// The one request that is worked on.
    enum Exchange {
        case idle
        /// The next handler's.
        case passedOn(PassedOn)
        /// Ours, and perhaps all of it arrives with the head.
        case beginning(HTTPRequestHead, EndpointMatch?)
        /// Ours, handed to an endpoint.
        case answering(Answering)
        /// The last answer of the connection is written.
        case ending
        /// Nothing more is written, and so many bytes are still read, so that the client sees its answer and not a
        /// reset.
        case lingering(bytes: Int)
        case closed
    }

    /// This connection's place among those with pipelined requests.
    enum Turn {
        case none, awaited
        case taken(Scheduled<Void>)
    }

    struct PassedOn {
        let head: HTTPRequestHead
        var hasRequestEnded = false
        var hasResponseBegun = false
        var hasResponseEnded = false
        /// Whether the connection ends with this answer.
        var isLast = false
        /// How much of the request is still read once it is answered.
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
    /// Mounts the broker's routes on this pipeline, behind the HTTP decoder and in front of your own handler.
    /// - Parameters:
    ///   - endpoints: The routes.
    ///   - hostPaths: Paths that the next handler answers although an endpoint would, such as a `/healthz` of its own.
    public func mount(_ endpoints: EndpointSet, except hostPaths: Set<String> = []) throws {
        try addHandler(EndpointSetHandler(endpoints, except: hostPaths))
    }
}

/// A connection, as far as the requests on it concern it.
protocol ExchangeObserver: AnyObject {
    /// The head of a request has arrived.
    func exchangeBegan()
    /// Its answer is written, and the connection is free for another.
    func exchangeEnded()
    /// Whether requests can be decoded that follow `head`, with which the client asked for another protocol.
    func canContinueDecoding(after head: HTTPRequestHead) -> Bool
    /// Has them decoded.
    func continueDecoding()
}

extension NIOLoopBound {
    /// Runs on the loop, later, as the value may only be used there.
    func execute<Handler, Context>(_ body: @escaping @Sendable (Handler, Context) -> Void)
    where Value == (Handler, Context) {
        eventLoop.execute {
            let (handler, context) = self.value
            body(handler, context)
        }
    }
}
#endif

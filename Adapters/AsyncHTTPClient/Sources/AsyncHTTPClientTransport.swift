#if AsyncHTTPClientSupport
import AsyncHTTPClient
public import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOSSL
import Synchronization
public import TokenBroker

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// An `HTTPTransport` built on AsyncHTTPClient, for servers that already run SwiftNIO and do not want libcurl.
///
/// It speaks HTTP/1.1 and reuses connections. TLS is 1.2 or later, and the certificate is always verified. A response's
/// `elapsed` is measured from the start of the attempt, because AsyncHTTPClient does not report when it sent the
/// request.
///
/// ```swift
/// let transport = try AsyncHTTPClientTransport()
/// let response = try await transport.send(request, body: [], options: TransportOptions(timeout: .seconds(5)))
/// await transport.shutdown()
/// ```
public final class AsyncHTTPClientTransport: HTTPTransport, ShutsDown {
    private let clientConfiguration: HTTPClient.Configuration
    private let timeout: Duration
    private let connectionLifetime: Duration
    private let alarm = Alarm(ContinuousClock())
    private let state: Mutex<State>

    private struct State {
        /// The client for new requests; `nil` after shutdown.
        var current: ClientGeneration?
        /// Generations that may still have requests in flight.
        var retired: [WeakGeneration] = []

        /// Replaces `generation` if it is current, so that it takes no new requests.
        mutating func retire(_ generation: ClientGeneration, configuration: HTTPClient.Configuration) {
            guard generation === current else { return }
            retired.removeAll { $0.generation == nil }
            retired.append(WeakGeneration(generation: generation))
            current = ClientGeneration(configuration)
        }
    }

    /// Creates a transport that runs on the process's shared event loops.
    ///
    /// - Throws: `TransportError` with a message that names the setting, if a value is invalid.
    public init(configuration: Configuration = Configuration()) throws(TransportError) {
        timeout = configuration.timeout
        connectionLifetime = configuration.connectionLifetime
        clientConfiguration = try configuration.forClient()
        state = Mutex(State(current: ClientGeneration(clientConfiguration)))
    }

    /// Ends all transfers with `TransportError/Code/shutDown` and closes all connections.
    ///
    /// Returns when that is done. A connection that is still being established can delay this by up to the connect
    /// timeout. Further calls do nothing.
    public func shutdown() async {
        let generations = state.withLock { state in
            defer { state = State() }
            return [state.current].compactMap(\.self) + state.retired.compactMap(\.generation)
        }
        for generation in generations { try? await generation.client.shutdown() }
    }

    /// Sends a request and returns the complete response.
    ///
    /// - Throws: `TransportError` if there is no complete response.
    public func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        let translated = Self.translate(request, try OutboundTarget(request), body)
        let start = ContinuousClock.now
        let deadline = min(options.timeout, timeout)
        var attempt = 1
        while true {
            let generation = try generation()
            let left = deadline - start.duration(to: .now)
            switch await exchange(translated, request.method, options.maximumResponseBytes, within: left, generation) {
            case .response(let response): return response
            case .failed(let error): throw error
            case .timedOut:
                // The connection may be dead. Retire it, so that no other request waits for it.
                retire(generation)
                throw TransportError(.timedOut, message: "the deadline passed")
            case .unacknowledged(let error):
                retire(generation)
                guard attempt == 1 else { throw error }
                attempt += 1
            }
        }
    }

    private enum Outcome {
        case response(TransportResponse)
        case failed(TransportError)
        case timedOut
        /// The peer acknowledged none of the data that was sent last.
        case unacknowledged(TransportError)
    }

    private func exchange(
        _ request: HTTPClientRequest, _ method: HTTPRequest.Method, _ maximumBytes: Int, within limit: Duration,
        _ generation: ClientGeneration
    ) async -> Outcome {
        let start = ContinuousClock.now
        let received: TransportResponse?
        do {
            // The client's own deadline only covers the response head.
            received = try await withTimeLimit(limit, alarm) {
                let response = try await generation.client.execute(request, deadline: .distantFuture)
                var collector = try ResponseCollector(
                    try Self.translate(response), for: method, maximumBytes: maximumBytes)
                for try await piece in response.body {
                    try piece.withUnsafeReadableBytes { bytes throws(TransportError) in
                        try collector.append(bytes.bytes)
                    }
                }
                return try collector.response()
            }
        } catch {
            if Task.isCancelled { return .failed(Self.cancelled) }
            let translated = TransportError(asyncHTTPClient: error)
            return (error as? IOError)?.errnoCode == ETIMEDOUT ? .unacknowledged(translated) : .failed(translated)
        }
        // A cancelled body ends early, without an error.
        if Task.isCancelled { return .failed(Self.cancelled) }
        guard var response = received else { return .timedOut }
        response.elapsed = start.duration(to: .now)
        return .response(response)
    }

    /// Returns the client for a new request: one whose connections are all younger than the connection lifetime.
    private func generation() throws(TransportError) -> ClientGeneration {
        let generation = state.withLock { state in
            if let current = state.current, current.start.duration(to: .now) >= connectionLifetime {
                state.retire(current, configuration: clientConfiguration)
            }
            return state.current
        }
        guard let generation else { throw TransportError(.shutDown, message: "the transport was shut down") }
        return generation
    }

    private func retire(_ generation: ClientGeneration) {
        state.withLock { $0.retire(generation, configuration: clientConfiguration) }
    }

    private static let cancelled = TransportError(.cancelled, message: "the calling task was cancelled")

    private static func translate(
        _ request: HTTPRequest, _ target: OutboundTarget, _ body: [UInt8]
    ) -> HTTPClientRequest {
        var translated = HTTPClientRequest(url: target.url)
        translated.method = HTTPMethod(rawValue: request.method.rawValue)
        // AsyncHTTPClient derives the length and framing from the body, and the host from the authority.
        for field in request.headerFields
        where field.name != .contentLength && field.name != .transferEncoding && field.name.canonicalName != "host" {
            translated.headers.add(name: field.name.rawName, value: field.value)
        }
        if request.headerFields[.userAgent] == nil { translated.headers.add(name: "User-Agent", value: "token-broker") }
        // With compression, the length of a response could reveal a token that appears beside text chosen by a caller.
        // At this size, compression would save nothing.
        if request.headerFields[.acceptEncoding] == nil {
            translated.headers.add(name: "Accept-Encoding", value: "identity")
        }
        if !body.isEmpty { translated.body = .bytes(ByteBuffer(bytes: body)) }
        return translated
    }

    private static func translate(_ response: HTTPClientResponse) throws(TransportError) -> HTTPResponse {
        // No legitimate server sends this many, and HTTPFields cannot hold more than 65,535.
        guard response.headers.count <= 1000 else {
            throw TransportError(.tooLarge, message: "there are too many header fields")
        }
        guard 100...999 ~= response.status.code else {
            throw TransportError(.malformed, message: "the status is malformed")
        }
        var head = HTTPResponse(status: .init(code: Int(response.status.code)))
        for (name, value) in response.headers {
            if let name = HTTPField.Name(name) { head.headerFields.append(HTTPField(name: name, value: value)) }
        }
        return head
    }

    /// The settings of a transport, which apply to all its requests.
    public struct Configuration: Sendable {
        /// How long establishing a connection may take, including name resolution and TLS.
        public var connectTimeout: Duration
        /// The maximum timeout of a request. A request's own timeout applies if it is shorter.
        public var timeout: Duration
        /// The maximum age at which a connection takes another request.
        ///
        /// Each new connection resolves the name again, so a server that has moved is found.
        public var connectionLifetime: Duration
        /// A PEM file with the certificate authorities to trust instead of the system's.
        public var caFile: String?
        /// The number of connections to one host that take requests at a time. Further requests wait, within their
        /// timeouts.
        ///
        /// Connections that have outlived ``connectionLifetime`` are not counted. They finish their requests, which
        /// takes no longer than ``timeout``.
        public var maximumConnectionsPerHost: Int

        /// Creates a configuration.
        public init(
            connectTimeout: Duration = .seconds(3), timeout: Duration = .seconds(10),
            connectionLifetime: Duration = .seconds(300), caFile: String? = nil, maximumConnectionsPerHost: Int = 64
        ) {
            self.connectTimeout = connectTimeout
            self.timeout = timeout
            self.connectionLifetime = connectionLifetime
            self.caFile = caFile
            self.maximumConnectionsPerHost = maximumConnectionsPerHost
        }

        /// How long a peer may leave all data that was sent to it unacknowledged, in milliseconds. TCP retransmits
        /// after a fifth of a second or a few round trips, and then ever more slowly. This value allows several
        /// retransmissions.
        private static let maximumSilence: SocketOptionValue = 2000

        fileprivate func forClient() throws(TransportError) -> HTTPClient.Configuration {
            for (value, name) in [
                (connectTimeout, "connectTimeout"), (timeout, "timeout"), (connectionLifetime, "connectionLifetime"),
            ] where value <= .zero {
                throw TransportError(.other, message: "\(name) must be positive")
            }
            guard maximumConnectionsPerHost > 0 else {
                throw TransportError(.other, message: "maximumConnectionsPerHost must be positive")
            }
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.minimumTLSVersion = .tlsv12
            if let caFile {
                // Checked here, because otherwise only the first request would fail.
                guard let authorities = try? NIOSSLCertificate.fromPEMFile(caFile), !authorities.isEmpty else {
                    throw TransportError(
                        .other, message: "caFile cannot be read or has no certificate: \(ConfiguredNames.file(caFile))")
                }
                tls.trustRoots = .certificates(authorities)
            }
            var configuration = HTTPClient.Configuration(
                tlsConfiguration: tls, redirectConfiguration: .disallow,
                timeout: .init(connect: TimeAmount(min(connectTimeout, timeout)))
            )
            // Over HTTP/2, AsyncHTTPClient may wait forever for a response that is sent before the request body is
            // read, such as nginx's 429.
            configuration.httpVersion = .http1Only
            configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = maximumConnectionsPerHost
            // The transport does not retry connection attempts.
            configuration.connectionPool.retryConnectionEstablishment = false
            #if os(Linux)
            configuration.http1_1ConnectionDebugInitializer = { channel in
                let option = ChannelOptions.Types.SocketOption(
                    level: .tcp, name: NIOBSDSocket.Option(rawValue: TCP_USER_TIMEOUT))
                return channel.setOption(option, value: Self.maximumSilence)
            }
            #endif
            // The broker has its own spans, and header fields must be sent unchanged.
            configuration.tracing.tracer = nil
            return configuration
        }
    }
}

/// A client whose connections were all opened after ``start``. AsyncHTTPClient itself does not close connections
/// because of their age.
///
/// Requests retain their generation. When it is released, it closes its connections.
private final class ClientGeneration: Sendable {
    let client: HTTPClient
    let start = ContinuousClock.now

    init(_ configuration: HTTPClient.Configuration) {
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    // A client must be shut down before it is released. Shutting it down twice does no harm.
    deinit { client.shutdown { _ in } }
}

private struct WeakGeneration {
    weak var generation: ClientGeneration?
}
#endif

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

/// An ``HTTPTransport`` on AsyncHTTPClient, for servers that run SwiftNIO anyway and want no libcurl.
///
/// It speaks HTTP/1.1; connections are kept and reused. TLS is 1.2 or later, and the certificate is always verified. A response's `elapsed`
/// counts from the call, since the client does not tell when it sent the request.
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
        /// `nil` after the shutdown.
        var current: ClientGeneration?
        /// Those that may still have something under way.
        var retired: [WeakGeneration] = []

        /// Lets the generation take no new request.
        mutating func retire(_ generation: ClientGeneration, configuration: HTTPClient.Configuration) {
            guard generation === current else { return }
            retired.removeAll { $0.generation == nil }
            retired.append(WeakGeneration(generation: generation))
            current = ClientGeneration(configuration)
        }
    }

    /// Runs on the process's shared event loops.
    /// - Throws: ``TransportError`` with a message that names the setting, if a value cannot be used.
    public init(configuration: Configuration = Configuration()) throws(TransportError) {
        timeout = configuration.timeout
        connectionLifetime = configuration.connectionLifetime
        clientConfiguration = try configuration.forClient()
        state = Mutex(State(current: ClientGeneration(clientConfiguration)))
    }

    /// Ends all transfers with ``TransportError/Code/shutDown`` and closes all connections. Returns when that is done, which for a connection
    /// that is being established may take up to the connect timeout; further calls do nothing.
    public func shutdown() async {
        let generations = state.withLock { state in
            defer { state = State() }
            return [state.current].compactMap(\.self) + state.retired.compactMap(\.generation)
        }
        for generation in generations { try? await generation.client.shutdown() }
    }

    /// See ``HTTPTransport/send(_:body:options:)``.
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
                // The connection may have been dead; no other request is to find out.
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
        /// The peer has acknowledged nothing of what was sent last.
        case unacknowledged(TransportError)
    }

    private func exchange(
        _ request: HTTPClientRequest, _ method: HTTPRequest.Method, _ maximumBytes: Int, within limit: Duration,
        _ generation: ClientGeneration
    ) async -> Outcome {
        let start = ContinuousClock.now
        let received: TransportResponse?
        do {
            // The client's own deadline would end with the head.
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
        // A body that is cancelled ends early and without an error.
        if Task.isCancelled { return .failed(Self.cancelled) }
        guard var response = received else { return .timedOut }
        response.elapsed = start.duration(to: .now)
        return .response(response)
    }

    /// The client for a new request: one whose connections are all younger than their lifetime.
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
        // The length and the framing follow from the body, the host from the authority.
        for field in request.headerFields
        where field.name != .contentLength && field.name != .transferEncoding && field.name.canonicalName != "host" {
            translated.headers.add(name: field.name.rawName, value: field.value)
        }
        if request.headerFields[.userAgent] == nil { translated.headers.add(name: "User-Agent", value: "token-broker") }
        // Compression would let a compressed length tell of a token that stands beside a caller's text, and saves nothing at this size.
        if request.headerFields[.acceptEncoding] == nil {
            translated.headers.add(name: "Accept-Encoding", value: "identity")
        }
        if !body.isEmpty { translated.body = .bytes(ByteBuffer(bytes: body)) }
        return translated
    }

    private static func translate(_ response: HTTPClientResponse) throws(TransportError) -> HTTPResponse {
        // No server means so many, and HTTPFields could not hold more than 65,535.
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

    /// How a transport behaves, for all its requests.
    public struct Configuration: Sendable {
        /// How long establishing a connection may take, name resolution and TLS included.
        public var connectTimeout: Duration
        /// The longest deadline; a request's own counts if it is shorter.
        public var timeout: Duration
        /// How old a connection may be to take another request. Names are resolved for each connection, so a server that has
        /// moved is found.
        public var connectionLifetime: Duration
        /// A PEM file with the certificate authorities to trust, instead of the system's.
        public var caFile: String?
        /// How many connections to one host take requests at a time; further requests wait within their deadlines.
        ///
        /// Connections that have outlived ``connectionLifetime`` finish their requests beside those, which takes no longer than ``timeout``.
        public var maximumConnectionsPerHost: Int

        /// Takes all members, in their order of declaration.
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

        /// In milliseconds: for how long a connection's peer may leave everything that was sent unacknowledged. Packets are sent again
        /// after a fifth of a second or a few round trips, and then ever more slowly: this is several of them.
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
                // Otherwise only the first request would say so.
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
            // Over HTTP/2 it may wait for ever for an answer that is given before the request's body is read, as nginx gives 429.
            configuration.httpVersion = .http1Only
            configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = maximumConnectionsPerHost
            // Nothing is retried here.
            configuration.connectionPool.retryConnectionEstablishment = false
            #if os(Linux)
            configuration.http1_1ConnectionDebugInitializer = { channel in
                let option = ChannelOptions.Types.SocketOption(
                    level: .tcp, name: NIOBSDSocket.Option(rawValue: TCP_USER_TIMEOUT))
                return channel.setOption(option, value: Self.maximumSilence)
            }
            #endif
            // The broker has spans of its own, and sends header fields as they stand.
            configuration.tracing.tracer = nil
            return configuration
        }
    }
}

/// A client whose connections were all opened after one moment, since the client itself gives none up for its age.
///
/// Its requests hold it; when nobody does, it closes its connections.
private final class ClientGeneration: Sendable {
    let client: HTTPClient
    let start = ContinuousClock.now

    init(_ configuration: HTTPClient.Configuration) {
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    // A client must be shut down before it is released; a second time does no harm.
    deinit { client.shutdown { _ in } }
}

private struct WeakGeneration {
    weak var generation: ClientGeneration?
}
#endif

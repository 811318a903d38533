#if AsyncHTTPClientSupport
import AsyncHTTPClient
public import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOSSL
public import TokenBroker

/// An ``HTTPTransport`` on AsyncHTTPClient, for servers that run SwiftNIO anyway and want no libcurl.
///
/// It speaks HTTP/1.1; connections are kept and reused. TLS is 1.2 or later, and the certificate is always verified. A response's `elapsed`
/// counts from the call, since the client does not tell when it sent the request.
///
/// ```swift
/// let transport = try AsyncHTTPClientTransport()
/// let response = try await transport.send(request, body: [], options: TransportOptions(deadline: .seconds(5)))
/// await transport.shutdown()
/// ```
public final class AsyncHTTPClientTransport: HTTPTransport {
    private let client: HTTPClient
    private let timeout: Duration
    private let alarm = Alarm(ContinuousClock())

    /// Runs on the process's shared event loops.
    /// - Throws: ``TransportError`` with a message that names the setting, if a value cannot be used.
    public init(configuration: Configuration = Configuration()) throws(TransportError) {
        timeout = configuration.timeout
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: try configuration.forClient())
    }

    // A client must be shut down before it is released; a second time does no harm.
    deinit { client.shutdown { _ in } }

    /// Ends all transfers with ``TransportError/Kind/shutDown`` and closes all connections. Returns when that is done, which for a connection
    /// that is being established may take up to the connect timeout; further calls do nothing.
    public func shutdown() async { try? await client.shutdown() }

    /// See ``HTTPTransport/send(_:body:options:)``.
    public func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        let request = Self.translate(request, try OutboundTarget(request), body)
        let start = ContinuousClock.now
        let received: TransportResponse?
        do {
            let (client, deadline) = (client, min(options.deadline, timeout))
            // The client's own deadline would end with the head.
            received = try await withTimeLimit(deadline, alarm) {
                let response = try await client.execute(request, deadline: .distantFuture)
                let head = try Self.translate(response)
                let body = try await response.body.collect(upTo: max(0, options.maximumResponseBytes))
                return TransportResponse(head: head, body: Array(body.readableBytesView))
            }
        } catch {
            try Self.checkCancellation()
            throw TransportError(asyncHTTPClient: error)
        }
        // A body that is cancelled ends early and without an error.
        try Self.checkCancellation()
        guard var response = received else { throw TransportError(.timedOut, message: "the deadline passed") }
        response.elapsed = start.duration(to: .now)
        return response
    }

    private static func checkCancellation() throws(TransportError) {
        if Task.isCancelled { throw TransportError(.cancelled, message: "the calling task was cancelled") }
    }

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
        /// A PEM file with the certificate authorities to trust, instead of the system's.
        public var caFile: String?
        /// How many connections there are to one host at a time; further requests wait within their deadlines.
        public var maximumConnectionsPerHost: Int

        /// Takes all members, in their order of declaration.
        public init(
            connectTimeout: Duration = .seconds(3), timeout: Duration = .seconds(10), caFile: String? = nil,
            maximumConnectionsPerHost: Int = 64
        ) {
            self.connectTimeout = connectTimeout
            self.timeout = timeout
            self.caFile = caFile
            self.maximumConnectionsPerHost = maximumConnectionsPerHost
        }

        fileprivate func forClient() throws(TransportError) -> HTTPClient.Configuration {
            for (value, name) in [(connectTimeout, "connectTimeout"), (timeout, "timeout")] where value <= .zero {
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
                    throw TransportError(.other, message: "caFile cannot be read or has no certificate: \(caFile)")
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
            // The broker has spans of its own, and sends header fields as they stand.
            configuration.tracing.tracer = nil
            return configuration
        }
    }
}
#endif

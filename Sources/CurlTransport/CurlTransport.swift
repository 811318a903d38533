import CLibcurl
import FoundationEssentials
public import HTTPTypes
public import TokenBroker

/// An ``HTTPTransport`` on libcurl's multi interface.
///
/// One thread of its own drives all transfers; connections are kept and reused, and HTTP/2 is used over TLS where the server speaks it. TLS
/// is 1.2 or later, and the certificate is always verified. The environment has no say: no proxy variables, no CA variables.
///
/// ```swift
/// let transport = try CurlTransport()
/// let response = try await transport.send(request, body: [], options: TransportOptions(deadline: .seconds(5)))
/// await transport.shutdown()
/// ```
///
/// A transport that is released without ``shutdown()`` ends its thread by itself.
public final class CurlTransport: HTTPTransport {
    private let configuration: Configuration
    private let loop: CurlLoop

    /// - Throws: ``TransportError`` with a message that names the setting, if a value cannot be used.
    public init(configuration: Configuration = Configuration()) throws(TransportError) {
        try configuration.validate()
        self.configuration = configuration
        self.loop = try CurlLoop(configuration)
    }

    deinit { loop.shutDown(then: nil) }

    /// See ``HTTPTransport/send(_:body:options:)``.
    public func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        let deadline = min(options.deadline, configuration.timeout)
        let transfer = try Transfer(
            request, body: body, deadline: deadline, maximumBytes: options.maximumResponseBytes
        )
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                transfer.continuation = continuation
                loop.start(transfer)
            }
        } onCancel: {
            loop.cancel(transfer)
        }
        return try result.get()
    }

    /// Ends all transfers with ``TransportError/Kind/shutDown``, closes all connections and ends the thread. Returns when that is
    /// done; further calls do nothing.
    public func shutdown() async {
        await withCheckedContinuation { continuation in loop.shutDown(then: continuation) }
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
        /// How many connections there are at a time.
        public var maximumConnections: Int

        /// Takes all members, in their order of declaration.
        public init(
            connectTimeout: Duration = .seconds(3), timeout: Duration = .seconds(10), caFile: String? = nil,
            maximumConnectionsPerHost: Int = 64, maximumConnections: Int = 256
        ) {
            self.connectTimeout = connectTimeout
            self.timeout = timeout
            self.caFile = caFile
            self.maximumConnectionsPerHost = maximumConnectionsPerHost
            self.maximumConnections = maximumConnections
        }

        fileprivate func validate() throws(TransportError) {
            func require(_ condition: Bool, _ message: String) throws(TransportError) {
                guard condition else { throw TransportError(.other, message: message) }
            }
            try require(connectTimeout > .zero, "connectTimeout must be positive")
            try require(timeout > .zero, "timeout must be positive")
            try require(maximumConnectionsPerHost > 0, "maximumConnectionsPerHost must be positive")
            try require(maximumConnections > 0, "maximumConnections must be positive")
            if let caFile {
                // libcurl would only say so at the first request.
                guard let content = try? Data(contentsOf: URL(filePath: caFile)) else {
                    throw TransportError(.other, message: "caFile cannot be read: \(caFile)")
                }
                try require(
                    content.firstRange(of: Data("-----BEGIN ".utf8)) != nil,
                    "caFile has no certificate in PEM form: \(caFile)"
                )
            }
        }
    }
}

#if CurlSupport
import CLibcurl
import FoundationEssentials
public import HTTPTypes
public import TokenBroker

/// An `HTTPTransport` built on libcurl's multi interface.
///
/// A dedicated thread drives all transfers. Connections are reused, and HTTP/2 is used over TLS where the server
/// supports it. TLS is 1.2 or later, and the certificate is always verified. Proxy and CA variables in the environment
/// are ignored.
///
/// ```swift
/// let transport = try CurlTransport()
/// let response = try await transport.send(request, body: [], options: TransportOptions(timeout: .seconds(5)))
/// await transport.shutdown()
/// ```
///
/// A transport that is released without a call to ``shutdown()`` still ends its thread.
public final class CurlTransport: HTTPTransport, ShutsDown {
    private let configuration: Configuration
    private let loop: CurlLoop

    /// Creates a transport and starts its thread.
    ///
    /// - Throws: `TransportError` with a message that names the setting, if a value is invalid.
    public init(configuration: Configuration = Configuration()) throws(TransportError) {
        try configuration.validate()
        self.configuration = configuration
        self.loop = try CurlLoop(configuration)
    }

    deinit { loop.shutDown(then: nil) }

    /// Sends a request and returns the complete response.
    ///
    /// - Throws: `TransportError` if there is no complete response.
    public func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        let timeout = min(options.timeout, configuration.timeout)
        let transfer = Transfer(
            try EncodedRequest(request, body: body), timeout: timeout, maximumBytes: options.maximumResponseBytes
        )
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                transfer.continuation = continuation
                loop.start(transfer)
            }
        } onCancel: {
            loop.cancel(transfer)
        }
        transfer.follow()
        return try result.get()
    }

    /// Ends all transfers with `TransportError/Code/shutDown`, closes all connections and ends the thread.
    ///
    /// Returns when that is done. Further calls do nothing.
    public func shutdown() async {
        await withCheckedContinuation { continuation in loop.shutDown(then: continuation) }
    }

    /// An executor that runs tasks on the transport's own thread.
    ///
    /// Use it for tasks that make many requests and do little work between them: no request then costs a thread switch.
    /// A task that blocks this thread blocks all transfers.
    ///
    /// ```swift
    /// try await withTaskExecutorPreference(transport.executor) {
    ///     try await transport.send(request, body: [], options: .init())
    /// }
    /// ```
    public var executor: any TaskExecutor { loop }
}
#endif

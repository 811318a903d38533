#if CurlSupport
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
/// let response = try await transport.send(request, body: [], options: TransportOptions(timeout: .seconds(5)))
/// await transport.shutdown()
/// ```
///
/// A transport that is released without ``shutdown()`` ends its thread by itself.
public final class CurlTransport: HTTPTransport, ShutsDown {
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

    /// Ends all transfers with ``TransportError/Code/shutDown``, closes all connections and ends the thread. Returns when that is
    /// done; further calls do nothing.
    public func shutdown() async {
        await withCheckedContinuation { continuation in loop.shutDown(then: continuation) }
    }

    /// The transport's own thread, for tasks whose calls are many and whose work between them is short: no call then costs a change of
    /// threads. What blocks there blocks all transfers.
    ///
    /// ```swift
    /// try await withTaskExecutorPreference(transport.executor) { try await transport.send(request, body: [], options: .init()) }
    /// ```
    public var executor: any TaskExecutor { loop }
}
#endif

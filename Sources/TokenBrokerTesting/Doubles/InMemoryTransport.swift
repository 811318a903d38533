public import HTTPTypes
public import TokenBroker

/// A transport without a network, whose responses come from a closure.
///
/// It keeps the promises that need no sockets: the scheme rule, the timeout, cancellation, content codings and the
/// limit on the response's size. The closure must stop waiting when its task is cancelled.
///
/// ```swift
/// let transport = InMemoryTransport { request, body in
///     TransportResponse(head: HTTPResponse(status: .ok), body: Array(#"{"access_token": "t"}"#.utf8))
/// }
/// ```
public struct InMemoryTransport: HTTPTransport {
    private let alarm: Alarm
    private let answer: @Sendable (HTTPRequest, [UInt8]) async throws -> TransportResponse

    /// Creates a transport.
    ///
    /// - Parameters:
    ///   - clock: The clock that measures timeouts.
    ///   - answer: A closure that returns the response to a request and its body. A `TransportError` that it throws is
    ///     passed on unchanged. Any other error becomes `TransportError/Code/other`.
    public init(
        clock: some Clock<Duration> = ContinuousClock(),
        answer: @escaping @Sendable (HTTPRequest, [UInt8]) async throws -> TransportResponse
    ) {
        self.alarm = Alarm(clock)
        self.answer = answer
    }

    /// Calls the closure and returns its response.
    ///
    /// - Throws: `TransportError` if the request is not allowed, the closure fails, the timeout expires, the task is
    ///   cancelled, or the response is too large or malformed.
    public func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        _ = try OutboundTarget(request)
        let response: TransportResponse?
        do {
            let answer = answer
            response = try await withTimeLimit(options.timeout, alarm) { try await answer(request, body) }
        } catch {
            if Task.isCancelled { throw TransportError(.cancelled, message: "the calling task was cancelled") }
            throw error as? TransportError ?? TransportError(.other, message: "the closure failed")
        }
        guard let response else { throw TransportError(.timedOut, message: "the timeout expired") }
        var collector = try ResponseCollector(
            response.head, for: request.method, maximumBytes: options.maximumResponseBytes)
        try collector.append(response.body.span.bytes)
        return try collector.response(elapsed: response.elapsed)
    }
}

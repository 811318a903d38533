public import HTTPTypes
public import TokenBroker

/// A transport without a network: a closure answers.
///
/// It keeps the promises that can be kept without sockets: the scheme rule, the timeout, cancellation, content codings, and the ceiling on
/// the response's size. The closure must end its waits when its task is cancelled.
///
/// ```swift
/// let transport = InMemoryTransport { request, body in
///     TransportResponse(head: HTTPResponse(status: .ok), body: Array(#"{"access_token": "t"}"#.utf8))
/// }
/// ```
public struct InMemoryTransport: HTTPTransport {
    private let alarm: Alarm
    private let answer: @Sendable (HTTPRequest, [UInt8]) async throws -> TransportResponse

    /// - Parameters:
    ///   - clock: Measures timeouts.
    ///   - answer: A ``TransportError`` it throws is passed on as it is.
    public init(
        clock: some Clock<Duration> = ContinuousClock(),
        answer: @escaping @Sendable (HTTPRequest, [UInt8]) async throws -> TransportResponse
    ) {
        self.alarm = Alarm(clock)
        self.answer = answer
    }

    /// See ``HTTPTransport/send(_:body:options:)``.
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
        guard let response else { throw TransportError(.timedOut, message: "the timeout passed") }
        var collector = try ResponseCollector(
            response.head, for: request.method, maximumBytes: options.maximumResponseBytes)
        try collector.append(response.body.span.bytes)
        return try collector.response(elapsed: response.elapsed)
    }
}

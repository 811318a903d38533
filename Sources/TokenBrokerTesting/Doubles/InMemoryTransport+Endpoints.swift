import HTTPTypes
public import TokenBroker

extension InMemoryTransport {
    /// Creates a transport that calls endpoints directly, as a host server and its route adapter do, but without a
    /// socket.
    ///
    /// ```swift
    /// let sandbox = await Sandbox()
    /// let broker = try await Composer().compose(
    ///     configuration, transport: InMemoryTransport(sandbox.endpoints), logger: logger)
    /// ```
    ///
    /// - Parameters:
    ///   - endpoints: The endpoints to call. A request that matches none of them gets a 404.
    ///   - peer: The address that requests seem to come from.
    ///   - clock: The clock that measures timeouts and the elapsed time of calls.
    public init(
        _ endpoints: EndpointSet, peer: PeerAddress? = PeerAddress(ip: "127.0.0.1"),
        clock: some Clock<Duration> = ContinuousClock()
    ) {
        let alarm = Alarm(clock)
        self.init(clock: clock) { request, body in
            let start = alarm.now
            var head = request
            if !body.isEmpty { head.headerFields[.contentLength] = String(body.count) }
            let answer = await endpoints.respond(to: EndpointRequest(head: head, body: EndpointBody(body), peer: peer))
            try Task.checkCancellation()
            var response = answer ?? EndpointResponse(status: .notFound)
            if response.head.headerFields[.contentLength] == nil, response.head.status != .noContent {
                response.head.headerFields[.contentLength] = String(response.body.count)
            }
            if request.method == .head { response.body = [] }
            return TransportResponse(head: response.head, body: response.body, elapsed: alarm.now - start)
        }
    }
}

import HTTPTypes
import TokenBroker

extension EndpointSet {
    /// Responds to a request of a host that uses swift-http-types. This is a complete adapter.
    ///
    /// - Parameters:
    ///   - head: The request's head, with the path and query as they were sent and with `authority` from `Host`.
    ///   - body: The body's chunks, which are read on demand.
    ///   - peer: The IP address of the connection's peer.
    /// - Returns: The response, or `nil` if the path is not the broker's. The host then handles the request.
    func answer<Body: AsyncSequence & Sendable>(
        _ head: HTTPRequest, body: Body, peer: String?
    ) async -> (head: HTTPResponse, body: [UInt8])? where Body.Element == [UInt8] {
        guard let match = match(head.path ?? "") else { return nil }
        // A length beyond `Int.max` must not look like a missing one.
        let length = head.headerFields[.contentLength].map { Int($0) ?? .max }
        let body = EndpointBody(body, announcedLength: length)
        // The host should cancel this task when the client disconnects.
        let answer = await match.respond(
            to: EndpointRequest(head: head, body: body, peer: peer.flatMap { PeerAddress(ip: $0) })
        )
        .framed(for: head.method)
        // If the body was not read to its end, close the connection after the response, or read the rest.
        return (answer.head, answer.body)
    }
}

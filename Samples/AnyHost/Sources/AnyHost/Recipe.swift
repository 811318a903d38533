import HTTPTypes
import TokenBroker

extension EndpointSet {
    /// The whole adapter for a host that speaks swift-http-types: `nil` if the request is not the broker's, and the host goes on.
    ///
    /// - Parameters:
    ///   - head: As received, with the path and query as they were sent and `authority` from `Host`.
    ///   - body: Its chunks, read as they are asked for.
    ///   - peer: The IP address at the other end of the connection.
    func answer<Body: AsyncSequence & Sendable>(
        _ head: HTTPRequest, body: Body, peer: String?
    ) async -> (head: HTTPResponse, body: [UInt8])? where Body.Element == [UInt8] {
        guard let match = match(head.path ?? "") else { return nil }
        // A length beyond `Int.max` must not count as none.
        let length = head.headerFields[.contentLength].map { Int($0) ?? .max }
        let body = EndpointBody(body, announcedLength: length)
        // Cancel the task that this runs in when the client goes away.
        let answer = await match.respond(
            to: EndpointRequest(head: head, body: body, peer: peer.flatMap { PeerAddress(ip: $0) })
        )
        .framed(for: head.method)
        // If the body was not read to its end, close the connection after this, or read what is left of it.
        return (answer.head, answer.body)
    }
}

#if FlyingFoxSupport
public import FlyingFox
import FlyingSocks
import HTTPTypes
public import TokenBroker

extension HTTPServer {
    /// Mounts the broker's routes on this server.
    ///
    /// FlyingFox asks its routes in the order in which they were added: those before this call keep their paths.
    ///
    /// ```swift
    /// let server = HTTPServer(config: .init(address: .inet(port: 8080), sharedRequestReplaySize: 0))
    /// await server.appendRoute("GET /") { _ in HTTPResponse(statusCode: .ok) }
    /// await server.mount(broker.endpoints)
    /// try await server.run()
    /// ```
    ///
    /// `sharedRequestReplaySize: 0` lets a route answer before a large body has arrived; with FlyingFox's default it is
    /// read to its end first, however slowly it comes. What FlyingFox 0.27 itself does not do; a reverse proxy that
    /// normalizes requests, with limits of its own, makes up for most of it:
    /// - it keeps only the last of repeated request fields, and sends no `100 Continue`;
    /// - it does not notice that a client is gone before it answers, and bounds neither answers that nobody reads nor
    ///   bodies that no route reads;
    /// - it accepts requests that RFC 9112 has it refuse: without `Host` or with several, with unclear lengths and
    ///   transfer codings, or malformed ones behind good ones;
    /// - it does not refuse `CONNECT`, and sends no `Date`;
    /// - it closes at once, so that a client that is still sending may lose the last answer;
    /// - it reads a request of up to `sharedRequestBufferSize` to its end before any route, however long that takes;
    /// - it ends a route after its own `timeout`, with 500: keep `route.timeout` below;
    /// - `stop(timeout:)` takes the whole timeout, and what is under way may be cancelled when another client connects
    ///   in that time.
    ///
    /// - Parameters:
    ///   - endpoints: The routes.
    ///   - hostPaths: Paths that your routes answer although an endpoint would, also those that are added later.
    public func mount(_ endpoints: EndpointSet, except hostPaths: Set<String> = []) {
        appendRoute("*", to: EndpointSetHandler(endpoints, except: hostPaths))
    }
}

/// Answers the requests that an ``EndpointSet`` knows, and leaves the others to the next route.
/// ``FlyingFox/HTTPServer/mount(_:except:)`` is the short way.
public struct EndpointSetHandler: HTTPHandler {
    private let endpoints: EndpointSet

    /// - Parameters:
    ///   - endpoints: The routes.
    ///   - hostPaths: Paths that the host answers although an endpoint would.
    public init(_ endpoints: EndpointSet, except hostPaths: Set<String> = []) {
        self.endpoints = endpoints.excluding(hostPaths)
    }

    /// Answers what is ours.
    /// - Throws: `HTTPUnhandledError` for the rest.
    public func handleRequest(_ request: FlyingFox.HTTPRequest) async throws -> FlyingFox.HTTPResponse {
        guard let head = HTTPTypes.HTTPRequest(request), let match = endpoints.match(head.path ?? "") else {
            throw HTTPUnhandledError()
        }
        let body = WatchedBody(request.bodySequence)
        let length = request.headers[.contentLength].map { Int($0) ?? .max }
        let answer = await match.respond(
            to: EndpointRequest(
                head: head, body: EndpointBody(body, announcedLength: length),
                peer: request.remoteAddress.flatMap(PeerAddress.init)
            )
        )
        .framed(for: head.method)
        var headers = HTTPHeaders()
        for field in answer.head.headerFields { headers.addValue(field.value, for: HTTPHeader(field.name.rawName)) }
        let payload = AnswerAndRest(answer: answer.body, rest: body)
        return FlyingFox.HTTPResponse(
            statusCode: HTTPStatusCode(answer.head.status.code, phrase: answer.head.status.reasonPhrase),
            headers: headers,
            body: HTTPBodySequence(
                from: payload, count: answer.head.headerFields[.contentLength].flatMap { Int($0) } ?? 0)
        )
    }
}

extension HTTPTypes.HTTPRequest {
    fileprivate init?(_ request: FlyingFox.HTTPRequest) {
        guard let method = Method(request.method.rawValue) else { return nil }
        let target = RequestTarget(request.target.rawValue)
        var fields = HTTPFields()
        for (header, value) in request.headers where header != .host {
            if let name = HTTPField.Name(header.rawValue) { fields.append(HTTPField(name: name, value: value)) }
        }
        self.init(
            method: method, scheme: nil, authority: target.authority ?? request.headers[.host], path: target.path,
            headerFields: fields
        )
    }
}

extension PeerAddress {
    fileprivate init?(_ address: FlyingFox.HTTPRequest.Address) {
        switch address {
        case .ip4(let ip, port: _), .ip6(let ip, port: _): self.init(ip: ip)
        case .unix: self = .unixSocket
        }
    }
}

/// The bytes of the answer, and then what is to be done about a body that was not read. FlyingFox would take it for the
/// next request, and closes a connection only when a response's body throws.
private struct AnswerAndRest: AsyncBufferedSequence {
    typealias Element = UInt8

    let answer: [UInt8]
    let rest: WatchedBody<HTTPBodySequence>

    func makeAsyncIterator() -> Iterator { Iterator(answer: answer[...], rest: rest) }

    struct Iterator: AsyncBufferedIteratorProtocol {
        var answer: ArraySlice<UInt8>
        let rest: WatchedBody<HTTPBodySequence>

        mutating func next() async throws -> UInt8? { try await nextBuffer(suggested: 1)?.first }

        mutating func nextBuffer(suggested count: Int) async throws -> ArraySlice<UInt8>? {
            if !answer.isEmpty {
                defer { answer = answer.dropFirst(count) }
                return answer.prefix(count)
            }
            guard await rest.drain() else { throw UnreadBody() }
            return nil
        }
    }

    struct UnreadBody: Error {}
}
#endif

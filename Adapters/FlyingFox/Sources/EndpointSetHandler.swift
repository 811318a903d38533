#if FlyingFoxSupport
public import FlyingFox
import FlyingSocks
import HTTPTypes
public import TokenBroker

extension HTTPServer {
    /// Mounts the broker's routes on this server.
    ///
    /// FlyingFox tries routes in the order in which they were added, so routes added before this call keep their paths.
    ///
    /// ```swift
    /// let server = HTTPServer(config: .init(address: .inet(port: 8080), sharedRequestReplaySize: 0))
    /// await server.appendRoute("GET /") { _ in HTTPResponse(statusCode: .ok) }
    /// await server.mount(broker.endpoints)
    /// try await server.run()
    /// ```
    ///
    /// `sharedRequestReplaySize: 0` lets a route respond before a large body has arrived. With FlyingFox's default, the
    /// whole body is read first, however slowly it arrives.
    ///
    /// FlyingFox 0.27 itself has these limitations. A reverse proxy that normalizes requests, with limits of its own,
    /// makes up for most of them:
    ///
    /// - It keeps only the last of repeated request fields, and sends no `100 Continue`.
    /// - It does not notice that a client has disconnected until it responds. It limits neither responses that the
    ///   client does not read nor bodies that no route reads.
    /// - It accepts requests that RFC 9112 requires it to refuse: without `Host` or with several, with ambiguous
    ///   lengths and transfer codings, or malformed requests that follow valid ones.
    /// - It does not refuse `CONNECT`, and sends no `Date`.
    /// - It closes a connection immediately, so a client that is still sending may lose the last response.
    /// - It reads a request of up to `sharedRequestBufferSize` to its end before any route runs, however long that
    ///   takes.
    /// - It ends a route after its own `timeout`, with status 500. Keep `route.timeout` below that.
    /// - `stop(timeout:)` takes the whole timeout, and requests in progress may be cancelled when another client
    ///   connects in that time.
    ///
    /// - Parameters:
    ///   - endpoints: The routes to mount.
    ///   - hostPaths: Paths that your own routes serve even if an endpoint has the same path. They may be added later.
    public func mount(_ endpoints: EndpointSet, except hostPaths: Set<String> = []) {
        appendRoute("*", to: EndpointSetHandler(endpoints, except: hostPaths))
    }
}

/// A handler that responds to the requests for an `EndpointSet`, and leaves all others to the next route.
///
/// To mount it on a server, call `FlyingFox/HTTPServer/mount(_:except:)`.
public struct EndpointSetHandler: HTTPHandler {
    private let endpoints: EndpointSet

    /// Creates a handler.
    ///
    /// - Parameters:
    ///   - endpoints: The routes.
    ///   - hostPaths: Paths that the host serves even if an endpoint has the same path.
    public init(_ endpoints: EndpointSet, except hostPaths: Set<String> = []) {
        self.endpoints = endpoints.excluding(hostPaths)
    }

    /// Responds to a request for one of the endpoints.
    ///
    /// - Throws: `HTTPUnhandledError` for any other request.
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

/// The bytes of a response, followed by the handling of a body that was not read.
///
/// FlyingFox would take the rest of that body for the next request, and closes a connection only when a response's body
/// throws.
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

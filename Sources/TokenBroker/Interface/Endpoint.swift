public import HTTPTypes

/// One route of the broker, independent of any HTTP server.
///
/// **Use one.** An ``EndpointSet`` finds the endpoint for a request; a route adapter hands the set the host's
/// requests and writes back what it answers.
///
/// **Write one.** Answer every method of your path, an unsupported one with 405 and `Allow`. Do not throw: an endpoint
/// knows best what its failure looks like to a page.
///
/// **Test one.** Call ``respond(to:)`` with a ``RouteRequest``; no server is needed.
public protocol Endpoint: Sendable {
    /// Which paths it answers.
    var path: RoutePath { get }

    func respond(to request: RouteRequest) async -> RouteResponse
}

/// The broker's routes, to be mounted on an HTTP server.
///
/// **Use it.** A route adapter for the server at hand mounts it in one line.
///
/// **Write an adapter.** For each request of the host whose path ``contains(path:)`` says is ours, whichever its method, call ``respond(to:)`` with:
/// - the head as it was received, repeated header fields included, `authority` from `Host` or `:authority`;
/// - the body unread, as a ``RouteBody``, and its chunks only as they are asked for;
/// - the address of the peer, `nil` only if the host cannot know it.
///
/// Write back status, header fields in order and body as they are. If the body was not read to its end, do not drain it
/// without limit: close the connection. When the client goes away, cancel the task in which `respond(to:)` runs. When ``respond(to:)`` returns `nil`
/// the request is none of ours and the host goes on.
///
/// **Test an adapter.** `RouteAdapterContract` in `TokenBrokerTesting` runs these rules over a real socket.
public struct EndpointSet: Sendable {
    /// In the order in which they are asked.
    public private(set) var endpoints: [any Endpoint]

    /// - Parameter endpoints: The first whose path matches answers.
    public init(_ endpoints: [any Endpoint] = []) { self.endpoints = endpoints }

    /// Appends `endpoint`.
    public mutating func add(_ endpoint: any Endpoint) { endpoints.append(endpoint) }

    /// Whether some endpoint answers `path`, a request target with or without its query.
    public func contains(path: String) -> Bool { match(path) != nil }

    /// The answer of the first endpoint whose path matches; `nil` if there is none.
    public func respond(to request: RouteRequest) async -> RouteResponse? {
        guard let (endpoint, parameters) = match(request.head.path ?? "") else { return nil }
        var request = request
        request.pathParameters = parameters
        return await endpoint.respond(to: request)
    }

    private func match(_ path: String) -> (any Endpoint, [String: String])? {
        for endpoint in endpoints {
            if let parameters = endpoint.path.match(path) { return (endpoint, parameters) }
        }
        return nil
    }
}

/// A path of fixed segments and parameters: `/invoices/{id}`.
///
/// A parameter stands for one whole, non-empty segment, handed on with its percent-encoding removed. Fixed segments are
/// compared as they stand.
public struct RoutePath: Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// As it was written.
    public let description: String
    private let segments: [Segment]

    private enum Segment: Sendable, Hashable {
        case fixed(ExactString)
        case parameter(String)
    }

    /// Takes all members, in their order of declaration.
    public init(_ text: String) {
        self.description = text
        self.segments = text.split(separator: "/", omittingEmptySubsequences: false).map { segment in
            if segment.hasPrefix("{"), segment.hasSuffix("}") {
                return .parameter(String(segment.dropFirst().dropLast()))
            }
            return .fixed(ExactString(segment))
        }
    }

    /// Takes the literal as it is.
    public init(stringLiteral value: String) { self.init(value) }

    /// The parameters by name if `target` matches, otherwise `nil`. A query is passed over.
    public func match(_ target: String) -> [String: String]? {
        // Byte by byte, since a separator and a combining mark after it are one character.
        let path = target.utf8.prefix { $0 != UInt8(ascii: "?") }
        let found = path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map { Substring($0) }
        guard found.count == segments.count else { return nil }
        var parameters: [String: String] = [:]
        for (expected, actual) in zip(segments, found) {
            switch expected {
            case .fixed(let text):
                guard text == ExactString(actual) else { return nil }
            case .parameter(let name):
                guard !actual.isEmpty, let decoded = percentDecoded(actual) else { return nil }
                parameters[name] = decoded
            }
        }
        return parameters
    }
}

/// A request as an ``Endpoint`` sees it.
public struct RouteRequest: Sendable {
    /// Method, scheme, authority, path with query, header fields.
    public var head: HTTPRequest
    /// The body, not yet read.
    public var body: RouteBody
    /// Who is at the other end of the connection, as the host sees it; `nil` if it cannot tell.
    public var peer: PeerAddress?
    /// The parameters of the matched ``RoutePath``; filled in by the ``EndpointSet``.
    public var pathParameters: [String: String] = [:]

    /// Takes all members, in their order of declaration.
    public init(head: HTTPRequest, body: RouteBody = RouteBody(), peer: PeerAddress? = nil) {
        self.head = head
        self.body = body
        self.peer = peer
    }
}

/// What an ``Endpoint`` answers.
public struct RouteResponse: Sendable {
    /// Status and header fields, to be sent as they are, in order.
    public var head: HTTPResponse
    /// The whole body. For a HEAD request the adapter sends its length and not its bytes.
    public var body: [UInt8]

    /// Takes all members, in their order of declaration.
    public init(head: HTTPResponse, body: [UInt8] = []) {
        self.head = head
        self.body = body
    }

    /// Takes all members, in their order of declaration.
    public init(status: HTTPResponse.Status, headerFields: HTTPFields = [:], body: [UInt8] = []) {
        self.init(head: HTTPResponse(status: status, headerFields: headerFields), body: body)
    }
}

/// A request body that is read when it is asked for, once.
public struct RouteBody: Sendable {
    private let read: @Sendable (Int, _ progress: @Sendable (Int) -> Void) async throws(Failure) -> [UInt8]

    /// A body that is already there.
    public init(_ bytes: [UInt8] = []) {
        self.read = { (limit, _) throws(Failure) in
            guard bytes.count <= limit else { throw .tooLarge }
            return bytes
        }
    }

    /// A body that arrives in chunks. The sequence must end its wait when the reading task is cancelled.
    /// - Parameter announcedLength: The value of `Content-Length`, so that an over-long body is refused unread.
    public init<Chunks: AsyncSequence & Sendable>(_ chunks: Chunks, announcedLength: Int? = nil)
    where Chunks.Element: Collection, Chunks.Element.Element == UInt8 {
        self.read = { (limit, progress) throws(Failure) in
            if let announcedLength, announcedLength > limit { throw .tooLarge }
            var bytes: [UInt8] = []
            bytes.reserveCapacity(min(announcedLength ?? 0, limit))
            do {
                for try await chunk in chunks {
                    guard chunk.count <= limit - bytes.count else { throw Failure.tooLarge }
                    bytes.append(contentsOf: chunk)
                    progress(bytes.count)
                }
            } catch let failure as Failure {
                throw failure
            } catch {
                throw .interrupted
            }
            return bytes
        }
    }

    /// The whole body. Call it once.
    /// - Throws: ``Failure/tooLarge`` as soon as it is over `limit` bytes; ``Failure/interrupted`` if it ends early.
    public func collect(upTo limit: Int) async throws(Failure) -> [UInt8] { try await read(limit) { _ in } }

    /// The same, telling after each chunk how many bytes have come.
    func collect(upTo limit: Int, progress: @Sendable (Int) -> Void) async throws(Failure) -> [UInt8] {
        try await read(limit, progress)
    }

    /// Why a body could not be read.
    public enum Failure: Error, Sendable {
        case tooLarge, interrupted
    }
}

/// The other end of a connection.
public struct PeerAddress: Sendable, Hashable {
    /// An IP address in text form, without brackets, port or zone; empty for a Unix socket.
    public var ip: String

    /// Takes all members, in their order of declaration.
    public init(ip: String) { self.ip = ip }

    /// Whether it is on this machine: `127.0.0.0/8`, `::1`, an IPv4-mapped `127.0.0.0/8`, or a Unix socket.
    public var isLoopback: Bool { ip.isEmpty || IPAddress(ip)?.isLoopback == true }
}

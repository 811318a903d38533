import Foundation
public import HTTPTypes
import TokenBroker

/// A server that runs a ``MisbehavingIssuer`` on a free loopback port.
///
/// ```swift
/// let server = try MisbehavingServer(MisbehavingIssuer([.dropsConnection]))
/// defer { server.stop() }
/// // The vendor's base URL is "http://\(server.authority)".
/// ```
public final class MisbehavingServer: Sendable {
    private let server: RawServer

    /// The host and the port: `127.0.0.1:` and the port's number.
    public var authority: String { "127.0.0.1:\(server.port)" }

    /// Starts a server that reacts to each request as the issuer does.
    ///
    /// - Throws: An error of the system if the server cannot listen.
    public convenience init(_ issuer: MisbehavingIssuer) throws {
        try self.init { issuer.reaction(to: $0, body: $1) }
    }

    /// Starts a server that reacts to each request as the closure returns.
    ///
    /// - Throws: An error of the system if the server cannot listen.
    public init(_ react: @escaping @Sendable (HTTPRequest, [UInt8]) -> MisbehavingIssuer.Reaction) throws {
        server = try RawServer { connection in
            while let (head, body) = connection.readMessage(), let request = Self.request(head) {
                guard Self.act(react(request, body), on: connection) else { return }
            }
        }
    }

    /// Closes all connections and stops listening.
    public func stop() { server.stop() }

    /// Performs a reaction.
    /// - Returns: Whether the connection can serve another request.
    private static func act(_ reaction: MisbehavingIssuer.Reaction, on connection: RawServer.Connection) -> Bool {
        if reaction.delay > .zero { Thread.sleep(forTimeInterval: reaction.delay / .seconds(1)) }
        switch reaction.step {
        case .respond(let head, let body):
            return connection.send(Array(text(head, "Content-Length: \(body.count)").utf8) + body)
        case .closeWithin(let head, let body, let length):
            connection.send(Array(text(head, "Content-Length: \(length)").utf8) + body)
            return false
        case .flood(let head):
            connection.send(text(head, "Connection: close"))
            while connection.send([UInt8](repeating: UInt8(ascii: "{"), count: 16 << 10)) {}
            return false
        case .hang:
            connection.waitForClose()
            return false
        case .close: return false
        }
    }

    private static func text(_ head: HTTPResponse, _ framing: String) -> String {
        let fields = head.headerFields.map { "\($0.name): \($0.value)\r\n" }.joined()
        return "HTTP/1.1 \(head.status.code) \(head.status.reasonPhrase)\r\n\(fields)\(framing)\r\n\r\n"
    }

    private static func request(_ head: String) -> HTTPRequest? {
        var lines = head.split(separator: "\r\n")[...]
        let first = lines.removeFirst().split(separator: " ")
        guard first.count == 3, let method = HTTPRequest.Method(String(first[0])) else { return nil }
        var request = HTTPRequest(method: method, scheme: "http", authority: nil, path: String(first[1]))
        for line in lines {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, let name = HTTPField.Name(String(parts[0])) else { return nil }
            let value = parts[1].trimmingCharacters(in: .whitespaces)
            if name.canonicalName == "host" {
                request.authority = value
            } else {
                request.headerFields.append(HTTPField(name: name, value: value))
            }
        }
        return request
    }
}

import Foundation
import HTTPTypes
import TokenBroker
public import TokenBrokerTesting

/// A ``MisbehavingIssuer`` behind a real socket, on a free loopback port. For tests only.
public final class MisbehavingServer: Sendable {
    private let server: RawServer

    /// `127.0.0.1` with the port.
    public var authority: String { "127.0.0.1:\(server.port)" }

    /// Does what the issuer says.
    public init(_ issuer: MisbehavingIssuer) throws {
        server = try RawServer { connection in
            while let text = connection.readRequest(), let (request, body) = Self.parse(text) {
                guard Self.act(issuer.reaction(to: request, body: body), on: connection) else { return }
            }
        }
    }

    /// Ends all connections and listens no more.
    public func stop() { server.stop() }

    /// - Returns: Whether the connection is good for another request.
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

    private static func parse(_ text: String) -> (HTTPRequest, [UInt8])? {
        guard let end = text.firstRange(of: "\r\n\r\n") else { return nil }
        var lines = text[..<end.lowerBound].split(separator: "\r\n")[...]
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
        return (request, Array(text[end.upperBound...].utf8))
    }
}

import CSlowResolver
import Foundation
import HTTPTypes
public import TokenBroker
public import TokenBrokerTesting

/// Servers for the contract of a transport that has sockets and TLS: raw TCP for what no well-behaved server does, nginx for TLS.
public protocol SocketTransportFixture: HTTPTransportFixture {
    associatedtype Transport: HTTPTransport

    /// A transport that trusts one authority, or the system's, and whose own time limits are longer than any test.
    func makeTransport(caFile: String?) throws -> Transport
    func shutDown(_ transport: Transport) async
}

extension SocketTransportFixture {
    /// All there are.
    public static var capabilities: HTTPTransportContract.Capabilities { [.sockets, .tls] }

    /// See `HTTPTransportFixture`.
    public func withServer(
        _ server: HTTPTransportContract.Server,
        _ body: (_ transport: any HTTPTransport, _ scheme: String, _ authority: String) async throws -> Void
    ) async throws {
        switch server {
        case .presents(let certificate):
            let servers = try TLSServers()
            defer { servers.stop() }
            let name =
                switch certificate {
                case .trusted: "trusted"
                case .untrusted: "untrusted"
                case .expired: "expired"
                case .forAnotherHost: "another-host"
                }
            let transport = try makeTransport(caFile: servers.caFile)
            try await body(transport, "https", "localhost:\(servers.ports[name] ?? 0)")
            await shutDown(transport)
        case .neverResolves:
            slow_resolver_install()
            try await use(body, "https", "name.slow.invalid")
        case .hasNoAddress:
            try await use(body, "https", "does-not-exist.invalid")
        case .neverConnects:
            let server = try RawServer(backlog: 0) { _ in }
            let fillers = try server.fillBacklog()
            try await use(body, "http", "127.0.0.1:\(server.port)")
            for descriptor in fillers { close(descriptor) }
            server.stop()
        case .refusesConnections:
            let server = try RawServer { _ in }
            server.stop()
            try await use(body, "http", "127.0.0.1:\(server.port)")
        default:
            let raw = try RawServer { connection in Self.serve(server, connection) }
            try await use(body, "http", "127.0.0.1:\(raw.port)")
            raw.stop()
        }
    }

    private func use(
        _ body: (any HTTPTransport, String, String) async throws -> Void, _ scheme: String, _ authority: String
    ) async throws {
        let transport = try makeTransport(caFile: nil)
        try await body(transport, scheme, authority)
        await shutDown(transport)
    }

    private static func serve(_ server: HTTPTransportContract.Server, _ connection: RawServer.Connection) {
        while connection.readRequest() != nil {
            switch server {
            case .responds(let head, let body, let framing):
                connection.send(bytes(head, body, framing))
            case .stopsMidBody:
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")
                connection.waitForClose()
            case .closesMidBody:
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")
                return
            case .isNotHTTP:
                connection.send("SMTP ready\r\n\r\n")
                return
            case .closesUnanswered:
                return
            default:
                connection.waitForClose()
            }
        }
    }

    private static func bytes(
        _ head: HTTPResponse, _ body: [UInt8], _ framing: HTTPTransportContract.Framing
    ) -> [UInt8] {
        var text = "HTTP/1.1 \(head.status.code) \(head.status.reasonPhrase)\r\n"
        for field in head.headerFields { text += "\(field.name): \(field.value)\r\n" }
        if head.status == .noContent { return Array("\(text)\r\n".utf8) }
        switch framing {
        case .length:
            return Array("\(text)Content-Length: \(body.count)\r\n\r\n".utf8) + body
        case .chunked:
            var bytes = Array("\(text)Transfer-Encoding: chunked\r\n\r\n".utf8)
            var rest = body[...]
            while !rest.isEmpty {
                let chunk = rest.prefix(7919)
                bytes += Array("\(String(chunk.count, radix: 16))\r\n".utf8) + chunk + Array("\r\n".utf8)
                rest = rest.dropFirst(chunk.count)
            }
            return bytes + Array("0\r\n\r\n".utf8)
        }
    }
}

import Foundation
import HTTPTypes
public import TokenBroker

/// A fixture for ``HTTPTransportContract`` that runs servers on loopback sockets, so that you only make the transport.
///
/// ```swift
/// struct MyFixture: SocketTransportFixture {
///     func makeTransport(caFile: String?) throws -> MyTransport { MyTransport() }
/// }
///
/// @Test(arguments: HTTPTransportContract.cases(for: MyFixture.self))
/// func contract(_ test: HTTPTransportContract.Case) async throws {
///     try await test.run(on: MyFixture())
/// }
/// ```
///
/// For TLS and slow resolution, declare the capability and implement ``withExternalServer(_:_:)``.
public protocol SocketTransportFixture: HTTPTransportFixture {
    /// The transport under test.
    associatedtype Transport: HTTPTransport

    /// Creates a transport. Its own time limits must be longer than any test.
    /// - Parameter caFile: The path of the PEM certificate of the only authority to trust; `nil` to trust the system's
    ///   authorities.
    func makeTransport(caFile: String?) throws -> Transport

    /// Shuts the transport down after a test. The default implementation does so if it conforms to `ShutsDown`.
    func shutDown(_ transport: Transport) async

    /// Runs `body` with a server that needs more than a socket: ``HTTPTransportContract/Server/presents(_:)`` or
    /// ``HTTPTransportContract/Server/neverResolves``.
    /// - Parameters:
    ///   - server: The behaviour of the server.
    ///   - body: A closure that takes the path of the certificate to trust, and the scheme and authority of the
    ///     server's URL.
    func withExternalServer(
        _ server: HTTPTransportContract.Server,
        _ body: (_ caFile: String?, _ scheme: String, _ authority: String) async throws -> Void
    ) async throws
}

extension SocketTransportFixture {
    /// The capabilities that need nothing but loopback sockets.
    public static var capabilities: HTTPTransportContract.Capabilities { [.interruptions, .refusals, .resolution] }

    /// Shuts the transport down if it conforms to `ShutsDown`.
    public func shutDown(_ transport: Transport) async { await (transport as? any ShutsDown)?.shutdown() }

    /// Throws an error, since a fixture that declares a capability for such a server must implement this method.
    public func withExternalServer(
        _ server: HTTPTransportContract.Server,
        _ body: (_ caFile: String?, _ scheme: String, _ authority: String) async throws -> Void
    ) async throws {
        throw MissingServer(description: "\(Self.self) declares a capability without implementing `withExternalServer`")
    }

    /// Runs `body` with a new transport and a server on a loopback port, and shuts both down.
    public func withServer(
        _ server: HTTPTransportContract.Server,
        _ body: (_ transport: any HTTPTransport, _ scheme: String, _ authority: String) async throws -> Void
    ) async throws {
        switch server {
        case .presents, .neverResolves:
            try await withExternalServer(server) { try await use(body, caFile: $0, $1, $2) }
        case .hasNoAddress:
            try await use(body, "https", "does-not-exist.invalid")
        case .neverConnects:
            let server = try RawServer(backlog: 0) { _ in }
            defer { server.stop() }
            let fillers = try server.fillBacklog()
            defer { for filler in fillers { filler.close() } }
            try await use(body, "http", "127.0.0.1:\(server.port)")
        case .refusesConnections:
            let server = try RawServer { _ in }
            server.stop()
            try await use(body, "http", "127.0.0.1:\(server.port)")
        case .handles(let react):
            let server = try MisbehavingServer(react)
            defer { server.stop() }
            try await use(body, "http", server.authority)
        default:
            let raw = try RawServer { connection in serve(server, connection) }
            defer { raw.stop() }
            try await use(body, "http", "127.0.0.1:\(raw.port)")
        }
    }

    private func use(
        _ body: (any HTTPTransport, String, String) async throws -> Void, caFile: String? = nil, _ scheme: String,
        _ authority: String
    ) async throws {
        let transport = try makeTransport(caFile: caFile)
        do {
            try await body(transport, scheme, authority)
        } catch {
            await shutDown(transport)
            throw error
        }
        await shutDown(transport)
    }
}

private struct MissingServer: Error, CustomStringConvertible {
    var description: String
}

private func serve(_ server: HTTPTransportContract.Server, _ connection: RawServer.Connection) {
    while connection.readRequest() != nil {
        switch server {
        case .responds(let head, let body, let framing):
            connection.send(bytes(head, body, framing))
        case .stopsMidBody:
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")
            connection.waitForClose()
        case .drips:
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in 0..<1000 {
                guard connection.send("0") else { return }
                Thread.sleep(forTimeInterval: 0.1)
            }
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

private func bytes(_ head: HTTPResponse, _ body: [UInt8], _ framing: HTTPTransportContract.Framing) -> [UInt8] {
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

import Foundation
import HTTPTypes
import Synchronization
import Testing
import TokenBroker
import TokenBrokerTesting

#if canImport(Glibc)
import Glibc
#endif

/// A way in which a route adapter violates its contract.
private enum Mutation: String, CaseIterable {
    case none
    case bodyAfterHEAD, inventsPeer, keepsLastOfRepeatedFields, joinsCookies, onlyGET, decodesPath, answersForTheHost
    case fixedStatus, dropsBody, runsNothing

    var caught: (by: String, saying: String) {
        switch self {
        case .none: ("", "")
        case .bodyAfterHEAD: ("no body follows the response to HEAD", "no answer, but")
        case .inventsPeer: ("the peer's address is known", "The peer is 127.0.0.1.")
        case .keepsLastOfRepeatedFields: ("repeated fields of a request survive", "expected [")
        case .joinsCookies: ("repeated fields of a response survive", "a=1, b=2, a=3")
        case .onlyGET: ("method, path, query and authority arrive as they were sent", "Expectation failed")
        case .decodesPath: ("method, path, query and authority arrive as they were sent", "Expectation failed")
        case .answersForTheHost:
            ("what is not ours goes to the host, and what is the host's stays so", "Expectation failed")
        case .fixedStatus: ("every status is written as it is", "Expectation failed")
        case .dropsBody: ("bodies arrive whole, whatever their size", "Expectation failed")
        case .runsNothing:
            ("HEAD gets the length and no body", "expected the fixture's `withServer` to run the closure")
        }
    }
}

/// A small HTTP/1.1 server with the adapter written into it. It has what the cases of the mutants need, and no more.
private struct MutantFixture: RouteAdapterFixture {
    static let capabilities: RouteAdapterContract.Capabilities = [.http1, .repeatedFields]
    let mutation: Mutation

    func withServer(
        _ endpoints: EndpointSet, _ body: @Sendable (RouteAdapterContract.Server) async throws -> Void
    ) async throws {
        if mutation == .runsNothing { return }
        let endpoints = mutation == .answersForTheHost ? endpoints : endpoints.excluding(["/healthz"])
        let server = try RawServer { connection in
            while let (head, content) = connection.readMessage() {
                let lines = head.split(separator: "\r\n")
                let words = lines.first?.split(separator: " ") ?? []
                guard words.count == 3, let method = HTTPRequest.Method(String(words[0])) else { return }
                var request = HTTPRequest(method: method, scheme: "http", authority: nil, path: String(words[1]))
                for line in lines.dropFirst() {
                    let parts = line.split(separator: ":", maxSplits: 1)
                    guard parts.count == 2, let name = HTTPField.Name(String(parts[0])) else { return }
                    let value = parts[1].trimmingCharacters(in: .whitespaces)
                    if name.canonicalName == "host" {
                        request.authority = value
                    } else {
                        request.headerFields.append(HTTPField(name: name, value: value))
                    }
                }
                connection.send(answer(to: request, content, connection, endpoints))
                if request.headerFields[.connection]?.lowercased() == "close" { return }
            }
        }
        defer { server.stop() }
        try await body(.init(port: server.port) { server.stop() })
    }

    private func answer(
        to request: HTTPRequest, _ content: [UInt8], _ connection: RawServer.Connection, _ endpoints: EndpointSet
    ) -> [UInt8] {
        var request = request
        if mutation == .onlyGET { request.method = .get }
        if mutation == .decodesPath { request.path = request.path?.removingPercentEncoding }
        if mutation == .keepsLastOfRepeatedFields {
            var fields = HTTPFields()
            for field in request.headerFields { fields[field.name] = field.value }
            request.headerFields = fields
        }
        let isToHost = request.path.map { endpoints.match($0) == nil } ?? true
        let peer = mutation == .inventsPeer ? PeerAddress(ip: "127.0.0.1") : peer(of: connection)
        let (asked, set) = (
            EndpointRequest(
                head: request, body: EndpointBody(mutation == .dropsBody ? [] : content), peer: peer),
            endpoints
        )
        var response: EndpointResponse
        if isToHost {
            let isKnown = request.path == "/host" || request.path == "/healthz"
            response = EndpointResponse(status: isKnown ? .ok : .notFound, body: isKnown ? Array("host".utf8) : [])
        } else {
            response = (waitFor { await set.respond(to: asked) } ?? nil) ?? EndpointResponse(status: .notFound)
        }
        let whole = response.body
        response = response.framed(for: request.method)
        if mutation == .fixedStatus, response.head.status.kind == .clientError { response.head.status = .ok }
        var text = "HTTP/1.1 \(response.head.status.code) \(response.head.status.reasonPhrase)\r\n"
        if mutation == .joinsCookies, case let cookies = response.head.headerFields[values: .setCookie],
            !cookies.isEmpty
        {
            response.head.headerFields[.setCookie] = cookies.joined(separator: ", ")
        }
        for field in response.head.headerFields { text += "\(field.name): \(field.value)\r\n" }
        let body = mutation == .bodyAfterHEAD && request.method == .head ? whole : response.body
        return Array("\(text)\r\n".utf8) + body
    }

    private func peer(of connection: RawServer.Connection) -> PeerAddress? {
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            _ = pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getpeername(connection.descriptor, $0, &size)
            }
        }
        let number = UInt32(bigEndian: address.sin_addr.s_addr)
        return PeerAddress(ip: (0..<4).reversed().map { "\(number >> ($0 * 8) & 255)" }.joined(separator: "."))
    }
}

/// The server has a thread for each connection, which may wait.
private func waitFor<Value: Sendable>(_ operation: @escaping @Sendable () async -> Value) -> Value? {
    let done = DispatchSemaphore(value: 0)
    let value = Box<Value>()
    Task {
        value.set(await operation())
        done.signal()
    }
    done.wait()
    return value.get()
}

private final class Box<Value: Sendable>: Sendable {
    private let value = Mutex<Value?>(nil)
    func set(_ new: Value) { value.withLock { $0 = new } }
    func get() -> Value? { value.withLock { $0 } }
}

struct RouteMutantTests {
    @Test(arguments: Mutation.allCases.filter { $0 != .none })
    private func `a route adapter that breaks a promise is caught by its contract, with the reason`(
        _ mutation: Mutation
    ) async throws {
        let (name, words) = mutation.caught
        let test = try only(name, of: RouteAdapterContract.cases(for: MutantFixture.self))
        try await expectCaught(words) { try await test.run(on: MutantFixture(mutation: mutation)) }
    }

    @Test(arguments: Set(Mutation.allCases.map(\.caught.by)).subtracting([""]).sorted())
    func `a route adapter without a mutation passes the cases that catch the mutants`(_ name: String) async throws {
        let test = try only(name, of: RouteAdapterContract.cases(for: MutantFixture.self))
        try await test.run(on: MutantFixture(mutation: .none))
    }
}

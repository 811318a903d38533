import HTTPTypes
import Testing
import TokenBroker
import TokenBrokerTesting

/// A way in which a transport violates its contract.
private enum Mutation: String, CaseIterable {
    case none
    case alwaysGET, dropsQuery, dropsFields, keepsFirstOfRepeatedFields, dropsBody
    case retriesServerErrors, retriesLostRequests, followsRedirects, throwsServerErrors
    case elapsedZero, lateTimeout, bytesRenewTimeout, limitAfterwards, ignoresCancellation
    case quotesServer, namesAddress, allowsPlainHTTP, acceptsTruncation, runsNothing

    /// The case that catches it, and a part of its failure message.
    var caught: (by: String, saying: String) {
        let sent = "method, target, fields and body arrive as they were passed"
        return switch self {
        case .none: ("", "")
        case .alwaysGET: (sent, "the method: expected POST, found GET")
        case .dropsQuery: (sent, "the target of GET: expected")
        case .dropsFields: (sent, "a field of GET: expected")
        case .keepsFirstOfRepeatedFields: (sent, "a repeated field of GET: expected")
        case .dropsBody: (sent, "the body of POST: expected")
        case .retriesServerErrors:
            ("a request that was answered is not sent again", "answered with 500: expected 1, found 2")
        case .retriesLostRequests:
            ("a request that a new connection lost is not sent again", "on a new connection: expected 1, found 2")
        case .followsRedirects: ("a redirect is returned, not followed", "the status: expected 301, found 200")
        case .throwsServerErrors: ("every status is a response", "other")
        case .elapsedZero:
            (
                "the elapsed time counts from sending the request to the end of the response",
                "expected an elapsed time from 200 ms"
            )
        case .lateTimeout: ("the timeout ends it while waiting", "expected a timeout of 300 ms to end the call")
        case .bytesRenewTimeout:
            ("the timeout ends it while a byte of the body comes now and then", "expected the call to end within")
        case .limitAfterwards:
            ("a body without end is given up at its ceiling", "expected the error tooLarge, found timedOut")
        case .ignoresCancellation:
            ("cancellation ends it while waiting", "expected a cancelled call to end within")
        case .quotesServer: ("a malformed status line", "expected an error without what the server sent")
        case .namesAddress:
            ("a request that is closed unanswered", "expected an error without the server's address")
        case .allowsPlainHTTP:
            ("only https is sent, and http to a loopback host", "http://shop.invalid: expected the error refusedScheme")
        case .acceptsTruncation: ("a body that ends early", "expected the error closed, found a response")
        case .runsNothing: ("an empty body", "expected the fixture's `withServer` to run the closure")
        }
    }
}

private struct MutantTransport: HTTPTransport {
    let server: HTTPTransportContract.Server
    let mutation: Mutation

    func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        var (request, body, options) = (request, body, options)
        switch mutation {
        case .alwaysGET: request.method = .get
        case .dropsQuery: request.path = request.path?.split(separator: "?").first.map(String.init)
        case .dropsFields: request.headerFields = [:]
        case .keepsFirstOfRepeatedFields:
            var fields = HTTPFields()
            for field in request.headerFields where fields[values: field.name].isEmpty { fields.append(field) }
            request.headerFields = fields
        case .dropsBody: body = []
        case .lateTimeout: options.timeout += .seconds(5)
        case .bytesRenewTimeout:
            if case .drips = server { options.timeout = .seconds(60) }
        case .allowsPlainHTTP:
            if request.scheme == "http" { request.scheme = "https" }
        case .ignoresCancellation:
            let (sent, content, limits) = (request, body, options)
            let task = Task { () -> Result<TransportResponse, TransportError> in await exchange(sent, content, limits) }
            return try await task.value.get()
        default: break
        }
        var result = await exchange(request, body, options)
        switch (mutation, result) {
        case (.retriesServerErrors, .success(let response)) where response.status.code >= 500,
            (.retriesServerErrors, .success(let response)) where response.status.code == 429:
            result = await exchange(request, body, options)
        case (.retriesLostRequests, .failure(let error)) where error.code == .closed:
            result = await exchange(request, body, options)
        case (.followsRedirects, .success(let response)) where response.status.kind == .redirection:
            result = .success(TransportResponse(head: HTTPResponse(status: .ok)))
        case (.throwsServerErrors, .success(let response)) where response.status.code >= 500:
            result = .failure(TransportError(.other, message: "the server failed"))
        case (.elapsedZero, .success(var response)):
            response.elapsed = .zero
            result = .success(response)
        case (.quotesServer, .failure(var error)):
            error.message = "the server said SMTP ready"
            result = .failure(error)
        case (.namesAddress, .failure(var error)):
            error.message = "no response from \(request.authority ?? "")"
            result = .failure(error)
        case (.acceptsTruncation, .failure(let error)) where error.code == .closed:
            result = .success(TransportResponse(head: HTTPResponse(status: .ok), body: [1]))
        default: break
        }
        return try result.get()
    }

    /// The exchange of a correct transport with the server.
    private func exchange(
        _ request: HTTPRequest, _ body: [UInt8], _ options: TransportOptions
    ) async -> Result<TransportResponse, TransportError> {
        let transport = InMemoryTransport { [server, mutation] request, body in
            switch server {
            case .handles(let react):
                let start = ContinuousClock.now
                let reaction = react(request, body)
                try await Task.sleep(for: reaction.delay)
                switch reaction.step {
                case .respond(let head, let body):
                    return TransportResponse(head: head, body: body, elapsed: start.duration(to: .now))
                case .flood where mutation != .limitAfterwards:
                    throw TransportError(.tooLarge, message: "the body exceeds its ceiling")
                case .close, .closeWithin: throw TransportError(.closed, message: "the connection ended early")
                case .flood, .hang: break
                }
            case .responds: if let response = server.response(to: request, body: body) { return response }
            case .closesUnanswered, .closesMidBody:
                throw TransportError(.closed, message: "the connection ended early")
            case .isNotHTTP: throw TransportError(.malformed, message: "the response is not HTTP")
            default: break
            }
            while true { try await Task.sleep(for: .seconds(3600)) }
        }
        do throws(TransportError) {
            return .success(try await transport.send(request, body: body, options: options))
        } catch {
            return .failure(error)
        }
    }
}

private struct MutantFixture: HTTPTransportFixture {
    static let capabilities: HTTPTransportContract.Capabilities = .interruptions
    let mutation: Mutation

    func withServer(
        _ server: HTTPTransportContract.Server,
        _ body: (_ transport: any HTTPTransport, _ scheme: String, _ authority: String) async throws -> Void
    ) async throws {
        if mutation == .runsNothing { return }
        try await body(MutantTransport(server: server, mutation: mutation), "https", "vendor.example:4433")
    }
}

struct TransportMutantTests {
    @Test(arguments: Mutation.allCases.filter { $0 != .none })
    private func `a transport that breaks a promise is caught by its contract, with the reason`(
        _ mutation: Mutation
    ) async throws {
        let (name, words) = mutation.caught
        let test = try only(name, of: HTTPTransportContract.cases(for: MutantFixture.self))
        try await expectCaught(words) { try await test.run(on: MutantFixture(mutation: mutation)) }
    }

    @Test(arguments: HTTPTransportContract.cases(for: MutantFixture.self))
    func `a transport without a mutation passes its contract`(_ test: HTTPTransportContract.Case) async throws {
        try await test.run(on: MutantFixture(mutation: .none))
    }
}

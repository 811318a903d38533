import HTTPTypes
import Testing
import TokenBroker
import TokenBrokerTesting

/// The contract on a transport without sockets: what applies to it.
private struct InMemoryFixture: HTTPTransportFixture {
    static let capabilities: HTTPTransportContract.Capabilities = []

    func withServer(
        _ server: HTTPTransportContract.Server,
        _ body: (_ transport: any HTTPTransport, _ scheme: String, _ authority: String) async throws -> Void
    ) async throws {
        let transport = InMemoryTransport { _, _ in
            guard case .responds(let head, let content, _) = server else {
                try await ContinuousClock().sleep(for: .seconds(3600))
                throw CancellationError()
            }
            return TransportResponse(head: head, body: content)
        }
        try await body(transport, "https", "vendor.example")
    }
}

struct TransportDoubleTests {
    private let request = HTTPRequest(method: .get, scheme: "https", authority: "vendor.example", path: "/")

    @Test(arguments: HTTPTransportContract.cases(for: InMemoryFixture.self))
    func contract(_ test: HTTPTransportContract.Case) async throws {
        try await test.run(on: InMemoryFixture())
    }

    @Test func aScriptIsFollowedAndWhatCameInIsRemembered() async throws {
        let transport = ScriptedTransport([.respond(.created, "one"), .fail(.connect)])
        let first = try await transport.send(request, body: [1], options: .init(account: "a"))
        #expect(first.status == .created)
        #expect(first.body == Array("one".utf8))
        await #expect { try await transport.send(request, body: [2], options: .init()) } throws: { error in
            (error as? TransportError)?.kind == .connect
        }
        #expect(transport.sent.map(\.body) == [[1], [2]])
        #expect(transport.sent.first?.options.account == "a")
        #expect(transport.remainingSteps == 0)
    }

    @Test func aRequestBeyondTheScriptFails() async {
        let transport = ScriptedTransport([])
        await #expect(throws: TransportError.self) { try await transport.send(request, body: [], options: .init()) }
        #expect(transport.sent.count == 1)
    }

    @Test func deadlinesRunOnTheGivenClock() async throws {
        let clock = ManualClock()
        let transport = ScriptedTransport([.hang, .after(.seconds(5), .respond(.ok))], clock: clock)
        let first = Task { try await transport.send(request, body: [], options: .init(deadline: .seconds(10))) }
        await clock.sleepers(2)
        clock.advance(by: .seconds(10))
        await #expect { try await first.value } throws: { ($0 as? TransportError)?.kind == .timedOut }
        let second = Task { try await transport.send(request, body: [], options: .init(deadline: .seconds(10))) }
        await clock.sleepers(2)
        clock.advance(by: .seconds(5))
        #expect(try await second.value.status == .ok)
    }
}

import Foundation
import HTTPTypes
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

/// Tests of step 1 as the composer builds it, against an in-memory issuer.
struct EngineTests {
    /// An issuer whose tokens contain the client id of the credentials that requested them.
    private final class Issuer: Sendable {
        private let state = Mutex((calls: 0, isDown: false))
        var calls: Int { state.withLock { $0.calls } }
        func setDown(_ isDown: Bool) { state.withLock { $0.isDown = isDown } }

        func answer(_ request: HTTPRequest) -> TransportResponse {
            let isDown = state.withLock { state in
                state.calls += 1
                return state.isDown
            }
            guard !isDown else { return TransportResponse(head: HTTPResponse(status: .serviceUnavailable)) }
            let basic = request.headerFields[.authorization]?.dropFirst(6) ?? ""
            let pair = Data(base64Encoded: String(basic)).map { String(decoding: $0, as: UTF8.self) } ?? ""
            let body: JSONValue = [
                "access_token": .string(String(pair.prefix { $0 != ":" })), "expires_in": .number(3600),
            ]
            return TransportResponse(head: HTTPResponse(status: .ok), body: body.serialized)
        }
    }

    private let issuer = Issuer()
    private let clock = ManualClock()

    private func provider(_ credentials: any CredentialSource) throws -> ClientCredentialsProvider {
        ClientCredentialsProvider(
            vendor: try testVendor(), credentials: credentials,
            transport: InMemoryTransport(clock: clock) { [issuer] request, _ in issuer.answer(request) }, clock: clock
        )
    }

    /// Returns an engine without pauses between attempts, so that nothing waits for the clock.
    private func engine(_ provider: some TokenProvider) -> some TokenProvider {
        CachingTokenProvider(RetryingTokenProvider(provider, clock: clock) { 0 }, clock: clock) {
            Double.random(in: 0..<1)
        }
    }

    @Test func `an hour of outage costs few calls, and valid tokens are served`() async throws {
        let engine = engine(try provider(ChangingCredentials()))
        let first = try await engine.token(for: TokenRequest())
        clock.advance(by: .seconds(600))
        issuer.setDown(true)
        let before = issuer.calls
        for second in 600..<4200 {
            for _ in 0..<100 {
                do throws(TokenError) {
                    let token = try await engine.token(for: TokenRequest())
                    #expect(token.id == first.id)
                } catch {
                    try #require(second >= 3600, "a valid token was not served at \(second) s")
                    // The clock may move while a renewal is in flight.
                    #expect([.unavailable, .timedOut].contains(error.code))
                }
            }
            clock.advance(by: .seconds(1))
        }
        #expect(issuer.calls - before <= 150, "\(issuer.calls - before) calls")
        issuer.setDown(false)
        var waited = 0
        while (try? await engine.token(for: TokenRequest())) == nil {
            waited += 1
            try #require(waited <= 30)
            clock.advance(by: .seconds(1))
        }
    }

    @Test func `a secret that is rotated on disk under load fails no request`() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "rotation-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "pair.json")
        func content(_ id: String) -> Data { Data(#"{"client_id": "\#(id)", "client_secret": "s"}"#.utf8) }
        try content("0").write(to: file)
        let names = CredentialNames(clientID: "A", clientSecret: "B")
        let provider = try provider(FileCredentials(path: file.path, names: names))
        let engine = engine(provider)
        #expect(try await engine.token(for: TokenRequest()).secret == Secret("0"))

        let callers = (0..<8).map { _ in
            Task {
                var newest = 0
                while newest < 20 {
                    let number = Int(try await engine.token(for: TokenRequest()).secret.reveal()) ?? -1
                    #expect(number >= newest, "a token of an older line came after one of a newer")
                    newest = number
                    await Task.yield()
                }
            }
        }
        for number in 1...20 {
            switch number % 3 {
            case 0: try content("\(number)").write(to: file, options: .atomic)
            case 1:
                // Written in place, and torn for a moment.
                try Data(content("\(number)").prefix(15)).write(to: file)
                await provider.refresh()
                try content("\(number)").write(to: file)
            default:
                // Replaced by a link, like mounted secrets.
                let target = folder.appending(path: "\(number).json")
                try content("\(number)").write(to: target)
                let link = folder.appending(path: "link")
                try FileManager.default.createSymbolicLink(at: link, withDestinationURL: target)
                #expect(rename(link.path, file.path) == 0)
            }
            await provider.refresh()
            // Wait until the new line is in use.
            try await waitUntil { try await engine.token(for: TokenRequest()).secret == Secret("\(number)") }
        }
        for caller in callers { try await caller.value }
        #expect(issuer.calls == 21)
    }

    @Test func `ten thousand callers at expiry cost one call`() async throws {
        let engine = engine(try provider(ChangingCredentials()))
        let first = try await engine.token(for: TokenRequest())
        clock.advance(by: .seconds(3600))
        let callers = (0..<10_000).map { _ in Task { try await engine.token(for: TokenRequest()).id } }
        var ids: Set<Token.ID> = []
        for caller in callers { ids.insert(try await caller.value) }
        #expect(ids.count == 1)
        #expect(!ids.contains(first.id))
        #expect(issuer.calls == 2)
    }
}

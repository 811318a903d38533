import Foundation
import HTTPTypes
import Testing
import TokenBroker
import TokenBrokerTesting

/// A transport whose exchanges are recorded, written, read, and then replayed.
private struct RoundTripFixture: HTTPTransportFixture {
    static let capabilities: HTTPTransportContract.Capabilities = []

    struct RoundTrip: HTTPTransport {
        let upstream: any HTTPTransport
        let path: String

        func send(
            _ request: HTTPRequest, body: [UInt8], options: TransportOptions
        ) async throws(TransportError) -> TransportResponse {
            let recorder = RecordingTransport(upstream, plainFields: [.setCookie])
            let recorded: Result<TransportResponse, TransportError>
            do throws(TransportError) {
                recorded = .success(try await recorder.send(request, body: body, options: options))
            } catch {
                recorded = .failure(error)
            }
            do {
                try recorder.recording.write(to: path)
                let replay = ReplayingTransport(try Recording(contentsOf: path), plainFields: [.setCookie])
                let response = try await replay.send(request, body: body, options: options)
                let first = try recorded.get()
                #expect(response.head == first.head)
                #expect(response.body == first.body)
                #expect(replay.remaining == 0)
                return response
            } catch {
                throw error as? TransportError ?? TransportError(.other, message: "\(error)")
            }
        }
    }

    func withServer(
        _ server: HTTPTransportContract.Server,
        _ body: (_ transport: any HTTPTransport, _ scheme: String, _ authority: String) async throws -> Void
    ) async throws {
        let upstream = InMemoryTransport { request, body in
            if let response = server.response(to: request, body: body) { return response }
            try await ContinuousClock().sleep(for: .seconds(3600))
            throw CancellationError()
        }
        let file = FileManager.default.temporaryDirectory.appending(path: "recording-\(UUID().uuidString).json")
        defer { try? FileManager.default.removeItem(at: file) }
        try await body(RoundTrip(upstream: upstream, path: file.path), "https", "vendor.example")
    }
}

struct RecordingTests {
    private let clock = ManualClock()
    private let request = TokenRequest(customer: "cus_1", invoice: "inv_1")

    @Test(arguments: HTTPTransportContract.cases(for: RoundTripFixture.self))
    func `a recorded and replayed transport passes the transport contract`(
        _ test: HTTPTransportContract.Case
    ) async throws {
        try await test.run(on: RoundTripFixture())
    }

    private func stack(
        _ transport: any HTTPTransport, _ secret: String, at date: Date
    ) throws -> CheckoutTokenProvider {
        let vendor = try Vendor(profile: .alternativePayments, baseURL: "https://vendor.example")
        let access = ClientCredentialsProvider(
            vendor: vendor, credentials: StaticCredentials(clientID: Secret("client"), clientSecret: Secret(secret)),
            transport: transport, wallClock: { date })
        return CheckoutTokenProvider(
            vendor: vendor, accessTokens: access.caching(), transport: transport, wallClock: { date })
    }

    /// Records both steps, a refusal and a dropped connection.
    private func record() async throws -> (recording: Recording, secrets: [String]) {
        let date = clock.date
        let issuer = MisbehavingIssuer(
            [.issues(), .issues(), .refuses(.notFound), .dropsConnection], clock: clock, wallClock: { date })
        issuer.accept([Credential(clientID: Secret("client"), clientSecret: Secret("sentinel-secret"))])
        let recorder = RecordingTransport(issuer, wallClock: { date })
        let stack = try stack(recorder, "sentinel-secret", at: date)
        let token = try await stack.token(for: request)
        for _ in 0..<2 {
            await #expect(throws: TokenError.self) {
                try await stack.token(for: TokenRequest(customer: "cus_1", invoice: "inv_2"))
            }
        }
        let basic = issuer.calls.first?.request.headerFields[.authorization].map { String($0.dropFirst(6)) }
        return (recorder.recording, ["sentinel-secret", "access-1", token.secret.reveal(), try #require(basic)])
    }

    private func file(_ recording: Recording) throws -> (path: String, text: String) {
        let path = FileManager.default.temporaryDirectory.appending(path: "recording-\(UUID().uuidString).json").path
        try recording.write(to: path)
        return (path, try String(contentsOfFile: path, encoding: .utf8))
    }

    @Test func `a recording's file contains no secret`() async throws {
        let (recording, secrets) = try await record()
        let (path, text) = try file(recording)
        defer { try? FileManager.default.removeItem(atPath: path) }
        for secret in secrets { #expect(!text.contains(secret), "\(secret) is in the file") }
        // What a reader needs is still there.
        for part in ["Bearer <access_token 1>", "Basic <credentials>", "/v1/checkout-auth/init", "inv_1", "closed"] {
            #expect(text.contains(part), "\(part) is not in the file: \(text)")
        }
    }

    @Test func `the same exchange always gives the same recording file`() async throws {
        let texts = try await [record(), record()].map { try file($0.recording).text }
        #expect(texts.first == texts.last)
    }

    @Test func `a recording can be replayed with another secret`() async throws {
        let (path, _) = try file(try await record().recording)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let recording = try Recording(contentsOf: path)
        let replay = ReplayingTransport(recording)
        let stack = try stack(replay, "another secret", at: recording.recordedAt)
        let token = try await stack.token(for: request)
        #expect(UnverifiedJWT(token.secret.reveal())?.claims["invoice_id"] == "inv_1")
        for expected in [TokenError.Code.requestRejected, .unavailable] {
            await #expect {
                try await stack.token(for: TokenRequest(customer: "cus_1", invoice: "inv_2"))
            } throws: { ($0 as? TokenError)?.code == expected }
        }
        #expect(replay.remaining == 0)
        await #expect(throws: TokenError.self) { try await stack.token(for: request) }
    }

    @Test func `a replayed request that differs from the recording is reported`() async throws {
        let replay = ReplayingTransport(try await record().recording)
        var head = HTTPRequest(
            method: .post, scheme: "https", authority: "vendor.example", path: "/oauth/token",
            headerFields: [
                .authorization: "Basic x", .contentType: "application/x-www-form-urlencoded", .accept: "text/html",
            ]
        )
        let body = Array("grant_type=client_credentials".utf8)
        func difference() async -> String? {
            do {
                _ = try await replay.send(head, body: body, options: .init())
                return nil
            } catch {
                return error.message
            }
        }
        #expect(await difference() == "request 1 of the recording differs in header field accept")
        head.path = "/oauth/tokens"
        #expect(await difference() == "request 1 of the recording differs in path")
        #expect(replay.remaining == 4)
        head.path = "/oauth/token"
        head.headerFields[.accept] = "application/json"
        #expect(await difference() == nil)
    }

    @Test func `a recording redacts secrets in forms, queries and truncated JSON`() async throws {
        let secret = "s3cr3t-0123456789-0123456789"
        let transport = RecordingTransport(
            InMemoryTransport { _, _ in
                TransportResponse(
                    head: HTTPResponse(status: .ok, headerFields: [.location: "https://a.example/?code=\(secret)"]),
                    body: Array(#"{"access_token": "\#(secret)"#.utf8)
                )
            })
        let head = HTTPRequest(
            method: .post, scheme: "https", authority: "vendor.example", path: "/x?token=\(secret)&a=b",
            headerFields: [.contentType: "application/x-www-form-urlencoded", .cookie: "session=\(secret)"])
        _ = try await transport.send(head, body: Array("a=b&client_secret=\(secret)".utf8), options: .init())
        let (path, text) = try file(transport.recording)
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(!text.contains(secret), "\(text)")
        #expect(text.contains("/x?token=<token>&a=b"), "\(text)")
    }
}

#if CurlSupport
import CurlTransport
import HTTPTypes
import TestSupport
import Testing
import TokenBroker

/// Tests against an HTTP/2 server that ends its connections while streams are open.
@Suite(.serialized) struct GoAwayTests {
    @Test(arguments: HTTP2Server.Reaction.allCases, [0, 1])
    func `a stream that its server does not finish is closed`(reaction: HTTP2Server.Reaction, after: Int) async throws {
        let certificates = try TLSServers()
        defer { certificates.stop() }
        let server = try HTTP2Server(reaction, after: after, certificates)
        defer { server.stop() }
        let transport = try CurlTransport(configuration: .init(caFile: certificates.caFile))
        let request = HTTPRequest(method: .post, scheme: "https", authority: "localhost:\(server.port)", path: "/")
        for _ in 0..<after {
            let response = try await transport.send(request, body: [1], options: .init())
            #expect(response.body == Array("ok".utf8))
        }
        if after > 0, reaction == .refuses {
            // The server did not process the request, so libcurl sent it again on a new connection.
            #expect(try await transport.send(request, body: [1], options: .init()).status == .ok)
        } else {
            let error = await #expect(throws: TransportError.self) {
                try await transport.send(request, body: [1], options: .init())
            }
            #expect(error?.code == .closed, "\(error?.description ?? "")")
        }
        await transport.shutdown()
    }

    @Test(arguments: [250, 100, 50])
    func `no request is lost to GOAWAY frames`(requestsPerConnection: Int) async throws {
        let answer = #"{"access_token": "access", "token_type": "Bearer", "expires_in": 900}"#
        let servers = try TLSServers(answer: answer, requestsPerConnection: requestsPerConnection)
        defer { servers.stop() }
        let transport = try CurlTransport(configuration: .init(caFile: servers.caFile))
        let provider = ClientCredentialsProvider(
            vendor: try Vendor(
                profile: .alternativePayments, baseURL: "https://localhost:\(try #require(servers.ports["trusted"]))"),
            credentials: StaticCredentials(clientID: Secret("client"), clientSecret: Secret("secret")),
            transport: transport
        ).retrying()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<600 {
                group.addTask {
                    let token = try await provider.token(for: TokenRequest())
                    #expect(token.secret == Secret("access"))
                }
            }
            try await group.waitForAll()
        }
        await transport.shutdown()
    }
}
#endif

#if CommandLineSupport
import Foundation
import Synchronization
import TestSupport
import Testing
import TokenBrokerTesting

/// Tests of `tls_client_auth` (RFC 8705) from the configuration file to the token, through an nginx that requires a
/// client certificate.
struct ClientCertificateTests {
    /// The vendor behind nginx, which records its requests.
    private final class Vendor: Sendable {
        private let seen = Mutex<[String]>([])
        var requests: [String] { seen.withLock { $0 } }

        func serve(_ connection: RawServer.Connection) {
            while let request = connection.readRequest() {
                seen.withLock { $0.append(request) }
                // {"customer_id": "cus_1", "invoice_id": "inv_1", "exp": 4102444800}
                let claims = "eyJjdXN0b21lcl9pZCI6ImN1c18xIiwiaW52b2ljZV9pZCI6Imludl8xIiwiZXhwIjo0MTAyNDQ0ODAwfQ"
                let body =
                    request.hasPrefix("POST /oauth/token ")
                    ? #"{"access_token": "granted", "expires_in": 3600}"# : #"{"token": "e30.\#(claims).c2ln"}"#
                guard connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)") else {
                    return
                }
            }
        }
    }

    /// Runs the program with a secret in the environment that must not be sent.
    private func run(
        _ command: String, _ arguments: [String], _ servers: TLSServers, certificate: (file: String, key: String)?
    ) async throws -> (code: Int32, output: String) {
        let path = FileManager.default.temporaryDirectory.appending(path: "mtls-\(UUID().uuidString).yaml").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let shown = certificate.map { ", clientCertificate: \($0.file), clientKey: \($0.key)" } ?? ""
        let text = """
            vendor:
              environment: sandbox
              baseURL: "https://localhost:\(try #require(servers.ports["client-certificate"]))"
              clientAuthentication: tls_client_auth
            transport: {kind: curl, caFile: \(servers.caFile)\(shown)}
            access: {mode: open}
            """
        try Data(text.utf8).write(to: URL(filePath: path))
        let program = try RunningProgram.tokenBroker(
            [command, "--config", path] + arguments,
            environment: ["ALTERNATIVE_CLIENT_ID": "shop", "ALTERNATIVE_CLIENT_SECRET": "sentinel-secret"]
        )
        return (await program.exitCode(), program.output)
    }

    @Test func `a client certificate alone gets a token, and without it there is none`() async throws {
        let vendor = Vendor()
        let backend = try RawServer(serve: vendor.serve)
        defer { backend.stop() }
        let servers = try TLSServers(backendPort: backend.port)
        defer { servers.stop() }

        let own = (servers.clientCertificateFile, servers.clientKeyFile)
        let minted = try await run(
            "mint", ["--customer", "cus_1", "--invoice", "inv_1"], servers, certificate: own)
        #expect(minted.code == 0, "\(minted.output)")
        #expect(minted.output.contains(#""invoice_id":"inv_1""#))
        let requests = vendor.requests
        #expect(
            requests.map { $0.prefix { !$0.isNewline } } == [
                "POST /oauth/token HTTP/1.0", "POST /v1/checkout-auth/init HTTP/1.0",
            ])
        #expect(requests.allSatisfy { $0.contains("\r\nX-Client-Subject: CN=shop.example\r\n") })
        let first = try #require(requests.first)
        #expect(first.hasSuffix("\r\n\r\ngrant_type=client_credentials&client_id=shop"))
        #expect(!first.lowercased().contains("\r\nauthorization:"))
        #expect(
            !requests.contains {
                $0.contains("sentinel") || $0.contains(Data("sentinel-secret".utf8).base64EncodedString())
            })

        // No certificate, one that is not trusted, and one with the wrong key.
        let unknown = (servers.unknownCertificateFile, servers.unknownKeyFile)
        let mixed = (servers.clientCertificateFile, servers.unknownKeyFile)
        let refused = "the vendor answered with status 400; the client certificate may be missing or wrong"
        for (certificate, code, message) in [
            // nginx sends this response and not the vendor, so it does not count as refused credentials.
            (nil, 69, refused), (unknown, 69, refused), (mixed, 69, "the local SSL certificate"),
        ] as [((String, String)?, Int32, String)] {
            let check = try await run("check", ["--live"], servers, certificate: certificate)
            #expect(check.code == code, "\(check.output)")
            #expect(check.output.contains(message), "\(check.output)")
            #expect(!check.output.contains("sentinel"))
        }
        #expect(vendor.requests.count == 2)
    }
}
#endif

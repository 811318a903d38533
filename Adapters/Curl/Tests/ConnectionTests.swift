#if CurlSupport
import CurlTransport
import Foundation
import HTTPTypes
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

/// Tests for setting up connections: client certificates, trusted authorities, proxies and Unix-domain sockets.
@Suite(.serialized) struct ConnectionTests {
    private func get(
        _ scheme: String, _ authority: String, _ configuration: CurlTransport.Configuration
    ) async throws -> (status: Int, body: String) {
        let transport = try CurlTransport(configuration: configuration)
        var request = HTTPRequest(method: .get, scheme: scheme, authority: authority, path: "/")
        request.headerFields[.authorization] = "Bearer sentinel"
        let response = try await transport.send(request, body: [], options: .init())
        return (response.status.code, String(decoding: response.body, as: UTF8.self))
    }

    private func fails(
        _ code: TransportError.Code, _ scheme: String, _ authority: String,
        _ configuration: CurlTransport.Configuration, message: String? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let error = await #expect(throws: TransportError.self, sourceLocation: sourceLocation) {
            try await get(scheme, authority, configuration)
        }
        #expect(error?.code == code, "\(error?.description ?? "")", sourceLocation: sourceLocation)
        if let message { #expect(error?.message == message, sourceLocation: sourceLocation) }
    }

    @Test func `a client certificate is shown to a server that asks for it`() async throws {
        let servers = try TLSServers()
        defer { servers.stop() }
        let authority = "localhost:\(try #require(servers.ports["client-certificate"]))"
        var configuration = CurlTransport.Configuration(caFile: servers.caFile)
        #expect(try await get("https", authority, configuration).status == 400)

        configuration.clientCertificate = .init(
            certificateFile: servers.clientCertificateFile, keyFile: servers.clientKeyFile
        )
        #expect(try await get("https", authority, configuration) == (200, "CN=shop.example"))

        configuration.clientCertificate?.keyFile = servers.encryptedClientKeyFile
        configuration.clientCertificate?.passphrase = Secret("open sesame")
        #expect(try await get("https", authority, configuration) == (200, "CN=shop.example"))

        configuration.clientCertificate?.passphrase = Secret("wrong")
        try await fails(.tls, "https", authority, configuration)
        // Without a passphrase, nothing prompts for it at the terminal, which would block the transport.
        configuration.clientCertificate?.passphrase = nil
        try await fails(.tls, "https", authority, configuration)

        // The key does not belong to the certificate.
        configuration.clientCertificate = .init(certificateFile: servers.caFile, keyFile: servers.clientKeyFile)
        try await fails(.tls, "https", authority, configuration)
    }

    @Test func `a proxy sees the requested host and nothing else`() async throws {
        let servers = try TLSServers()
        defer { servers.stop() }
        let proxy = try ConnectProxy(authorization: "Basic dXNlcjpodW50ZXIy")
        defer { proxy.stop() }
        let authority = "other.example:\(try #require(servers.ports["another-host"]))"
        var configuration = CurlTransport.Configuration(
            caFile: servers.caFile, proxy: .init(url: proxy.url, user: "user", password: Secret("hunter2"))
        )
        let answer = try await get("https", authority, configuration)
        #expect(answer == (200, "HTTP/2.0 GET 1"))
        let request = try #require(proxy.requests.first)
        #expect(request.hasPrefix("CONNECT \(authority) HTTP/1.1\r\n"))
        #expect(!request.contains("sentinel"))

        // Requests to this machine bypass the proxy.
        let local = "localhost:\(try #require(servers.ports["trusted"]))"
        #expect(try await get("https", local, configuration).status == 200)
        #expect(proxy.requests.count == 1)

        try await fails(.connect, "https", "other.example:1", configuration, message: "the proxy answered 502")
        configuration.proxy?.password = Secret("wrong")
        try await fails(.connect, "https", authority, configuration, message: "the proxy answered 407")

        let gone = try ConnectProxy()
        gone.stop()
        configuration.proxy = .init(url: gone.url)
        try await fails(.connect, "https", authority, configuration)
    }

    @Test func `a Unix socket is used whatever the host`() async throws {
        let servers = try TLSServers()
        defer { servers.stop() }
        var configuration = CurlTransport.Configuration(caFile: servers.caFile, unixSocket: servers.unixSocket)
        #expect(try await get("http", "localhost:1", configuration) == (200, "localhost:1 by socket"))
        // The rules for schemes and certificates also apply here.
        try await fails(.refusedScheme, "http", "vendor.example", configuration)
        configuration.unixSocket = servers.unixTLSSocket
        #expect(try await get("https", "localhost", configuration) == (200, "localhost by socket"))
        try await fails(.trust, "https", "vendor.example", configuration)
        configuration.unixSocket = "/nowhere.sock"
        try await fails(.connect, "http", "localhost", configuration)
    }

    @Test func `libcurl ignores proxies and certificates from the environment`() async throws {
        // This runs in its own process because all tests share the environment.
        await #expect(processExitsWith: .success) {
            let servers = try TLSServers()
            defer { servers.stop() }
            let proxy = try ConnectProxy()
            for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
                setenv(name, proxy.url, 1)
            }
            for name in ["SSL_CERT_FILE", "CURL_CA_BUNDLE"] { setenv(name, servers.caFile, 1) }
            setenv("SSL_CERT_DIR", URL(filePath: servers.caFile).deletingLastPathComponent().path, 1)
            let transport = try CurlTransport()
            let authority = "localhost:\(servers.ports["trusted"] ?? 0)"
            let request = HTTPRequest(method: .get, scheme: "https", authority: authority, path: "/")
            await #expect("the authority is none of the system's") {
                try await transport.send(request, body: [], options: .init())
            } throws: {
                // Error 60: the file of authorities was read, and the server's authority is not in it.
                ($0 as? TransportError)?.message.hasPrefix("libcurl 60,") ?? false
            }
            var elsewhere = request
            elsewhere.authority = "nowhere.invalid"
            await #expect("there is no such name here, whatever a proxy may know") {
                try await transport.send(elsewhere, body: [], options: .init())
            } throws: { ($0 as? TransportError)?.code == .resolve }
            #expect(proxy.requests.isEmpty)
            await transport.shutdown()
        }
    }

    @Test func `an invalid libcurl configuration is refused by name`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let pem = folder.appending(path: "any.pem").path
        try "-----BEGIN CERTIFICATE-----\n".write(toFile: pem, atomically: true, encoding: .utf8)
        let cases: [(CurlTransport.Configuration, String)] = [
            (.init(connectTimeout: .zero), "connectTimeout"),
            (.init(timeout: .seconds(-1)), "timeout"),
            (.init(connectionLifetime: .zero), "connectionLifetime"),
            (.init(maximumConnections: 0), "maximumConnections"),
            (.init(caFile: "/does/not/exist"), "caFile"),
            (.init(caFile: "/etc/passwd"), "caFile"),
            (.init(clientCertificate: .init(certificateFile: "/nowhere", keyFile: pem)), "clientCertificate"),
            (.init(clientCertificate: .init(certificateFile: pem, keyFile: "/etc/passwd")), "clientKey"),
            (.init(proxy: .init(url: "http://user:hunter2@proxy:1")), "proxy"),
            (.init(proxy: .init(url: "socks5://proxy:1")), "proxy"),
            (.init(proxy: .init(url: "http://proxy:1/path")), "proxy"),
            (.init(proxy: .init(url: "http://proxy:1", password: Secret("hunter2"))), "user"),
            (.init(proxy: .init(url: "http://proxy:1"), unixSocket: "/a"), "unixSocket"),
            (.init(unixSocket: String(repeating: "a", count: 108)), "unixSocket"),
            (.init(unixSocket: ""), "unixSocket"),
        ]
        for (configuration, name) in cases {
            #expect("\(name)") {
                try CurlTransport(configuration: configuration)
            } throws: { "\($0)".contains(name) && !"\($0)".contains("hunter2") }
        }
    }
}
#endif

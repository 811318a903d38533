import Foundation

/// An nginx with one HTTPS server for each kind of certificate, one that wants the client's, and HTTP/2. For tests only.
public final class TLSServers: Sendable {
    /// The authority's certificate, for `caFile`.
    public let caFile: String
    /// By the name of the certificate: `trusted`, `untrusted`, `expired`, `another-host`; and `client-certificate` for one that is trusted and
    /// answers only to a client with ``clientCertificateFile``, by its subject.
    public let ports: [String: Int]
    /// A Unix-domain socket that answers plain HTTP, and one that answers HTTPS as `trusted` does.
    public let (unixSocket, unixTLSSocket): (String, String)
    /// A client's certificate and its key; the key again, encrypted with the passphrase `open sesame`.
    public let (clientCertificateFile, clientKeyFile, encryptedClientKeyFile): (String, String, String)
    /// The certificate for `localhost` that the authority has signed, and its key.
    public let (trustedCertificateFile, trustedKeyFile): (String, String)
    /// A certificate of no authority that anybody trusts, and its key.
    public let (unknownCertificateFile, unknownKeyFile): (String, String)
    private let directory: URL
    private let nginx: Nginx

    /// - Parameter backendPort: Where on this machine the server that wants the client's certificate gets its answers, instead of answering
    ///   with the certificate's subject; that stands in `X-Client-Subject` then.
    /// - Parameter answer: The body that the servers without another one answer with; nginx replaces its variables in it.
    /// - Parameter requestsPerConnection: After how many a connection ends, with HTTP/2 by a GOAWAY.
    /// - Throws: ``ToolError`` if `openssl` or `nginx` is missing or fails.
    public init(
        backendPort: Int? = nil, answer: String = "$server_protocol $request_method $connection",
        requestsPerConnection: Int = 100_000
    ) throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "tls-servers-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let folder = directory.path
        caFile = "\(folder)/ca.pem"
        (unixSocket, unixTLSSocket) = ("\(folder)/plain.sock", "\(folder)/tls.sock")
        (clientCertificateFile, clientKeyFile) = ("\(folder)/client.pem", "\(folder)/client.key")
        encryptedClientKeyFile = "\(folder)/client-encrypted.key"
        (trustedCertificateFile, trustedKeyFile) = ("\(folder)/trusted.pem", "\(folder)/trusted.key")
        (unknownCertificateFile, unknownKeyFile) = ("\(folder)/untrusted.pem", "\(folder)/untrusted.key")
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
        try shell(
            """
            cd \(folder)
            openssl req -x509 \(key) -keyout ca.key -out ca.pem -subj /CN=Test-CA -days 2
            openssl req -x509 \(key) -keyout untrusted.key -out untrusted.pem -subj /CN=localhost -days 2 \
                -addext subjectAltName=DNS:localhost
            for name in trusted expired another-host client; do
                host=localhost days=2
                [ $name = another-host ] && host=other.example
                [ $name = client ] && host=shop.example
                [ $name = expired ] && days=-1
                openssl req \(key) -keyout $name.key -out $name.csr -subj /CN=$host
                echo subjectAltName=DNS:$host >$name.ext
                openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $name.pem -days $days \
                    -extfile $name.ext
            done
            openssl ec -in client.key -aes256 -passout 'pass:open sesame' -out client-encrypted.key
            """
        )
        var ports: [String: Int] = [:]
        var servers = ""
        for name in ["trusted", "untrusted", "expired", "another-host"] {
            let port = try Nginx.freePort()
            ports[name] = port
            servers += """
                server {
                    listen 127.0.0.1:\(port) ssl http2;
                    ssl_certificate \(folder)/\(name).pem;
                    ssl_certificate_key \(folder)/\(name).key;
                    location / { return 200 '\(answer)'; }
                }

                """
        }
        let port = try Nginx.freePort()
        ports["client-certificate"] = port
        let trusted = "ssl_certificate \(folder)/trusted.pem; ssl_certificate_key \(folder)/trusted.key;"
        let subject =
            backendPort.map { "proxy_set_header X-Client-Subject $ssl_client_s_dn; proxy_pass http://127.0.0.1:\($0);" }
            ?? #"return 200 "$ssl_client_s_dn";"#
        servers += """
            server {
                listen 127.0.0.1:\(port) ssl http2; \(trusted)
                ssl_verify_client on; ssl_client_certificate \(caFile);
                location / { \(subject) }
            }
            server { listen unix:\(unixSocket); location / { return 200 "$http_host by socket"; } }
            server { listen unix:\(unixTLSSocket) ssl http2; \(trusted) location / { return 200 "$host by socket"; } }
            """
        self.ports = ports
        nginx = try Nginx(servers: servers, requestsPerConnection: requestsPerConnection)
    }

    /// Ends the servers and removes their files.
    public func stop() {
        nginx.stop()
        try? FileManager.default.removeItem(at: directory)
    }
}

/// A tool that the tests need is missing or failed.
public struct ToolError: Error, CustomStringConvertible {
    /// What is missing or failed.
    public var description: String

    /// Takes the explanation.
    public init(description: String) { self.description = description }
}

/// What a script for bash prints. For tests only.
/// - Throws: ``ToolError`` with the output if it fails.
@discardableResult
public func shell(_ script: String) throws -> String {
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(filePath: "/bin/bash")
    process.arguments = ["-e", "-c", script]
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw ToolError(description: "the script failed: \(text)") }
    return text
}

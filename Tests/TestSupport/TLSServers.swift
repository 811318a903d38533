import Foundation

/// An nginx with one HTTPS server for each kind of certificate, one that requires a client certificate, and HTTP/2. For
/// tests only.
public final class TLSServers: Sendable {
    /// The path of the authority's certificate, for `caFile`.
    public let caFile: String
    /// The ports by the name of the certificate: `trusted`, `untrusted`, `expired`, `another-host` and
    /// `client-certificate`. The last server is trusted too, and responds only to a client with
    /// ``clientCertificateFile``, with the certificate's subject.
    public let ports: [String: Int]
    /// The paths of a Unix-domain socket that serves plain HTTP, and of one that serves HTTPS as `trusted` does.
    public let (unixSocket, unixTLSSocket): (String, String)
    /// A client certificate, its key, and the key encrypted with the passphrase `open sesame`.
    public let (clientCertificateFile, clientKeyFile, encryptedClientKeyFile): (String, String, String)
    /// The certificate for `localhost` that the authority has signed, and its key.
    public let (trustedCertificateFile, trustedKeyFile): (String, String)
    /// A certificate of an authority that is not trusted, and its key.
    public let (unknownCertificateFile, unknownKeyFile): (String, String)
    private let directory: URL
    private let nginx: Nginx

    /// Creates the certificates and starts the servers.
    /// - Parameters:
    ///   - backendPort: The local port to which the server with client certificates forwards requests. It passes the
    ///     certificate's subject in `X-Client-Subject`. Without a port, it responds with the subject.
    ///   - answer: The response body of the other servers, in which nginx replaces its variables.
    ///   - requestsPerConnection: The number of requests after which a connection is closed, with a GOAWAY for HTTP/2.
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

    /// Stops the servers and removes their files.
    public func stop() {
        nginx.stop()
        try? FileManager.default.removeItem(at: directory)
    }
}

/// An error that a tool of the tests is missing or has failed.
public struct ToolError: Error, CustomStringConvertible {
    /// What is missing or has failed.
    public var description: String

    /// Creates an error with this explanation.
    public init(description: String) { self.description = description }
}

/// Runs a bash script and returns its output. For tests only.
/// - Throws: ``ToolError`` with the output if the script fails.
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

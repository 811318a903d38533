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
    private let process: Process

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
            // A port that was free a moment ago; nginx cannot tell which one it would choose.
            let probe = try RawServer { _ in }
            ports[name] = probe.port
            probe.stop()
            servers += """
                server {
                    listen 127.0.0.1:\(probe.port) ssl http2;
                    ssl_certificate \(folder)/\(name).pem;
                    ssl_certificate_key \(folder)/\(name).key;
                    location / { return 200 '\(answer)'; }
                }

                """
        }
        let probe = try RawServer { _ in }
        ports["client-certificate"] = probe.port
        probe.stop()
        let trusted = "ssl_certificate \(folder)/trusted.pem; ssl_certificate_key \(folder)/trusted.key;"
        let subject =
            backendPort.map { "proxy_set_header X-Client-Subject $ssl_client_s_dn; proxy_pass http://127.0.0.1:\($0);" }
            ?? #"return 200 "$ssl_client_s_dn";"#
        servers += """
            server {
                listen 127.0.0.1:\(probe.port) ssl http2; \(trusted)
                ssl_verify_client on; ssl_client_certificate \(caFile);
                location / { \(subject) }
            }
            server { listen unix:\(unixSocket); location / { return 200 "$http_host by socket"; } }
            server { listen unix:\(unixTLSSocket) ssl http2; \(trusted) location / { return 200 "$host by socket"; } }
            """
        self.ports = ports
        let configuration = """
            daemon off; pid \(folder)/nginx.pid; error_log \(folder)/error.log; worker_processes 1;
            events { worker_connections 2048; }
            http {
                access_log off; keepalive_requests \(requestsPerConnection); client_body_temp_path \(folder)/body;
                proxy_temp_path \(folder)/p; fastcgi_temp_path \(folder)/f; uwsgi_temp_path \(folder)/u; scgi_temp_path \(folder)/s;
                \(servers)
            }
            """
        try Data(configuration.utf8).write(to: directory.appending(path: "nginx.conf"))
        process = Process()
        process.executableURL = URL(filePath: "/usr/sbin/nginx")
        process.arguments = ["-c", "\(folder)/nginx.conf", "-e", "\(folder)/error.log"]
        do {
            try process.run()
        } catch {
            throw ToolError(description: "nginx cannot be started; install nginx-light: \(error)")
        }
        let wanted = "\(folder)/nginx.pid"
        let deadline = Date(timeIntervalSinceNow: 10)
        while !FileManager.default.fileExists(atPath: wanted) {
            guard process.isRunning, Date() < deadline else {
                let log = (try? String(contentsOfFile: "\(folder)/error.log", encoding: .utf8)) ?? ""
                throw ToolError(description: "nginx did not start: \(log)")
            }
            usleep(10_000)
        }
    }

    /// Ends the servers and removes their files.
    public func stop() {
        process.terminate()
        process.waitUntilExit()
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

import Foundation

/// An nginx process that immediately responds to POST requests with fixed JSON, in plain HTTP and over TLS with HTTP/2.
public final class Nginx {
    /// The authority `127.0.0.1:port`, for plain HTTP.
    public let plainAuthority: String
    /// The authority `localhost:port`, for TLS.
    public let tlsAuthority: String
    /// The path of the PEM file with its certificate.
    public let caFile: String
    private let folder: URL
    private let process = Process()

    /// Starts nginx.
    /// - Parameter answers: The JSON of each path.
    public init(answers: [String: String]) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "benchmark-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        // Two adjacent ports that are most likely free. If not, nginx reports it.
        let port = Int.random(in: 10_000..<15_000) * 2
        plainAuthority = "127.0.0.1:\(port)"
        tlsAuthority = "localhost:\(port + 1)"
        caFile = folder.appending(path: "certificate.pem").path
        let openssl = Process()
        openssl.executableURL = URL(filePath: "/usr/bin/openssl")
        openssl.currentDirectoryURL = folder
        openssl.arguments = [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem",
            "-out", "certificate.pem", "-subj", "/CN=localhost", "-days", "2", "-addext",
            "subjectAltName=DNS:localhost",
        ]
        openssl.standardError = FileHandle.nullDevice
        try openssl.run()
        openssl.waitUntilExit()

        let path = folder.path
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map { "\($0)_temp_path \(path)/\($0);" }
        // `return` would respond before nginx has read the body. Over HTTP/2, AsyncHTTPClient then sometimes waits for
        // ever.
        let locations = answers.map {
            "location \($0.key) { default_type application/json; echo_read_request_body; echo -n '\($0.value)'; }"
        }
        try """
        load_module /usr/lib/nginx/modules/ngx_http_echo_module.so;
        daemon off; pid \(path)/nginx.pid; worker_processes 1;
        events { worker_connections 4096; }
        http {
            access_log off; keepalive_requests 1000000000; \(temporary.joined(separator: " "))
            server {
                listen \(plainAuthority);
                listen 127.0.0.1:\(port + 1) ssl http2;
                ssl_certificate certificate.pem; ssl_certificate_key key.pem; http2_max_concurrent_streams 128;
                \(locations.joined(separator: "\n"))
            }
        }
        """.write(to: folder.appending(path: "nginx.conf"), atomically: true, encoding: .utf8)
        process.executableURL = URL(filePath: "/usr/sbin/nginx")
        process.arguments = ["-p", path, "-c", "nginx.conf", "-e", "\(path)/error.log"]
        // nginx must not inherit our output, or the reader of that would also wait for nginx to exit.
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        for _ in 0..<500 where !FileManager.default.fileExists(atPath: "\(path)/nginx.pid") { usleep(10_000) }
    }

    /// Stops nginx and removes its files.
    public func stop() {
        process.terminate()
        process.waitUntilExit()
        try? FileManager.default.removeItem(at: folder)
    }
}

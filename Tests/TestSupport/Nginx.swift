import Foundation
import TokenBrokerTesting

/// An nginx process with its own configuration. For tests only.
public final class Nginx: Sendable {
    private let directory: URL
    private let process: ChildProcess

    /// Starts nginx and waits until it listens.
    /// - Parameters:
    ///   - servers: The `server` blocks of the configuration.
    ///   - requestsPerConnection: The maximum number of requests on one connection.
    /// - Throws: ``ToolError`` with nginx's log if it does not start.
    public init(servers: String, requestsPerConnection: Int = 100_000) throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "nginx-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let folder = directory.path
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
        do {
            process = try ChildProcess(
                "/usr/sbin/nginx", ["-c", "\(folder)/nginx.conf", "-e", "\(folder)/error.log"],
                environment: ProcessInfo.processInfo.environment
            )
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

    /// Stops nginx and removes its files.
    public func stop() {
        process.terminate()
        process.waitUntilExit()
        try? FileManager.default.removeItem(at: directory)
    }

    /// Returns a port that was free a moment ago. nginx cannot report a port that it chose itself.
    public static func freePort() throws -> Int {
        let probe = try RawServer { _ in }
        defer { probe.stop() }
        return probe.port
    }
}

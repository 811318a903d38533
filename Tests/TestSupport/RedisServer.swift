import Foundation
import Synchronization

/// A Redis server of its own, in memory only. For tests only.
public final class RedisServer: Sendable {
    /// The port that it listens on, with TLS if it was started with certificates.
    public let port: Int
    private let directory: URL
    private let arguments: [String]
    private let process: Mutex<ChildProcess>

    /// Starts a server and waits until it answers.
    /// - Parameters:
    ///   - program: The program, `redis-server` or `redis-sentinel`.
    ///   - tls: The servers whose certificates it uses; it then requires a client certificate.
    ///   - configuration: Further lines of its configuration.
    /// - Throws: ``ToolError`` if it does not start.
    public init(program: String = "redis-server", tls: TLSServers? = nil, configuration: [String] = []) throws {
        port = try Nginx.freePort()
        directory = FileManager.default.temporaryDirectory.appending(path: "redis-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        var lines = ["bind 127.0.0.1", "dir \(directory.path)", "loglevel warning"]
        if program == "redis-server" { lines.append("save \"\"") }
        if let tls {
            lines += [
                "port 0", "tls-port \(port)", "tls-cert-file \(tls.trustedCertificateFile)",
                "tls-key-file \(tls.trustedKeyFile)", "tls-ca-cert-file \(tls.caFile)", "tls-auth-clients yes",
            ]
        } else {
            lines.append("port \(port)")
        }
        // By default, the cluster's port is 10,000 above, and may not exist.
        if configuration.contains("cluster-enabled yes") { lines.append("cluster-port \(try Nginx.freePort())") }
        lines += configuration
        let file = directory.appending(path: "redis.conf")
        try Data(lines.joined(separator: "\n").utf8).write(to: file)
        arguments = ["/usr/bin/\(program)", file.path]
        process = Mutex(try Self.start(arguments))
        try waitUntilItListens()
    }

    private static func start(_ arguments: [String]) throws -> ChildProcess {
        do {
            return try ChildProcess(
                arguments[0], [arguments[1]], environment: ProcessInfo.processInfo.environment)
        } catch {
            throw ToolError(description: "\(arguments[0]) cannot be started; install redis-server: \(error)")
        }
    }

    private func waitUntilItListens() throws {
        let deadline = Date(timeIntervalSinceNow: 20)
        while true {
            if (try? RawClient(port: UInt16(clamping: port))) != nil { return }
            guard Date() < deadline else { throw ToolError(description: "\(arguments[0]) did not start") }
            usleep(20_000)
        }
    }

    /// Sends a signal to the server.
    public func signal(_ signal: Int32) { _ = process.withLock { kill($0.processID, signal) } }

    /// Kills the server. Its data are lost.
    public func kill9() {
        let process = process.withLock { $0 }
        kill(process.processID, SIGKILL)
        process.waitUntilExit()
    }

    /// Starts the server again after ``kill9()``, without its data.
    public func restart() throws {
        let new = try Self.start(arguments)
        process.withLock { $0 = new }
        try waitUntilItListens()
    }

    /// Runs a command with `redis-cli`, without TLS, and returns what it prints.
    @discardableResult
    public func command(_ arguments: String...) throws -> String { try run(arguments) }

    /// Runs a command, as ``command(_:)`` does.
    @discardableResult
    public func run(_ arguments: [String]) throws -> String {
        let tool = Process()
        tool.executableURL = URL(filePath: "/usr/bin/redis-cli")
        tool.arguments = ["-p", "\(port)"] + arguments
        let pipe = Pipe()
        tool.standardOutput = pipe
        tool.standardError = FileHandle.nullDevice
        try tool.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        tool.waitUntilExit()
        return String(decoding: output, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Stops the server and removes its files.
    public func stop() {
        signal(SIGCONT)
        kill9()
        try? FileManager.default.removeItem(at: directory)
    }
}

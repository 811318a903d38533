import Foundation
import Synchronization

/// A program in a process of its own, whose output is read line by line. For tests only.
public final class RunningProgram: Sendable {
    private let process: Process
    private let text = Mutex("")
    private let lines: AsyncStream<String>
    private let end: AsyncStream<Int32>

    /// The built `token-broker`, which lies beside the test program.
    public static func tokenBroker(_ arguments: [String], environment: [String: String] = [:]) throws -> RunningProgram
    {
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let program = URL(filePath: tests).deletingLastPathComponent().appending(path: "token-broker").path
        return try RunningProgram(program, arguments, environment: environment)
    }

    /// - Parameter environment: All of it, besides `PATH` and `HOME`.
    public init(_ path: String, _ arguments: [String], environment: [String: String] = [:]) throws {
        let (lines, found) = AsyncStream.makeStream(of: String.self)
        self.lines = lines
        let (end, ended) = AsyncStream.makeStream(of: Int32.self)
        self.end = end
        process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        let own = ProcessInfo.processInfo.environment.filter { ["PATH", "HOME"].contains($0.key) }
        process.environment = own.merging(environment) { $1 }
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        process.terminationHandler = { process in
            ended.yield(process.terminationStatus)
            ended.finish()
        }
        do {
            try process.run()
        } catch {
            throw ToolError(description: "\(path) cannot be started: \(error)")
        }
        Thread.detachNewThread { [self] in
            var rest = ""
            while true {
                let data = output.fileHandleForReading.availableData
                if data.isEmpty { break }
                let chunk = String(decoding: data, as: UTF8.self)
                text.withLock { $0 += chunk }
                rest += chunk
                while let end = rest.firstIndex(of: "\n") {
                    found.yield(String(rest[..<end]))
                    rest = String(rest[rest.index(after: end)...])
                }
            }
            if !rest.isEmpty { found.yield(rest) }
            found.finish()
        }
        // A test that waits for a line that never comes must end.
        Thread.detachNewThread { [process] in
            Thread.sleep(forTimeInterval: 120)
            if process.isRunning { process.terminate() }
        }
    }

    /// What it printed so far, to both streams.
    public var output: String { text.withLock { $0 } }
    /// Its number.
    public var processID: Int32 { process.processIdentifier }

    /// The next line that contains `text`.
    /// - Throws: ``ToolError`` with all output if the program ends without it.
    public func line(containing text: String) async throws -> String {
        for await line in lines where line.contains(text) { return line }
        throw ToolError(description: "'\(text)' was never printed, but:\n\(output)")
    }

    /// The first address in the next line that contains `text`, without scheme and path.
    public func authority(inLine text: String) async throws -> String {
        let line = try await line(containing: text)
        guard let start = line.firstRange(of: "http://") else { throw ToolError(description: "no address in: \(line)") }
        return String(line[start.upperBound...].prefix { $0.isNumber || $0 == "." || $0 == ":" })
    }

    /// Waits for its end.
    /// - Returns: The exit code. Asked once; it is -1 afterwards.
    public func exitCode() async -> Int32 {
        for await _ in lines {}
        // Not `waitUntilExit`, which would take a thread from the other tests.
        for await code in end { return code }
        return -1
    }

    /// Sends SIGTERM, and waits neither for its end nor for that of programs it started, which share its output.
    public func signalToEnd() { process.terminate() }

    /// Sends SIGTERM, and waits for its end.
    @discardableResult
    public func terminate() async -> Int32 {
        process.terminate()
        return await exitCode()
    }
}

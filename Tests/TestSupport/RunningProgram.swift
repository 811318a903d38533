import Foundation
import Synchronization

/// A child process whose output is read line by line. For tests only.
public final class RunningProgram: Sendable {
    private let process: ChildProcess
    private let text = Mutex("")
    private let lines: AsyncStream<String>
    private let found: AsyncStream<String>.Continuation
    /// The standard error, until ``readError()`` is called.
    private let heldError = Mutex<FileHandle?>(nil)
    private let readers = Mutex(0)

    /// The path of the built `token-broker`, which is beside the test program.
    public static var tokenBrokerPath: String {
        get throws {
            let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
            return URL(filePath: tests).deletingLastPathComponent().appending(path: "token-broker").path
        }
    }

    /// Starts the built `token-broker`.
    public static func tokenBroker(
        _ arguments: [String], environment: [String: String] = [:], holdsError: Bool = false
    ) throws -> RunningProgram {
        try RunningProgram(tokenBrokerPath, arguments, environment: environment, holdsError: holdsError)
    }

    /// Starts a program.
    /// - Parameters:
    ///   - environment: Its environment, in addition to `PATH` and `HOME`.
    ///   - holdsError: Whether its standard error is left unread until ``readError()``.
    public init(
        _ path: String, _ arguments: [String], environment: [String: String] = [:], holdsError: Bool = false
    ) throws {
        (lines, found) = AsyncStream.makeStream(of: String.self)
        let own = ProcessInfo.processInfo.environment.filter { ["PATH", "HOME"].contains($0.key) }
        let output = Pipe()
        let error = holdsError ? Pipe() : output
        process = try ChildProcess(
            path, arguments, environment: own.merging(environment) { $1 },
            output: output.fileHandleForWriting.fileDescriptor, error: error.fileHandleForWriting.fileDescriptor
        )
        // Only the program keeps its ends of the pipes open.
        try output.fileHandleForWriting.close()
        if holdsError {
            try error.fileHandleForWriting.close()
            heldError.withLock { $0 = error.fileHandleForReading }
        }
        startReading(output.fileHandleForReading)
        // This ends a test that waits for a line that never comes.
        DispatchQueue.global().asyncAfter(deadline: .now() + 300) { [process] in process.terminate() }
    }

    private func startReading(_ handle: FileHandle) {
        readers.withLock { $0 += 1 }
        Thread.detachNewThread { [self] in
            read(handle)
            let isLast = readers.withLock { readers in
                readers -= 1
                return readers == 0
            }
            if isLast { found.finish() }
        }
    }

    private func read(_ handle: FileHandle) {
        var rest = ""
        while true {
            let data = handle.availableData
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
    }

    /// Starts to read the standard error that was held.
    public func readError() {
        if let held = heldError.withLock({ $0.take() }) { startReading(held) }
    }

    /// The program's output so far, from both streams.
    public var output: String { text.withLock { $0 } }
    /// The process id.
    public var processID: Int32 { process.processID }

    /// Returns the next line that contains `text`.
    /// - Throws: ``ToolError`` with all output if the program exits without such a line.
    public func line(containing text: String) async throws -> String {
        for await line in lines where line.contains(text) { return line }
        throw ToolError(description: "'\(text)' was never printed, but:\n\(output)")
    }

    /// Returns the first address in the next line that contains `text`, without scheme and path.
    public func authority(inLine text: String) async throws -> String {
        let line = try await line(containing: text)
        guard let start = line.firstRange(of: "http://") else { throw ToolError(description: "no address in: \(line)") }
        return String(line[start.upperBound...].prefix { $0.isNumber || $0 == "." || $0 == ":" })
    }

    /// Waits for the program to exit.
    /// - Returns: The exit code, or 128 plus the number of the signal that ended the program. Only the first call
    ///   returns it; later calls return -1.
    public func exitCode() async -> Int32 {
        for await _ in lines {}
        return await process.exitCode()
    }

    /// Sends a signal to the program.
    public func send(_ signal: Int32) { process.send(signal) }

    /// Sends SIGTERM and waits for the program to exit. After a grace period it is killed.
    @discardableResult
    public func terminate() async -> Int32 {
        process.terminate()
        return await exitCode()
    }
}

import Foundation
import Synchronization

/// A program in a process of its own, whose output is read line by line. For tests only.
public final class RunningProgram: Sendable {
    private let process: ChildProcess
    private let text = Mutex("")
    private let lines: AsyncStream<String>
    private let found: AsyncStream<String>.Continuation
    /// What nobody reads yet.
    private let heldError = Mutex<FileHandle?>(nil)
    private let readers = Mutex(0)

    /// Where the built `token-broker` is: beside the test program.
    public static var tokenBrokerPath: String {
        get throws {
            let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
            return URL(filePath: tests).deletingLastPathComponent().appending(path: "token-broker").path
        }
    }

    /// The built `token-broker`.
    public static func tokenBroker(
        _ arguments: [String], environment: [String: String] = [:], holdsError: Bool = false
    ) throws -> RunningProgram {
        try RunningProgram(tokenBrokerPath, arguments, environment: environment, holdsError: holdsError)
    }

    /// - Parameters:
    ///   - environment: All of it, besides `PATH` and `HOME`.
    ///   - holdsError: Whether nobody reads its standard error until ``readError()``.
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
        // Only its own ends of them are left.
        try output.fileHandleForWriting.close()
        if holdsError {
            try error.fileHandleForWriting.close()
            heldError.withLock { $0 = error.fileHandleForReading }
        }
        startReading(output.fileHandleForReading)
        // A test that waits for a line that never comes must end.
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

    /// Begins to read the standard error that was held.
    public func readError() {
        if let held = heldError.withLock({ $0.take() }) { startReading(held) }
    }

    /// What it printed so far, to both streams.
    public var output: String { text.withLock { $0 } }
    /// Its number.
    public var processID: Int32 { process.processID }

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
    /// - Returns: The exit code, or 128 and the number of the signal that ended it. Asked once; it is -1 afterwards.
    public func exitCode() async -> Int32 {
        for await _ in lines {}
        return await process.exitCode()
    }

    /// Sends a signal.
    public func send(_ signal: Int32) { process.send(signal) }

    /// Sends SIGTERM, and waits for its end; after a grace it is killed.
    @discardableResult
    public func terminate() async -> Int32 {
        process.terminate()
        return await exitCode()
    }
}

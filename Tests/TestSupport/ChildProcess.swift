import Foundation
import Synchronization

/// A child process in its own process group, which is killed with it. For tests only.
///
/// It starts with no signal blocked or ignored. With Foundation's `Process` it would inherit both from the thread that
/// starts it, and many threads of a test block SIGTERM.
public final class ChildProcess: Sendable {
    private static let running = Mutex<Set<Int32>>([])
    /// Kills the processes that still run when the tests exit.
    private static let killsAtExit: Void = {
        atexit { for process in ChildProcess.running.withLock({ $0 }) { kill(-process, SIGKILL) } }
    }()

    /// The process id.
    public let processID: Int32
    private let code = Mutex<Int32?>(nil)
    private let end: AsyncStream<Int32>

    /// Starts a process.
    /// - Parameters:
    ///   - environment: Its whole environment.
    ///   - output: A descriptor for its standard output; this process's if `nil`.
    ///   - error: A descriptor for its standard error; this process's if `nil`.
    /// - Throws: ``ToolError`` if the process cannot be started.
    public init(
        _ path: String, _ arguments: [String], environment: [String: String], output: Int32? = nil, error: Int32? = nil
    ) throws {
        _ = Self.killsAtExit
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        if let output { posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO) }
        if let error { posix_spawn_file_actions_adddup2(&actions, error, STDERR_FILENO) }
        for name in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
            guard let descriptor = Int32(name), descriptor > STDERR_FILENO else { continue }
            // A descriptor that is closed by then does no harm.
            posix_spawn_file_actions_addclose(&actions, descriptor)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP)
        )
        // `posix_spawn` takes C strings, which live until they are freed.
        let argumentTexts = ([path] + arguments).map { strdup($0) } + [nil]
        let variableTexts = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for text in argumentTexts + variableTexts { free(text) } }
        var started: Int32 = 0
        let result = posix_spawn(&started, path, &actions, &attributes, argumentTexts, variableTexts)
        guard result == 0 else {
            throw ToolError(description: "\(path) cannot be started: \(String(cString: strerror(result)))")
        }
        let process = started
        processID = process
        let (end, ended) = AsyncStream.makeStream(of: Int32.self)
        self.end = end
        Self.running.withLock { _ = $0.insert(process) }
        Thread.detachNewThread { [self] in
            var information = siginfo_t()
            while waitid(P_PID, id_t(process), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
            // Until the process is reaped, no other process gets its id.
            let code = code.withLock { code in
                kill(-process, SIGKILL)
                Self.running.withLock { _ = $0.remove(process) }
                var status: Int32 = 0
                waitpid(process, &status, 0)
                let signal = status & 0x7F
                let ended = signal == 0 ? (status >> 8) & 0xFF : 128 + signal
                code = ended
                return ended
            }
            ended.yield(code)
            ended.finish()
        }
    }

    /// A Boolean value that indicates whether the process is still running.
    public var isRunning: Bool { code.withLock { $0 == nil } }

    /// Sends a signal to the process, but not to its group, unless it has exited.
    public func send(_ signal: Int32) { code.withLock { if $0 == nil { kill(processID, signal) } } }

    /// Sends SIGTERM, and after a grace period in seconds SIGKILL to the rest of its group.
    public func terminate(grace: Double = 30) {
        send(SIGTERM)
        DispatchQueue.global().asyncAfter(deadline: .now() + grace) { [self] in
            code.withLock { if $0 == nil { kill(-processID, SIGKILL) } }
        }
    }

    /// Blocks this thread until the process exits.
    public func waitUntilExit() {
        while isRunning { usleep(1_000) }
    }

    /// Waits for the process to exit.
    /// - Returns: The exit code, or 128 plus the number of the signal that ended the process. Only the first call
    ///   returns it; later calls return -1.
    public func exitCode() async -> Int32 {
        for await code in end { return code }
        return -1
    }
}

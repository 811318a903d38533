#if CommandLineSupport
import ArgumentParser
import FoundationEssentials
import TokenBroker

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A standard stream of the process, written without a buffer, so that the reader of a pipe sees each line at once.
struct StandardStream: Sendable {
    let descriptor: Int32

    /// Writes bytes, and waits until the reader has taken all of them.
    /// - Returns: The `errno` of a failure; otherwise 0.
    func write(_ bytes: [UInt8]) -> Int32 {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { systemWrite(descriptor, $0) }
            if written >= 0 {
                rest = rest.dropFirst(written)
                continue
            }
            switch errno {
            case EINTR: continue
            case EAGAIN:
                // Another process that shares the stream made it nonblocking.
                var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = poll(&ready, 1, -1)
            case let code: return code
            }
        }
        return 0
    }
}

private func systemWrite(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer) -> Int {
    write(descriptor, buffer.baseAddress, buffer.count)
}

/// Prints the result of a command, and waits for the reader.
func printResult(_ bytes: [UInt8]) throws(Failure) {
    let code = StandardStream(descriptor: STDOUT_FILENO).write(bytes)
    guard code == 0 else { throw .cannotPrint(String(cString: strerror(code))) }
}

func printResult(_ text: String) throws(Failure) { try printResult(Array("\(text)\n".utf8)) }

/// The writer of a server's announcements to standard output, which may have no reader.
let announcements = LogWriter(StandardStream(descriptor: STDOUT_FILENO))
/// The writer of the log, and of all other text on standard error.
let standardError = LogWriter(StandardStream(descriptor: STDERR_FILENO))

/// The failure of a command: the message to print, and the exit code (from `sysexits.h`).
struct Failure: Error {
    let code: ExitCode
    let message: String

    static func configuration(_ message: String) -> Failure { Failure(code: ExitCode(78), message: message) }
    static func cannotListen(_ message: String) -> Failure { Failure(code: ExitCode(71), message: message) }
    static func cannotPrint(_ reason: String) -> Failure {
        Failure(code: ExitCode(74), message: "cannot write to standard output: \(reason)")
    }

    init(code: ExitCode, message: String) {
        self.code = code
        self.message = message
    }

    /// Creates the failure for an error.
    /// - Parameter subject: What is missing or wrong, as the beginning of the message.
    init(_ error: TokenError, subject: String = "no token") {
        let code: ExitCode =
            switch error.code {
            case .credentialsRejected: ExitCode(77)
            case .misconfigured: ExitCode(78)
            case .requestRejected: ExitCode(65)
            case .unavailable, .timedOut, .throttled: ExitCode(69)
            default: ExitCode(70)
            }
        let explanation =
            error.code == .requestRejected
            ? "the vendor refuses this customer or invoice; check both ids, and that they exist in vendor.environment "
                + "(\(error.message))"
            : "\(error)"
        self.init(code: code, message: "\(subject): \(explanation)")
    }
}
#endif

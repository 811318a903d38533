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

/// A stream of the process, written unbuffered and a whole line at a time, so that a reader behind a pipe sees each line at once.
struct StandardStream: Sendable {
    let descriptor: Int32

    func write(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { systemWrite(descriptor, $0) }
            if written < 0, errno == EINTR { continue }
            // Nobody reads any more; there is nobody to tell.
            guard written > 0 else { return }
            rest = rest.dropFirst(written)
        }
    }

    func line(_ text: String = "") { write(Array("\(text)\n".utf8)) }
}

private func systemWrite(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer) -> Int {
    write(descriptor, buffer.baseAddress, buffer.count)
}

let standardOutput = StandardStream(descriptor: STDOUT_FILENO)
let standardError = StandardStream(descriptor: STDERR_FILENO)

/// Why a command ends otherwise than with success: what it prints, and the exit code (from `sysexits.h`).
struct Failure: Error {
    let code: ExitCode
    let message: String

    static func configuration(_ message: String) -> Failure { Failure(code: ExitCode(78), message: message) }
    static func cannotListen(_ message: String) -> Failure { Failure(code: ExitCode(71), message: message) }

    init(code: ExitCode, message: String) {
        self.code = code
        self.message = message
    }

    /// What a token that could not be had means for the exit code.
    init(_ error: TokenError) {
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
            ? "the vendor refuses this customer or invoice; check both ids, and that they belong to vendor.environment "
                + "(\(error.message))"
            : "\(error)"
        self.init(code: code, message: "no token: \(explanation)")
    }

    /// Prints itself and hands the exit code to the argument parser.
    func exit() -> ExitCode {
        standardError.line("token-broker: \(message)")
        return code
    }
}
#endif

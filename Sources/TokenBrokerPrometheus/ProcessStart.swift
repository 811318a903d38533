#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// When the process started.
enum ProcessStart {
    /// Seconds since the Unix epoch; the current time if the system does not tell.
    static var seconds: Double {
        let now = Double(time(nil))
        #if os(Linux)
        let start = seconds(
            process: content(of: "/proc/self/stat"), system: content(of: "/proc/stat"),
            ticksPerSecond: sysconf(Int32(_SC_CLK_TCK)))
        // The time of boot is rounded, so that a process that has just started may seem to have started later.
        return min(start ?? now, now)
        #else
        return now
        #endif
    }

    /// Computes the start from the files of Linux; `nil` if they are not as expected.
    ///
    /// - Parameters:
    ///   - process: The content of `/proc/self/stat`, whose 22nd field is the start in ticks since boot.
    ///   - system: The content of `/proc/stat`, whose line `btime` is the time of boot.
    ///   - ticksPerSecond: The number of ticks per second.
    static func seconds(process: String, system: String, ticksPerSecond: Int) -> Double? {
        // The second field is the name of the program in parentheses, which may contain anything.
        guard ticksPerSecond > 0, let nameEnd = process.utf8.lastIndex(of: UInt8(ascii: ")")) else { return nil }
        let fields = process.utf8[nameEnd...].split(separator: UInt8(ascii: " "))
        let name = "btime "
        let lines = system.utf8.split(separator: UInt8(ascii: "\n"))
        guard let ticks = fields.dropFirst(20).first.flatMap({ UInt64(String($0) ?? "") }),
            let line = lines.first(where: { $0.starts(with: name.utf8) }),
            let boot = UInt64(String(line.dropFirst(name.utf8.count)) ?? ""), boot > 0
        else { return nil }
        return Double(boot) + Double(ticks) / Double(ticksPerSecond)
    }

    #if os(Linux)
    /// Returns the content of a file, at most about a mebibyte; nothing if it cannot be read.
    private static func content(of path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while bytes.count < 1 << 20 {
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            bytes += chunk.prefix(count)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
    #endif
}

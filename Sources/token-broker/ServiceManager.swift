#if CommandLineSupport
import FoundationEssentials
import ServiceLifecycle

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Tells the service manager about the state of the process, as sd_notify(3) of systemd does. It does nothing if no
/// manager asks for that.
///
/// As a service, it shows the watchdog twice in each period that the process can still run tasks.
struct ServiceManager: Service {
    /// The path of the manager's socket. A leading `@` stands for a socket without a file.
    private let socket: String?
    private let period: Duration?

    init(environment: [String: String]) {
        let path = environment["NOTIFY_SOCKET"] ?? ""
        socket = path.hasPrefix("/") || path.hasPrefix("@") ? path : nil
        let isMeant = environment["WATCHDOG_PID"].map { $0 == "\(getpid())" } ?? true
        let microseconds = environment["WATCHDOG_USEC"].flatMap { Int64($0) } ?? 0
        period = socket != nil && isMeant && microseconds > 0 ? .microseconds(microseconds) : nil
    }

    func run() async throws {
        try? await cancelWhenGracefulShutdown {
            while let period, !Task.isCancelled {
                notify("WATCHDOG=1")
                try await Task.sleep(for: period / 2)
            }
        }
        try? await gracefulShutdown()
    }

    /// Sends an assignment, such as `READY=1`. A manager that does not read loses it.
    func notify(_ assignment: String) {
        guard let path = socket else { return }
        #if canImport(Glibc)
        let kind = Int32(SOCK_DGRAM.rawValue)
        #else
        let kind = SOCK_DGRAM
        #endif
        let descriptor = Self.open(AF_UNIX, kind)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var name = Array(path.utf8)
        if name.first == UInt8(ascii: "@") { name[0] = 0 }
        let isWritten = withUnsafeMutableBytes(of: &address.sun_path) { room in
            guard name.count < room.count else { return false }
            room.copyBytes(from: name)
            return true
        }
        guard isWritten, let offset = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) else { return }
        let message = Array(assignment.utf8)
        _ = withUnsafePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                sendto(descriptor, message, message.count, Self.flags, address, socklen_t(offset + name.count))
            }
        }
    }

    private static func open(_ family: Int32, _ kind: Int32) -> Int32 {
        #if canImport(Glibc)
        Glibc.socket(family, kind, 0)
        #elseif canImport(Musl)
        Musl.socket(family, kind, 0)
        #else
        Darwin.socket(family, kind, 0)
        #endif
    }

    // Neither waits for a reader nor is ended by its absence.
    #if canImport(Darwin)
    private static let flags = MSG_DONTWAIT
    #else
    private static let flags = Int32(MSG_DONTWAIT | MSG_NOSIGNAL)
    #endif
}
#endif

#if NIOSupport
import Logging

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

extension HTTPServer.Limits {
    /// The number of descriptors that the process needs besides client connections: for connections to the vendor,
    /// files, and whatever else the program has open.
    private static let reserve = 128

    /// Raises the process's limit on open files as far as needed and allowed. If it is still too low, returns limits
    /// with fewer connections.
    func withinDescriptors(_ logger: Logger) -> Self {
        var limits = self
        let allowed = allowedDescriptors(atLeast: connections + Self.reserve)
        let room = max(1, allowed - min(Self.reserve, allowed / 2))
        guard room < connections else { return limits }
        limits.connections = room
        // Keep a share per address, so that a single address cannot use all connections.
        limits.connectionsPerAddress = min(connectionsPerAddress, max(1, room / 4))
        logger.warning(
            "the process may not open as many files as server.connections needs; fewer connections are served",
            metadata: ["files": .stringConvertible(allowed), "connections": .stringConvertible(room)]
        )
        return limits
    }

    private func allowedDescriptors(atLeast wanted: Int) -> Int {
        #if canImport(Glibc)
        let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        #else
        let files = RLIMIT_NOFILE
        #endif
        var limit = rlimit()
        guard getrlimit(files, &limit) == 0 else { return .max }
        let needed = rlim_t(clamping: wanted)
        if limit.rlim_cur < needed {
            var raised = limit
            raised.rlim_cur = min(needed, limit.rlim_max)
            if setrlimit(files, &raised) == 0 { limit = raised }
        }
        return Int(clamping: limit.rlim_cur)
    }
}
#endif

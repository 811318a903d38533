import Foundation
import Synchronization
import TestSupport

/// The socket of a service manager.
final class NotificationSocket: Sendable {
    let path = FileManager.default.temporaryDirectory.appending(path: "notify-\(UUID().uuidString)").path
    private let descriptor: Int32
    private let received = Mutex<[String]>([])

    init() throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let isBound = withUnsafePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
        guard descriptor >= 0, isBound else { throw ToolError(description: "\(path) cannot be bound") }
    }

    deinit {
        close(descriptor)
        unlink(path)
    }

    /// Returns the messages received so far.
    func receive() -> [String] {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            guard count > 0 else { break }
            let message = String(decoding: buffer.prefix(count), as: UTF8.self)
            received.withLock { $0.append(message) }
        }
        return received.withLock { $0 }
    }
}

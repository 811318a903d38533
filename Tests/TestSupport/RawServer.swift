import Foundation
import Synchronization

#if canImport(Glibc)
import Glibc
#endif

/// A TCP server on a free loopback port that does with each connection what a closure says, on a thread of its own. For tests only.
public final class RawServer: Sendable {
    /// Where it listens.
    public let port: Int
    private let listener: Int32
    private let accepts: Bool
    private let open = Mutex<(connections: Set<Int32>, isStopped: Bool)>(([], false))

    /// - Parameter backlog: With 0 and ``fillBacklog()``, no further connection is established.
    public init(backlog: Int32 = 128, serve: @escaping @Sendable (Connection) -> Void) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = loopback(port: 0)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, size) }
        }
        guard listener >= 0, bound == 0, listen(listener, backlog) == 0 else { throw SocketError(errno: errno) }
        withUnsafeMutablePointer(to: &address) { pointer in
            _ = pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(listener, $0, &size) }
        }
        self.listener = listener
        accepts = backlog > 0
        port = Int(UInt16(bigEndian: address.sin_port))
        guard backlog > 0 else { return }
        Thread.detachNewThread { [self] in
            // Closed by nobody else, so that its number cannot become another server's while this thread accepts.
            defer { close(listener) }
            while true {
                let descriptor = accept(listener, nil, nil)
                guard descriptor >= 0 else { return }
                let isStopped = open.withLock { open in
                    open.connections.insert(descriptor)
                    return open.isStopped
                }
                if isStopped { shutdown(descriptor, Int32(SHUT_RDWR)) }
                Thread.detachNewThread { [self] in
                    serve(Connection(descriptor: descriptor))
                    _ = open.withLock { $0.connections.remove(descriptor) }
                    close(descriptor)
                }
            }
        }
    }

    /// Takes up the room for connections that wait to be accepted.
    public func fillBacklog() throws -> [Int32] {
        (0..<4).map { _ in
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
            var address = loopback(port: UInt16(port))
            withUnsafePointer(to: &address) { pointer in
                _ = pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            return descriptor
        }
    }

    /// Ends all connections and listens no more.
    public func stop() {
        open.withLock { open in
            open.isStopped = true
            for descriptor in open.connections { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
        shutdown(listener, Int32(SHUT_RDWR))
        if !accepts { close(listener) }
    }

    /// One accepted connection; blocking calls.
    public struct Connection: Sendable {
        let descriptor: Int32

        /// Reads up to and including the end of a request's head, and as much of the body as `Content-Length` says; `nil` at
        /// the end of the connection.
        public func readRequest() -> String? {
            var received = ""
            while let range = received.firstRange(of: "\r\n\r\n") ?? more(&received) {
                let head = received[..<range.lowerBound].lowercased()
                let length =
                    head.split(separator: "\r\n").first { $0.hasPrefix("content-length:") }
                    .flatMap { Int($0.dropFirst(15).trimmingCharacters(in: .whitespaces)) } ?? 0
                while received[range.upperBound...].utf8.count < length {
                    guard let chunk = read() else { return nil }
                    received += String(decoding: chunk, as: UTF8.self)
                }
                return received
            }
            return nil
        }

        private func more(_ received: inout String) -> Range<String.Index>? {
            while let chunk = read() {
                received += String(decoding: chunk, as: UTF8.self)
                if let range = received.firstRange(of: "\r\n\r\n") { return range }
            }
            return nil
        }

        /// Some bytes; `nil` at the end of the connection.
        public func read() -> [UInt8]? {
            var buffer = [UInt8](repeating: 0, count: 64 << 10)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            return count > 0 ? Array(buffer.prefix(count)) : nil
        }

        /// Sends everything; `false` if the other end is gone.
        @discardableResult
        public func send(_ bytes: [UInt8]) -> Bool {
            var rest = bytes[...]
            while !rest.isEmpty {
                let sent = rest.withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard sent > 0 else { return false }
                rest = rest.dropFirst(sent)
            }
            return true
        }

        /// Sends text.
        @discardableResult
        public func send(_ text: String) -> Bool { send(Array(text.utf8)) }

        /// Lets no packet in any more, as if the network had forgotten the connection: what the other end sends is not even acknowledged.
        public func ignorePackets() {
            // The kernel's struct sock_filter, with the one instruction to accept nothing, and its struct sock_fprog.
            let instruction: [(code: UInt16, jt: UInt8, jf: UInt8, k: UInt32)] = [(0x06, 0, 0, 0)]
            instruction.withUnsafeBytes { instruction in
                var program = (length: UInt16(1), instruction.baseAddress)
                let size = socklen_t(MemoryLayout.size(ofValue: program))
                let failed = setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &program, size)
                precondition(failed == 0, "the packet filter cannot be attached")
            }
        }

        /// Has the connection reset, rather than ended, when it is closed.
        public func reset() {
            var option = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        }

        /// Sends no more, so that the other end reads the end.
        public func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

        /// Waits until the other end closes.
        public func waitForClose() { while read() != nil {} }
    }
}

/// A call to the system that failed.
public struct SocketError: Error {
    /// The system's number for it.
    public var errno: Int32
}

func loopback(port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
}

import Foundation
import Synchronization
import Testing

#if canImport(Glibc)
package import Glibc
#elseif canImport(Musl)
package import Musl
#elseif canImport(Darwin)
package import Darwin
#endif

/// A TCP server on a free loopback port that runs a closure for each connection, on a separate thread.
package final class RawServer: Sendable {
    /// The port that the server listens on.
    package let port: Int
    private let listener: Int32
    private let accepts: Bool
    private let open = Mutex<(connections: Set<Int32>, isStopped: Bool)>(([], false))

    /// Starts a server.
    /// - Parameters:
    ///   - backlog: The size of the listener's backlog. With 0, the server accepts nothing, and after ``fillBacklog()``
    ///     no further connection is established.
    ///   - serve: A closure that serves one connection.
    package init(backlog: Int32 = 128, serve: @escaping @Sendable (Connection) -> Void) throws {
        let listener = streamSocket()
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
            // Only this thread closes the listener, so that its number cannot become another server's while the thread
            // accepts.
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

    /// Fills the backlog with connections that wait to be accepted.
    package func fillBacklog() throws -> [Connection] {
        (0..<4).map { _ in
            let descriptor = streamSocket()
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
            var address = loopback(port: UInt16(port))
            withUnsafePointer(to: &address) { pointer in
                _ = pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            return Connection(descriptor: descriptor)
        }
    }

    /// Closes all connections and stops listening.
    package func stop() {
        open.withLock { open in
            open.isStopped = true
            for descriptor in open.connections { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
        shutdown(listener, Int32(SHUT_RDWR))
        if !accepts { close(listener) }
    }

    /// A connection. All its calls block.
    package struct Connection: Sendable {
        package let descriptor: Int32

        package init(descriptor: Int32) { self.descriptor = descriptor }

        /// Reads a request, with as much of the body as `Content-Length` announces.
        /// - Returns: The head and the body as text, or `nil` at the end of the connection.
        package func readRequest() -> String? {
            readMessage().map { $0.head + String(decoding: $0.body, as: UTF8.self) }
        }

        /// Reads a request, with as much of the body as `Content-Length` announces.
        /// - Returns: The head, up to and including the empty line, and the body; `nil` at the end of the connection.
        package func readMessage() -> (head: String, body: [UInt8])? {
            var received: [UInt8] = []
            let end = Array("\r\n\r\n".utf8)
            while true {
                guard let range = received.firstRange(of: end) else {
                    guard let chunk = read() else { return nil }
                    received += chunk
                    continue
                }
                let head = String(decoding: received[..<range.upperBound], as: UTF8.self)
                let length =
                    head.lowercased().split(separator: "\r\n").first { $0.hasPrefix("content-length:") }
                    .flatMap { Int($0.dropFirst(15).trimmingCharacters(in: .whitespaces)) } ?? 0
                received.removeFirst(range.upperBound)
                while received.count < length {
                    guard let chunk = read() else { return nil }
                    received += chunk
                }
                return (head, received)
            }
        }

        /// Returns the next bytes, or `nil` at the end of the connection.
        package func read() -> [UInt8]? {
            var buffer = [UInt8](repeating: 0, count: 64 << 10)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            return count > 0 ? Array(buffer.prefix(count)) : nil
        }

        /// Sends all bytes.
        /// - Returns: Whether all were sent. `false` if the other end is gone.
        @discardableResult
        package func send(_ bytes: [UInt8]) -> Bool {
            var rest = bytes[...]
            while !rest.isEmpty {
                let sent = rest.withUnsafeBytes { systemSend(descriptor, $0.baseAddress, $0.count) }
                guard sent > 0 else { return false }
                rest = rest.dropFirst(sent)
            }
            return true
        }

        /// Sends text.
        @discardableResult
        package func send(_ text: String) -> Bool { send(Array(text.utf8)) }

        #if os(Linux)
        /// Drops all further incoming packets, as if the network had forgotten the connection. Not even an
        /// acknowledgement reaches the other end.
        package func ignorePackets() {
            // These are the kernel's struct sock_filter, with one instruction that accepts nothing, and struct
            // sock_fprog.
            let instruction: [(code: UInt16, jt: UInt8, jf: UInt8, k: UInt32)] = [(0x06, 0, 0, 0)]
            instruction.withUnsafeBytes { instruction in
                var program = (length: UInt16(1), instruction.baseAddress)
                let size = socklen_t(MemoryLayout.size(ofValue: program))
                let failed = setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &program, size)
                if failed != 0 { Issue.record("the packet filter cannot be attached") }
            }
        }

        #endif

        /// Makes ``close()`` reset the connection instead of ending it.
        package func reset() {
            var option = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        }

        /// Half-closes the connection: sends nothing more, so that the other end reads the end.
        package func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

        /// Closes the descriptor.
        package func close() { closeDescriptor(descriptor) }

        /// Waits until the other end closes.
        package func waitForClose() { while read() != nil {} }
    }
}

/// An error for a failed system call.
package struct SocketError: Error {
    /// The system's error number.
    package var errno: Int32

    package init(errno: Int32) { self.errno = errno }
}

package func loopback(port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
}

private func streamSocket() -> Int32 {
    #if canImport(Darwin)
    socket(AF_INET, SOCK_STREAM, 0)
    #else
    socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    #endif
}

// A method of the same name hides this function.
private func systemSend(_ descriptor: Int32, _ start: UnsafeRawPointer?, _ count: Int) -> Int {
    #if canImport(Darwin)
    send(descriptor, start, count, 0)
    #else
    send(descriptor, start, count, Int32(MSG_NOSIGNAL))
    #endif
}

private func closeDescriptor(_ descriptor: Int32) { _ = close(descriptor) }

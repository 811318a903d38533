import TokenBrokerTesting

#if canImport(Glibc)
import Glibc
#endif

/// A TCP connection to a loopback port. For tests only.
public struct RawClient: Sendable {
    private let connection: RawServer.Connection

    /// Connects to a port.
    /// - Parameter host: The last octet of the client's address in 127.0.0.0/24.
    public init(port: UInt16, from host: UInt8 = 1) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = loopback(port: 0)
        address.sin_addr.s_addr = (UInt32(0x7f00_0000) | UInt32(host)).bigEndian
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard bound == 0 else { throw SocketError(errno: errno) }
        address = loopback(port: port)
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard descriptor >= 0, connected == 0 else { throw SocketError(errno: errno) }
        connection = RawServer.Connection(descriptor: descriptor)
    }

    /// Sends all bytes. Returns `false` if the peer is gone.
    @discardableResult
    public func send(_ bytes: [UInt8]) -> Bool { connection.send(bytes) }

    /// Sends text. Returns `false` if the peer is gone.
    @discardableResult
    public func send(_ text: String) -> Bool { connection.send(text) }

    /// Reads some bytes. Returns `nil` at the end of the connection.
    public func read() -> [UInt8]? { connection.read() }

    /// Half-closes the connection, so that the peer reads its end.
    public func finish() { shutdown(connection.descriptor, Int32(SHUT_WR)) }

    /// Closes the connection.
    public func close() { Glibc.close(connection.descriptor) }
}

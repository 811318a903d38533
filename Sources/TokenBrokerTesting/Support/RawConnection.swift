import Dispatch
import HTTPTypes
import Synchronization
import TokenBroker

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A TCP connection to a loopback port that sends exactly the bytes it is given and reads HTTP/1.1 responses.
///
/// System calls block, so each connection has two queues of its own for them, one for each direction. No call waits
/// longer than ``timeout``, unless it is given another limit.
final class RawConnection: Sendable {
    /// How long a call waits for the other end by default.
    static let timeout = Duration.seconds(20)

    private let descriptor: Mutex<Int32>
    private let sending = DispatchQueue(label: "RawConnection.sending")
    private let receiving = DispatchQueue(label: "RawConnection.receiving")
    /// Received bytes that are not yet part of a response.
    let received = Mutex(Received())

    struct Received {
        var bytes: [UInt8] = []
        var start = 0
        var rest: ArraySlice<UInt8> { bytes[start...] }

        mutating func append(_ more: [UInt8]) {
            bytes.removeFirst(start)
            start = 0
            bytes += more
        }

        mutating func take(_ count: Int) -> [UInt8] {
            defer { start += count }
            return Array(bytes[start..<start + count])
        }
    }

    /// A failed call.
    enum Failure: Error, CustomStringConvertible {
        /// A system call, by its name, and its `errno`.
        case system(String, Int32)
        /// Neither a byte nor the end of the connection arrived in this time.
        case silence(Duration)

        var description: String {
            switch self {
            case .system(let call, let number): "\(call): \(String(cString: strerror(number)))"
            case .silence(let time): "neither a byte nor the end of the connection within \(time)"
            }
        }
    }

    /// Returns whether an error means that the connection was refused, since nothing listens at the port.
    static func isRefusal(_ error: any Error) -> Bool {
        if case Failure.system("connect", ECONNREFUSED) = error { true } else { false }
    }

    /// An error that the connection ended before a complete response, or that the received bytes are not a response.
    struct NoAnswer: Error, CustomStringConvertible {
        var received: [UInt8]
        /// Whether the connection ended before the first byte.
        var isEnd: Bool { received.isEmpty }
        var description: String {
            received.isEmpty
                ? "the connection was closed without an answer"
                : "no answer, but \(received.count) bytes: \(String(decoding: received.prefix(200), as: UTF8.self))"
        }
    }

    /// Connects to `127.0.0.1`.
    /// - Parameters:
    ///   - port: The port to connect to.
    ///   - source: The last byte of the client's own address, to tell it from other clients; Linux only.
    ///   - bufferSize: The size of the kernel's buffer for each direction. With a small one, the server soon notices a
    ///     client that does not read.
    static func connect(port: Int, source: UInt8? = nil, bufferSize: Int? = nil) async throws -> RawConnection {
        let connection = try RawConnection(source: source, bufferSize: bufferSize)
        // The call blocks if the listener has stopped accepting.
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            connection.sending.async { [current = connection.current] in
                let isConnected = withAddress(1, port) { systemConnect(current, $0, $1) } == 0
                continuation.resume(with: isConnected ? .success(()) : .failure(Failure.system("connect", errno)))
            }
        }
        return connection
    }

    private init(source: UInt8?, bufferSize: Int?) throws {
        #if canImport(Darwin)
        let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #else
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #endif
        guard descriptor >= 0 else { throw Failure.system("socket", errno) }
        self.descriptor = Mutex(descriptor)
        var limit = timeval(tv_sec: Int(Self.timeout.components.seconds), tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        if var size = bufferSize.map(Int32.init) {
            for option in [SO_SNDBUF, SO_RCVBUF] {
                setsockopt(descriptor, SOL_SOCKET, option, &size, socklen_t(MemoryLayout<Int32>.size))
            }
        }
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        #if canImport(Darwin)
        setsockopt(descriptor, SOL_SOCKET, SO_NOSIGPIPE, &on, socklen_t(MemoryLayout<Int32>.size))
        #endif
        if let source {
            guard withAddress(source, 0, { bind(descriptor, $0, $1) }) == 0 else {
                throw Failure.system("bind", errno)
            }
        }
    }

    deinit { closeDescriptor() }

    private func closeDescriptor() {
        descriptor.withLock { descriptor in
            if descriptor >= 0 { _ = systemClose(descriptor) }
            descriptor = -1
        }
    }

    private var current: Int32 { descriptor.withLock { $0 } }

    // MARK: Closing

    /// Closes both directions, as when a page is closed.
    func close() { shutdown(current, Int32(SHUT_RDWR)) }

    /// Half-closes the connection: sends nothing more, but still reads.
    func closeSending() { shutdown(current, Int32(SHUT_WR)) }

    /// Resets the connection. Must not be called while another call waits.
    func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(current, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        closeDescriptor()
    }

    /// Returns whether the other end closes or resets the connection without sending another byte.
    func isClosedByPeer(within time: Duration = timeout) async -> Bool {
        guard received.withLock({ $0.rest.isEmpty }) else { return false }
        return await (try? receive(within: time))?.isEmpty ?? false
    }

    /// Returns the bytes that arrive before the other end closes or resets the connection, except those already read as
    /// responses.
    /// - Returns: The bytes, or `nil` if the connection does not end within `time` or before `limit` bytes.
    func rest(within time: Duration = timeout, limit: Int = 1 << 20) async -> [UInt8]? {
        let clock = ContinuousClock()
        let deadline = clock.now + time
        while received.withLock({ $0.rest.count }) < limit {
            guard let bytes = try? await receive(within: deadline - clock.now) else { return nil }
            if bytes.isEmpty { return received.withLock { $0.take($0.rest.count) } }
            received.withLock { $0.append(bytes) }
        }
        return nil
    }

    // MARK: Sending

    /// Sends all bytes.
    /// - Returns: Whether all were sent. `false` if the other end is gone or does not take them.
    @discardableResult
    func send(_ bytes: [UInt8]) async -> Bool {
        await offer(bytes, upTo: bytes.count, until: Self.timeout) == bytes.count
    }

    /// Sends text.
    @discardableResult
    func send(_ text: String) async -> Bool { await send(Array(text.utf8)) }

    /// Sends bytes repeatedly. Ends early if the other end is gone.
    /// - Parameters:
    ///   - bytes: The bytes to repeat.
    ///   - limit: The number of bytes to offer in all.
    ///   - quiet: How long the kernel may take nothing before the method gives up.
    /// - Returns: The number of bytes that the kernel took. The server may not have read them.
    @discardableResult
    func offer(_ bytes: [UInt8], upTo limit: Int, until quiet: Duration) async -> Int {
        await withCheckedContinuation { continuation in
            sending.async { [current] in
                var count = 0
                while count < limit {
                    let position = count % bytes.count
                    let size = min(bytes.count - position, limit - count)
                    let sent = bytes[position..<position + size].withUnsafeBytes {
                        systemSend(current, $0.baseAddress, $0.count)
                    }
                    if sent > 0 {
                        count += sent
                    } else if errno != EAGAIN || !isReady(current, Int16(POLLOUT), within: quiet) {
                        break
                    }
                }
                continuation.resume(returning: count)
            }
        }
    }

    // MARK: Receiving

    /// Returns the next bytes, or an empty array if the connection was closed or reset.
    func receive(within time: Duration = timeout) async throws -> [UInt8] {
        try await withCheckedThrowingContinuation { continuation in
            receiving.async { [current] in
                guard isReady(current, Int16(POLLIN), within: time) else {
                    return continuation.resume(throwing: Failure.silence(time))
                }
                var buffer = [UInt8](repeating: 0, count: 64 << 10)
                let count = recv(current, &buffer, buffer.count, 0)
                guard count >= 0 || errno == ECONNRESET || errno == EPIPE else {
                    return continuation.resume(throwing: Failure.system("recv", errno))
                }
                continuation.resume(returning: Array(buffer.prefix(max(0, count))))
            }
        }
    }
}

/// Calls `body` with `127.0.0.host`.
private func withAddress(_ host: UInt8, _ port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = (UInt32(0x7f00_0000) + UInt32(host)).bigEndian
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
}

/// Waits until a call would not block, because it can proceed or because the other end is gone.
private func isReady(_ descriptor: Int32, _ events: Int16, within time: Duration) -> Bool {
    var entry = pollfd(fd: descriptor, events: events, revents: 0)
    return poll(&entry, 1, Int32(max(0, time / .milliseconds(1)))) > 0
}

// Methods of the same names hide these functions.
private func systemClose(_ descriptor: Int32) -> Int32 { close(descriptor) }
private func systemConnect(_ descriptor: Int32, _ address: UnsafePointer<sockaddr>, _ size: socklen_t) -> Int32 {
    connect(descriptor, address, size)
}
private func systemSend(_ descriptor: Int32, _ start: UnsafeRawPointer?, _ count: Int) -> Int {
    #if canImport(Darwin)
    send(descriptor, start, count, Int32(MSG_DONTWAIT))
    #else
    send(descriptor, start, count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
    #endif
}

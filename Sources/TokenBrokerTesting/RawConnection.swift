import Dispatch
import HTTPTypes
import TokenBroker

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A TCP connection to a loopback port that sends exactly what it is told and reads HTTP/1.1 answers.
///
/// Calls to the system block, so each connection has a queue of its own for them. None waits longer than ``patience``.
final class RawConnection: Sendable {
    private let descriptor: Int32
    private let queue = DispatchQueue(label: "RawConnection")
    private static let patience = 20

    /// A call that failed, and the system's number for why.
    struct Failure: Error {
        var call: String
        var number: Int32
    }

    /// The connection ended within an answer, or what came was none.
    struct NoAnswer: Error, CustomStringConvertible {
        var received: [UInt8]
        var description: String {
            "no answer, but \(received.count) bytes: \(String(decoding: received.prefix(200), as: UTF8.self))"
        }
    }

    /// Connects to `127.0.0.1`.
    init(port: Int) throws {
        #if canImport(Darwin)
        descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #else
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #endif
        guard descriptor >= 0 else { throw Failure(call: "socket", number: errno) }
        var limit = timeval(tv_sec: Self.patience, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        #if canImport(Darwin)
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_NOSIGPIPE, &on, socklen_t(MemoryLayout<Int32>.size))
        #endif
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if result != 0 {
            let number = errno
            _ = systemClose(descriptor)
            throw Failure(call: "connect", number: number)
        }
    }

    deinit { _ = systemClose(descriptor) }

    /// Ends both directions, as when a page is closed.
    func close() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Sends everything.
    /// - Returns: Whether it could; not if the other end is gone, or does not take it.
    @discardableResult
    func send(_ bytes: [UInt8]) async -> Bool {
        await withCheckedContinuation { continuation in
            queue.async { [descriptor] in
                var rest = bytes[...]
                while !rest.isEmpty {
                    #if canImport(Darwin)
                    let flags: Int32 = 0
                    #else
                    let flags = Int32(MSG_NOSIGNAL)
                    #endif
                    let count = rest.withUnsafeBytes { systemSend(descriptor, $0.baseAddress, $0.count, flags) }
                    guard count > 0 else { return continuation.resume(returning: false) }
                    rest = rest.dropFirst(count)
                }
                continuation.resume(returning: true)
            }
        }
    }

    /// Sends text.
    @discardableResult
    func send(_ text: String) async -> Bool { await send(Array(text.utf8)) }

    /// Some bytes; empty at the end of the connection.
    /// - Throws: ``Failure`` if nothing comes, or the connection was reset.
    private func receive() async throws -> [UInt8] {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { [descriptor] in
                var buffer = [UInt8](repeating: 0, count: 64 << 10)
                let count = recv(descriptor, &buffer, buffer.count, 0)
                guard count >= 0 else { return continuation.resume(throwing: Failure(call: "recv", number: errno)) }
                continuation.resume(returning: Array(buffer.prefix(count)))
            }
        }
    }

    /// Whether the other end closes or resets the connection without another byte.
    func isClosedByPeer() async -> Bool {
        do {
            return try await receive().isEmpty
        } catch let failure as Failure {
            return failure.number == ECONNRESET
        } catch {
            return false
        }
    }

    /// The next answer.
    /// - Parameters:
    ///   - isToHead: Whether it answers a HEAD request, and has no body whatever its length.
    ///   - received: What was read beyond the answers before, and then beyond this one.
    func answer(isToHead: Bool = false, received: inout [UInt8]) async throws -> TransportResponse {
        let head = try await upTo("\r\n\r\n", &received)
        var lines = head.split(separator: "\r\n")
        guard !lines.isEmpty, case let status = lines.removeFirst().split(separator: " ", maxSplits: 2),
            status.count >= 2, status[0].hasPrefix("HTTP/1."), let code = Int(status[1]), (100...999).contains(code)
        else { throw NoAnswer(received: Array(head.utf8)) }
        var response = HTTPResponse(status: .init(code: code))
        for line in lines {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, let name = HTTPField.Name(String(parts[0])) else {
                throw NoAnswer(received: Array(line.utf8))
            }
            response.headerFields.append(HTTPField(name: name, value: String(parts[1].trimmingWhiteSpace)))
        }
        var body: [UInt8] = []
        if isToHead || code < 200 || code == 204 || code == 304 {
            // None.
        } else if response.headerFields[.transferEncoding]?.lowercased() == "chunked" {
            while let size = Int(try await upTo("\r\n", &received), radix: 16), size > 0 {
                body += try await exactly(size, &received)
                _ = try await upTo("\r\n", &received)
            }
            while try await !upTo("\r\n", &received).isEmpty {}
        } else if let length = response.headerFields[.contentLength] {
            guard let length = Int(length), length >= 0 else { throw NoAnswer(received: Array(head.utf8)) }
            body = try await exactly(length, &received)
        } else {
            while case let more = try await receive(), !more.isEmpty { received += more }
            (body, received) = (received, [])
        }
        return TransportResponse(head: response, body: body)
    }

    /// One request and its answer.
    func exchange(_ request: String, isToHead: Bool = false) async throws -> TransportResponse {
        await send(request)
        var received: [UInt8] = []
        return try await answer(isToHead: isToHead, received: &received)
    }

    private func upTo(_ end: String, _ received: inout [UInt8]) async throws -> String {
        while true {
            if let range = received.firstRange(of: end.utf8) {
                defer { received.removeSubrange(..<range.upperBound) }
                return String(decoding: received[..<range.lowerBound], as: UTF8.self)
            }
            try await more(&received)
        }
    }

    private func exactly(_ count: Int, _ received: inout [UInt8]) async throws -> [UInt8] {
        while received.count < count { try await more(&received) }
        defer { received.removeFirst(count) }
        return Array(received.prefix(count))
    }

    private func more(_ received: inout [UInt8]) async throws {
        let bytes = try await receive()
        guard !bytes.isEmpty else { throw NoAnswer(received: received) }
        received += bytes
    }
}

// A method of the same name hides them.
private func systemClose(_ descriptor: Int32) -> Int32 { close(descriptor) }
private func systemSend(_ descriptor: Int32, _ start: UnsafeRawPointer?, _ count: Int, _ flags: Int32) -> Int {
    send(descriptor, start, count, flags)
}

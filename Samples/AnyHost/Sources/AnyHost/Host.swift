import Foundation
import HTTPTypes

/// A minimal HTTP server that takes the place of your host. It uses swift-http-types and serves one request per
/// connection.
struct Host {
    typealias Handler = @Sendable (HTTPRequest, Body, _ peer: String) async -> (head: HTTPResponse, body: [UInt8])

    private let listener: Int32
    let port: Int

    init(port: UInt16) throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        let isListening = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, size) == 0 && listen(listener, 128) == 0
                    && getsockname(listener, address, &size) == 0
            }
        }
        guard listener >= 0, isListening else { throw POSIXError(.init(rawValue: errno) ?? .EIO) }
        self.port = Int(UInt16(bigEndian: address.sin_port))
    }

    /// Serves requests until the process exits. Its reads and writes block, unlike those of a real host.
    func run(_ handler: @escaping Handler) {
        Thread.detachNewThread { [listener] in
            while true {
                let connection = Connection(descriptor: accept(listener, nil, nil))
                guard connection.descriptor >= 0 else { continue }
                Task {
                    await connection.serve(handler)
                    close(connection.descriptor)
                }
            }
        }
    }

    /// A request's body as a sequence of chunks.
    struct Body: AsyncSequence, Sendable {
        fileprivate let connection: Connection
        let length: Int

        func makeAsyncIterator() -> Iterator { Iterator(connection: connection, left: length) }

        struct Iterator: AsyncIteratorProtocol {
            fileprivate let connection: Connection
            var left: Int

            mutating func next() async throws -> [UInt8]? {
                guard left > 0 else { return nil }
                let chunk = connection.read(atMost: Swift.min(left, 4096))
                guard !chunk.isEmpty else { throw POSIXError(.ECONNRESET) }
                left -= chunk.count
                return chunk
            }
        }
    }
}

private struct Connection: Sendable {
    let descriptor: Int32

    func serve(_ handler: Host.Handler) async {
        guard let start = line()?.split(separator: " "), start.count == 3,
            let method = HTTPRequest.Method(String(start[0]))
        else { return }
        var head = HTTPRequest(method: method, scheme: "http", authority: nil, path: String(start[1]))
        while let line = line(), !line.isEmpty {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, let name = HTTPField.Name(String(parts[0])) else { return }
            let value = parts[1].trimmingCharacters(in: .whitespaces)
            if name.canonicalName == "host" {
                head.authority = value
            } else {
                head.headerFields.append(HTTPField(name: name, value: value))
            }
        }
        let length = head.headerFields[.contentLength].flatMap { Int($0) } ?? 0
        let answer = await handler(head, Host.Body(connection: self, length: length), "127.0.0.1")
        var text = "HTTP/1.1 \(answer.head.status.code) \(answer.head.status.reasonPhrase)\r\nConnection: close\r\n"
        for field in answer.head.headerFields { text += "\(field.name.rawName): \(field.value)\r\n" }
        write(Array("\(text)\r\n".utf8) + answer.body)
    }

    private func line() -> String? {
        var bytes: [UInt8] = []
        while bytes.count < 8192, let byte = read(atMost: 1).first {
            if byte == 10 { return String(decoding: bytes.last == 13 ? bytes.dropLast() : bytes, as: UTF8.self) }
            bytes.append(byte)
        }
        return nil
    }

    func read(atMost count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let found = recv(descriptor, &bytes, count, 0)
        return Array(bytes.prefix(max(0, found)))
    }

    private func write(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty, case let count = rest.withUnsafeBytes({ send(descriptor, $0.baseAddress, $0.count, 0) }),
            count > 0
        {
            rest = rest.dropFirst(count)
        }
    }
}

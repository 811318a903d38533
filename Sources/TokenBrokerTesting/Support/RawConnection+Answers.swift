import HTTPTypes
import Synchronization
import TokenBroker

/// Parsing of HTTP/1.1 responses.
extension RawConnection {
    /// Returns the next response.
    /// - Parameters:
    ///   - isToHead: Whether it is the response to a HEAD request, which has no body whatever its length says.
    ///   - time: How long the server may be silent.
    func answer(isToHead: Bool = false, within time: Duration = timeout) async throws -> TransportResponse {
        let head = try await upTo("\r\n\r\n", time)
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
            // There is no body.
        } else if response.headerFields[.transferEncoding]?.lowercased() == "chunked" {
            while let size = Int(try await upTo("\r\n", time), radix: 16), size > 0 {
                body += try await exactly(size, time)
                _ = try await upTo("\r\n", time)
            }
            while try await !upTo("\r\n", time).isEmpty {}
        } else if let length = response.headerFields[.contentLength] {
            guard let length = Int(length), length >= 0 else { throw NoAnswer(received: Array(head.utf8)) }
            body = try await exactly(length, time)
        } else {
            guard let rest = await rest(within: time) else { throw Failure.silence(time) }
            body = rest
        }
        return TransportResponse(head: response, body: body)
    }

    /// Sends a request and returns its response.
    func exchange(_ request: String, isToHead: Bool = false) async throws -> TransportResponse {
        await send(request)
        return try await answer(isToHead: isToHead)
    }

    private func upTo(_ end: String, _ time: Duration) async throws -> String {
        let end = Array(end.utf8)
        while true {
            let text: String? = received.withLock { received in
                guard let range = received.rest.firstRange(of: end) else { return nil }
                let text = received.take(range.lowerBound - received.start)
                received.start = range.upperBound
                return String(decoding: text, as: UTF8.self)
            }
            if let text { return text }
            try await more(time)
        }
    }

    private func exactly(_ count: Int, _ time: Duration) async throws -> [UInt8] {
        while received.withLock({ $0.rest.count }) < count { try await more(time) }
        return received.withLock { $0.take(count) }
    }

    private func more(_ time: Duration) async throws {
        let bytes = try await receive(within: time)
        guard !bytes.isEmpty else { throw NoAnswer(received: received.withLock { Array($0.rest) }) }
        received.withLock { $0.append(bytes) }
    }
}

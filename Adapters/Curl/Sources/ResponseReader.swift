#if CurlSupport
import HTTPTypes
import TokenBroker

/// Assembles a response from what libcurl delivers: one line of the head at a time, then chunks of the body.
struct ResponseReader {
    /// The limits on header fields. The bytes of informational responses and trailers count too.
    private static let maximumFieldBytes = 256 << 10, maximumFields = 1000

    private let method: HTTPRequest.Method
    private let maximumBytes: Int
    private var status = 0
    private var fields = HTTPFields()
    /// Set at the end of the final head.
    private var collector: ResponseCollector?
    private var fieldBytes = 0
    private var expects = Part.statusLine
    /// Why the reader ended the transfer. libcurl itself only reports that a callback did.
    private(set) var refusal: TransportError?
    /// Whether no part of a response has arrived.
    var isEmpty: Bool { fieldBytes == 0 }

    private enum Part { case statusLine, field, bodyOrTrailer }

    init(method: HTTPRequest.Method, maximumBytes: Int) {
        self.method = method
        self.maximumBytes = maximumBytes
    }

    /// Reads a line of the head.
    ///
    /// - Parameter line: The line, including its line break.
    /// - Returns: Whether to continue the transfer.
    mutating func readLine(_ line: UnsafeRawBufferPointer, _ names: FieldNames) -> Bool {
        fieldBytes += line.count
        guard fieldBytes <= Self.maximumFieldBytes else { return refuse(.tooLarge, "the header section is too large") }
        switch expects {
        case .statusLine: return readStatusLine(line)
        case .field: return isBreak(line) ? endHead() : readField(line, names)
        // Trailers are not header fields.
        case .bodyOrTrailer: return true
        }
    }

    /// Reads a chunk of the body.
    ///
    /// - Returns: Whether to continue the transfer.
    mutating func readBody(_ bytes: UnsafeRawBufferPointer) -> Bool {
        do throws(TransportError) {
            try collector?.append(bytes.bytes)
            return true
        } catch {
            return refuse(error)
        }
    }

    /// Returns the response, once libcurl has reported success.
    func response(elapsed: Duration) -> Result<TransportResponse, TransportError> {
        guard let collector else {
            return .failure(TransportError(.malformed, message: "the response head is incomplete"))
        }
        do throws(TransportError) {
            return .success(try collector.response(elapsed: elapsed))
        } catch {
            return .failure(error)
        }
    }

    private mutating func refuse(_ code: TransportError.Code, _ message: String) -> Bool {
        refuse(TransportError(code, message: message))
    }

    private mutating func refuse(_ error: TransportError) -> Bool {
        refusal = error
        return false
    }

    private func isBreak(_ line: UnsafeRawBufferPointer) -> Bool {
        line.first == UInt8(ascii: "\n") || line.count == 2 && line.first == UInt8(ascii: "\r")
    }

    /// Reads a status line, such as `HTTP/1.1 200 OK` or `HTTP/2 200`.
    private mutating func readStatusLine(_ line: UnsafeRawBufferPointer) -> Bool {
        let code = line.drop { $0 != UInt8(ascii: " ") }.dropFirst().prefix(4)
        status = code.prefix(3).reduce(0) { $0 * 10 + Int($1 &- UInt8(ascii: "0")) }
        let isNumber = code.prefix(3).allSatisfy { 0x30...0x39 ~= $0 } && code.dropFirst(3).allSatisfy { $0 <= 0x20 }
        guard line.starts(with: "HTTP/".utf8), isNumber, code.count >= 3, status >= 100 else {
            return refuse(.malformed, "the status line is malformed")
        }
        expects = .field
        return true
    }

    private mutating func readField(_ line: UnsafeRawBufferPointer, _ names: FieldNames) -> Bool {
        func isSpace(_ byte: UInt8) -> Bool { byte <= 0x20 }
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")),
            let name = names.name(UnsafeRawBufferPointer(rebasing: line[..<colon]))
        else { return true }
        guard fields.count < Self.maximumFields else { return refuse(.tooLarge, "there are too many header fields") }
        let untrimmed = line[(colon + 1)...].drop(while: isSpace)
        let end = untrimmed.lastIndex { !isSpace($0) }.map { $0 + 1 } ?? untrimmed.startIndex
        let value = UnsafeRawBufferPointer(rebasing: untrimmed[..<end])
        fields.append(HTTPField(name: name, lenientValue: value))
        return true
    }

    private mutating func endHead() -> Bool {
        if status < 200 {
            // An informational response. Another head follows.
            (expects, fields) = (.statusLine, HTTPFields())
            return true
        }
        expects = .bodyOrTrailer
        do throws(TransportError) {
            let head = HTTPResponse(status: .init(code: status), headerFields: fields)
            collector = try ResponseCollector(head, for: method, maximumBytes: maximumBytes)
            fields = HTTPFields()
            return true
        } catch {
            return refuse(error)
        }
    }
}

/// A cache of header field names, so that the next response need not create them again. Owner thread only.
final class FieldNames {
    private var slots = [HTTPField.Name?](repeating: nil, count: 256)

    /// Returns the name for its bytes, or `nil` if they are not a valid field name.
    func name(_ bytes: UnsafeRawBufferPointer) -> HTTPField.Name? {
        var hash: UInt32 = 0x811c_9dc5
        for byte in bytes { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
        let slot = Int(hash % UInt32(slots.count))
        if let name = slots[slot], name.rawName.utf8.count == bytes.count, name.rawName.utf8.elementsEqual(bytes) {
            return name
        }
        guard let name = HTTPField.Name(String(decoding: bytes, as: UTF8.self)) else { return nil }
        slots[slot] = name
        return name
    }
}
#endif

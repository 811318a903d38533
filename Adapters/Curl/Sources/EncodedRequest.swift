#if CurlSupport
import CLibcurl
import HTTPTypes
import TokenBroker

/// A request in the form that libcurl reads: the URL, the list of header lines and the body, in one block of memory.
///
/// The memory holds credentials, so it is overwritten with zeros when the request is released.
struct EncodedRequest: ~Copyable {
    let method: HTTPRequest.Method
    let usesTLS: Bool
    /// Whether the host is this machine, which a proxy could not reach.
    let isLocal: Bool
    let bodyCount: Int
    private let memory: UnsafeMutableRawBufferPointer
    private let addressOffset: Int
    private let bodyOffset: Int

    /// Validates and encodes a request before libcurl sees any of it.
    init(_ request: HTTPRequest, body: [UInt8]) throws(TransportError) {
        let target = try OutboundTarget(request)
        (usesTLS, isLocal) = (target.usesTLS, target.isLoopback)
        method = request.method

        // A line without a value removes a field that libcurl would add on its own.
        var (hasAccept, hasContentType, hasAcceptEncoding, lines, size) = (false, false, false, 4, 0)
        for field in request.headerFields where Self.isSent(field) {
            hasAccept = hasAccept || field.name == .accept
            hasContentType = hasContentType || field.name == .contentType
            hasAcceptEncoding = hasAcceptEncoding || field.name == .acceptEncoding
            lines += 1
            size += field.name.rawName.utf8.count + field.withUnsafeBytesOfValue(\.count) + 3
        }
        let scheme: StaticString = usesTLS ? "https://" : "http://"
        let listSize = lines * MemoryLayout<curl_slist>.stride
        let addressSize = scheme.utf8CodeUnitCount + target.authority.utf8.count + target.path.utf8.count + 1
        bodyCount = body.count
        memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: listSize + addressSize + Self.defaults.utf8CodeUnitCount + size + body.count + 1,
            alignment: MemoryLayout<curl_slist>.alignment
        )

        var writer = Writer(memory: memory, position: listSize, listEnd: 0)
        addressOffset = writer.position
        writer.append(scheme)
        writer.append(target.authority)
        writer.append(target.path)
        writer.append(0)
        writer.beginLine()
        writer.append("Expect:\0")
        if !hasAccept {
            writer.beginLine()
            writer.append("Accept:\0")
        }
        if !hasContentType {
            writer.beginLine()
            writer.append("Content-Type:\0")
        }
        if !hasAcceptEncoding {
            writer.beginLine()
            writer.append(Self.defaultAcceptEncoding)
        }
        for field in request.headerFields where Self.isSent(field) {
            writer.beginLine()
            writer.append(field.name.rawName)
            field.withUnsafeBytesOfValue { value in
                if value.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }) {
                    // A colon with an empty value would remove the field. libcurl sends an empty field for a semicolon.
                    writer.append(UInt8(ascii: ";"))
                } else {
                    writer.append(UInt8(ascii: ":"))
                    writer.append(UInt8(ascii: " "))
                    writer.append(UnsafeRawBufferPointer(value))
                }
            }
            writer.append(0)
        }
        bodyOffset = writer.position
        body.withUnsafeBytes { writer.append($0) }
    }

    deinit {
        wipe(memory)
        memory.deallocate()
    }

    /// All lines that may be added to the request's own.
    private static let defaults: StaticString = "Expect:\0Accept:\0Content-Type:\0Accept-Encoding: identity\0"
    /// With compression, the length of a response could reveal a token that appears beside text chosen by a caller. At
    /// this size, compression would save nothing.
    private static let defaultAcceptEncoding: StaticString = "Accept-Encoding: identity\0"

    /// Whether a field is passed on. libcurl derives the length and framing from the body, and the host from the
    /// authority.
    private static func isSent(_ field: HTTPField) -> Bool {
        field.name != .contentLength && field.name != .transferEncoding && field.name.canonicalName != "host"
    }

    /// The URL, terminated by a zero byte. Valid while the request exists.
    var address: UnsafePointer<CChar>? { pointer(at: addressOffset)?.assumingMemoryBound(to: CChar.self) }
    /// The list of header lines. Valid while the request exists.
    var fieldLines: UnsafeRawPointer? { pointer(at: 0) }
    /// The body. Valid while the request exists, and never `nil`, even if the body is empty.
    var body: UnsafeRawPointer? { pointer(at: bodyOffset) }

    private func pointer(at offset: Int) -> UnsafeRawPointer? {
        memory.baseAddress.map { UnsafeRawPointer($0 + offset) }
    }

    /// Fills the memory: the list of lines at the start, and the bytes from `position` on. The sizes measured
    /// beforehand bound both parts.
    private struct Writer {
        let memory: UnsafeMutableRawBufferPointer
        var position: Int
        /// The offset after the last element of the list.
        var listEnd: Int

        mutating func append(_ byte: UInt8) {
            memory[position] = byte
            position += 1
        }

        mutating func append(_ bytes: UnsafeRawBufferPointer) {
            UnsafeMutableRawBufferPointer(rebasing: memory[position...]).copyMemory(from: bytes)
            position += bytes.count
        }

        mutating func append(_ text: StaticString) {
            append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
        }

        mutating func append(_ text: String) {
            var text = text
            text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
        }

        /// Adds an element to the list. Its text is what is appended next.
        mutating func beginLine() {
            guard let start = memory.baseAddress else { return }
            let stride = MemoryLayout<curl_slist>.stride
            let text = (start + position).assumingMemoryBound(to: CChar.self)
            (start + listEnd).initializeMemory(as: curl_slist.self, to: curl_slist(data: text, next: nil))
            if listEnd > 0 {
                let previous = (start + listEnd - stride).assumingMemoryBound(to: curl_slist.self)
                previous.pointee.next = (start + listEnd).assumingMemoryBound(to: curl_slist.self)
            }
            listEnd += stride
        }
    }
}
#endif

#if CurlSupport
import CLibcurl
import HTTPTypes
import TokenBroker

/// A request as libcurl reads it: the address, the list of header lines and the body, in one piece of memory. It holds credentials, so it
/// is overwritten with zeros when it is released.
struct EncodedRequest: ~Copyable {
    let method: HTTPRequest.Method
    let usesTLS: Bool
    /// Whether the host is this machine, which no proxy could reach.
    let isLocal: Bool
    let bodyCount: Int
    private let memory: UnsafeMutableRawBufferPointer
    private let addressOffset: Int
    private let bodyOffset: Int

    /// Checks the request before libcurl sees any of it.
    init(_ request: HTTPRequest, body: [UInt8]) throws(TransportError) {
        let target = try OutboundTarget(request)
        (usesTLS, isLocal) = (target.usesTLS, target.isLoopback)
        method = request.method

        // What libcurl would add on its own is taken out with a line without a value.
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
                    // With a colon, an empty value would take the field out.
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

    /// All the lines there may be beside the request's own.
    private static let defaults: StaticString = "Expect:\0Accept:\0Content-Type:\0Accept-Encoding: identity\0"
    /// Compression would let a compressed length tell of a token that stands beside a caller's text, and saves nothing at this size.
    private static let defaultAcceptEncoding: StaticString = "Accept-Encoding: identity\0"

    /// The length and the framing follow from the body, the host from the authority.
    private static func isSent(_ field: HTTPField) -> Bool {
        field.name != .contentLength && field.name != .transferEncoding && field.name.canonicalName != "host"
    }

    /// Valid for as long as the request is.
    var address: UnsafePointer<CChar>? { pointer(at: addressOffset)?.assumingMemoryBound(to: CChar.self) }
    /// Valid for as long as the request is.
    var fieldLines: UnsafeRawPointer? { pointer(at: 0) }
    /// Valid for as long as the request is; never `nil`, also without a body.
    var body: UnsafeRawPointer? { pointer(at: bodyOffset) }

    private func pointer(at offset: Int) -> UnsafeRawPointer? {
        memory.baseAddress.map { UnsafeRawPointer($0 + offset) }
    }

    /// Fills the memory from its list of lines and from its bytes on, each within its part: what is measured is what is written.
    private struct Writer {
        let memory: UnsafeMutableRawBufferPointer
        var position: Int
        /// After the last element of the list.
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

        /// Adds an element to the list whose text is what is appended next.
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

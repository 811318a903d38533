public import HTTPTypes

/// Puts a response together while it arrives, for an ``HTTPTransport``: keeps the ceiling on the body's size, and undoes its content codings.
///
/// ```swift
/// var collector = try ResponseCollector(head, for: request.method, maximumBytes: options.maximumResponseBytes)
/// for try await piece in connection.body { try collector.append(piece.span.bytes) }
/// return try collector.response()
/// ```
///
/// It decodes `gzip`, `x-gzip` and `deflate`, in any letter case and several one upon the other. The ceiling counts decoded bytes, and
/// they are counted as they are decoded, so a small answer that decodes to a huge one takes no memory. A decoded response's head has
/// neither `Content-Encoding` nor `Content-Length`, since both describe what was sent.
public struct ResponseCollector: Sendable {
    private static let maximumCodings = 5

    private var head: HTTPResponse
    /// The body, unless it is coded.
    private var body: [UInt8] = []
    /// The codings in the order in which they are undone; the last one's output is the body.
    private var codings: [Inflater] = []
    private let maximumBytes: Int
    /// The most that may be received: what is coded may be a little larger than what it decodes to.
    private let maximumReceivedBytes: Int
    private var receivedBytes = 0

    /// - Parameters:
    ///   - head: The final head, not an informational one.
    ///   - method: The request's.
    ///   - maximumBytes: The ceiling on the body's size, decoded.
    /// - Throws: ``TransportError`` with the code ``TransportError/Code/tooLarge`` for a body that is announced to be larger, or
    ///   ``TransportError/Code/malformed`` for an unknown content coding.
    public init(
        _ head: HTTPResponse, for method: HTTPRequest.Method, maximumBytes: Int
    ) throws(TransportError) {
        self.head = head
        let ceiling = max(0, maximumBytes)
        self.maximumBytes = ceiling
        // The fields of a response without a body describe one that another request would get.
        guard method != .head, head.status != .noContent, head.status != .notModified else {
            maximumReceivedBytes = ceiling
            return
        }
        // An eighth is what deflate's fixed code adds to bytes that it cannot compress.
        let codedCeiling = ceiling > Int.max / 2 ? Int.max : ceiling + ceiling / 8 + 1024
        codings = try Self.codings(of: head, maximumBytes: ceiling, maximumCodedBytes: codedCeiling)
        maximumReceivedBytes = codings.isEmpty ? ceiling : codedCeiling
        let announcedBytes = head.headerFields.last { $0.name == .contentLength }.flatMap(Self.length) ?? 0
        guard announcedBytes <= maximumReceivedBytes else { throw Self.tooLarge }
        if codings.isEmpty { body.reserveCapacity(announcedBytes) }
    }

    /// Takes a piece of the body as it was received.
    ///
    /// - Throws: ``TransportError`` with the code ``TransportError/Code/tooLarge``, or ``TransportError/Code/malformed`` if its coding is corrupt.
    public mutating func append(_ bytes: RawSpan) throws(TransportError) {
        guard bytes.byteCount <= maximumReceivedBytes - receivedBytes else { throw Self.tooLarge }
        receivedBytes += bytes.byteCount
        guard !codings.isEmpty else { return bytes.withUnsafeBytes { body.append(contentsOf: $0) } }
        var decoded = codings[0].output.count
        try codings[0].append(bytes)
        for index in codings.indices.dropFirst() {
            let new = codings[index - 1].output[decoded...]
            decoded = codings[index].output.count
            try codings[index].append(new.span.bytes)
        }
    }

    /// The response, after the last piece of its body.
    ///
    /// - Parameter elapsed: See ``TransportResponse/elapsed``.
    /// - Throws: ``TransportError`` with the code ``TransportError/Code/malformed`` if a coding has no end.
    public consuming func response(elapsed: Duration = .zero) throws(TransportError) -> TransportResponse {
        guard !codings.isEmpty else { return TransportResponse(head: head, body: body, elapsed: elapsed) }
        guard codings.allSatisfy(\.isComplete) else {
            throw TransportError(.malformed, message: "the content coding ends early")
        }
        head.headerFields[.contentEncoding] = nil
        head.headerFields[.contentLength] = nil
        return TransportResponse(head: head, body: codings.last?.output ?? [], elapsed: elapsed)
    }

    private static let tooLarge = TransportError(.tooLarge, message: "the response body is too large")

    private static func codings(
        of head: HTTPResponse, maximumBytes: Int, maximumCodedBytes: Int
    ) throws(TransportError) -> [Inflater] {
        guard head.headerFields.contains(where: { $0.name == .contentEncoding }) else { return [] }
        var formats: [Inflater.Format] = []
        for name in head.headerFields[values: .contentEncoding].flatMap({ $0.split(separator: ",") }) {
            switch name.filter({ $0 != " " && $0 != "\t" }).lowercased() {
            case "gzip", "x-gzip": formats.append(.gzip)
            case "deflate": formats.append(.deflate)
            case "", "identity": break
            default: throw TransportError(.malformed, message: "the content coding is unknown")
            }
        }
        guard formats.count <= maximumCodings else {
            throw TransportError(.malformed, message: "there are too many content codings")
        }
        // The field names them in the order in which they were applied.
        return formats.indices.reversed().map {
            Inflater(formats[$0], maximumBytes: $0 == 0 ? maximumBytes : maximumCodedBytes)
        }
    }

    /// A length that is no number, or a number that is none of this machine's, announces nothing.
    private static func length(_ field: HTTPField) -> Int? {
        field.withUnsafeBytesOfValue { digits in
            var number = 0
            for digit in digits {
                guard 0x30...0x39 ~= digit, number < Int.max / 10 - 1 else { return nil }
                number = number * 10 + Int(digit - 0x30)
            }
            return number
        }
    }
}

public import HTTPTypes

/// Collects a response for an ``HTTPTransport`` as it arrives, enforces the limit on the body's size, and removes
/// content codings.
///
/// ```swift
/// var collector = try ResponseCollector(head, for: request.method, maximumBytes: options.maximumResponseBytes)
/// for try await piece in connection.body { try collector.append(piece.span.bytes) }
/// return try collector.response()
/// ```
///
/// The collector decodes `gzip`, `x-gzip` and `deflate`, in any letter case, and several on top of each other. The
/// limit counts decoded bytes while they are decoded, so that a small response that decodes to a huge one takes no
/// memory. The head of a decoded response has neither `Content-Encoding` nor `Content-Length`, because both describe
/// what was sent.
public struct ResponseCollector: Sendable {
    private static let maximumCodings = 5

    private var head: HTTPResponse
    /// The body, if it has no content coding.
    private var body: [UInt8] = []
    /// The decoders in the order in which they run. The output of the last one is the body.
    private var codings: [Inflater] = []
    private let maximumBytes: Int
    /// The limit on received bytes. An encoded body may be a little larger than the body that it decodes to.
    private let maximumReceivedBytes: Int
    private var receivedBytes = 0

    /// Creates a collector.
    ///
    /// - Parameters:
    ///   - head: The final head, not an informational one.
    ///   - method: The method of the request.
    ///   - maximumBytes: The limit on the size of the decoded body, in bytes.
    /// - Throws: ``TransportError`` with the code ``TransportError/Code/tooLarge`` for a body that is announced to be
    ///   larger, or ``TransportError/Code/malformed`` for a content coding that is unknown, and for too many of them.
    public init(
        _ head: HTTPResponse, for method: HTTPRequest.Method, maximumBytes: Int
    ) throws(TransportError) {
        self.head = head
        let ceiling = max(0, maximumBytes)
        self.maximumBytes = ceiling
        // The fields of a response without a body describe the body that another request would get.
        guard method != .head, head.status != .noContent, head.status != .notModified else {
            maximumReceivedBytes = ceiling
            return
        }
        // Deflate's fixed code adds an eighth to bytes that it cannot compress.
        let codedCeiling = ceiling > Int.max / 2 ? Int.max : ceiling + ceiling / 8 + 1024
        codings = try Self.codings(of: head, maximumBytes: ceiling, maximumCodedBytes: codedCeiling)
        maximumReceivedBytes = codings.isEmpty ? ceiling : codedCeiling
        let announcedBytes = head.headerFields.last { $0.name == .contentLength }.flatMap(Self.length) ?? 0
        guard announcedBytes <= maximumReceivedBytes else { throw Self.tooLarge }
        if codings.isEmpty { body.reserveCapacity(announcedBytes) }
    }

    /// Appends a piece of the body as it was received.
    ///
    /// - Parameter bytes: The received bytes.
    /// - Throws: ``TransportError`` with the code ``TransportError/Code/tooLarge``, or
    ///   ``TransportError/Code/malformed`` if a content coding is corrupt.
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

    /// Returns the response, after the last piece of its body.
    ///
    /// - Parameter elapsed: The time from the sending of the request to the last byte, for
    ///   ``TransportResponse/elapsed``.
    /// - Throws: ``TransportError`` with the code ``TransportError/Code/malformed`` if a content coding is truncated.
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
        // The field names the codings in the order in which they were applied.
        return formats.indices.reversed().map {
            Inflater(formats[$0], maximumBytes: $0 == 0 ? maximumBytes : maximumCodedBytes)
        }
    }

    /// Returns the announced length; `nil` if the field is not a number, or one that is too large for an `Int`.
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

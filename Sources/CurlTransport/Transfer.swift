import CLibcurl
import HTTPTypes
import Synchronization
import TokenBroker

/// One request and what has arrived of its response.
///
/// `@unchecked Sendable`: it is made by the caller's task, handed over through the loop's mailbox, and from then on touched by the owner
/// thread only, apart from ``isCancelled``, which is atomic.
final class Transfer: @unchecked Sendable {
    let isCancelled = Atomic(false)
    var continuation: CheckedContinuation<Result<TransportResponse, TransportError>, Never>?

    let deadline: Duration
    private let url: String
    private let usesTLS: Bool
    private let method: HTTPRequest.Method
    private let fieldLines: [String]
    private let body: [UInt8]
    private let maximumBytes: Int

    private var head: HTTPResponse?
    private var received: [UInt8] = []
    private var fieldBytes = 0
    private var headIsComplete = false
    /// Why a callback ended the transfer; libcurl itself only knows that one did.
    private(set) var refusal: TransportError?
    /// The list that libcurl reads while the transfer runs.
    private var fieldList: UnsafeMutablePointer<curl_slist>?

    deinit { curl_slist_free_all(fieldList) }

    /// Checks the request before libcurl sees any of it.
    init(
        _ request: HTTPRequest, body: [UInt8], deadline: Duration, maximumBytes: Int
    ) throws(TransportError) {
        guard let authority = request.authority, let host = host(ofAuthority: authority),
            authority.utf8.allSatisfy({ 0x21...0x7e ~= $0 && !#"/?#@\"#.utf8.contains($0) })
        else { throw TransportError(.invalidRequest, message: "the authority is missing or malformed") }
        let path = request.path ?? "/"
        guard path.hasPrefix("/"), path.utf8.allSatisfy({ 0x21...0x7e ~= $0 && $0 != UInt8(ascii: "#") }) else {
            throw TransportError(.invalidRequest, message: "the path is malformed")
        }
        switch request.scheme?.lowercased() {
        case "https": self.usesTLS = true
        case "http" where isLoopbackHost(host): self.usesTLS = false
        default: throw TransportError(.refusedScheme, message: "only https is sent, and http to a loopback host")
        }
        self.url = "\(usesTLS ? "https" : "http")://\(authority)\(path)"
        self.method = request.method
        self.fieldLines = Self.lines(request.headerFields)
        self.body = body
        self.deadline = deadline
        self.maximumBytes = max(0, maximumBytes)
    }

    private static func lines(_ fields: HTTPFields) -> [String] {
        // What libcurl would add on its own is taken out with an empty value.
        var lines = ["Expect:"]
        for name in [HTTPField.Name.accept, .contentType] where !fields.contains(name) { lines.append("\(name):") }
        for field in fields where field.name != .contentLength {
            // An empty value is written with a semicolon; with a colon it would take the field out.
            lines.append(field.value.isEmpty ? "\(field.name);" : "\(field.name): \(field.value)")
        }
        return lines
    }

    // MARK: On the owner thread

    /// Sets every option that this request needs on a fresh or reset handle.
    func configure(_ handle: UnsafeMutableRawPointer, _ configuration: CurlTransport.Configuration) {
        func set(_ option: CURLoption, _ value: Int) { _ = tb_easy_set_long(handle, option, value) }
        func set(_ option: CURLoption, _ value: String) { _ = tb_easy_set_string(handle, option, value) }

        set(CURLOPT_URL, url)
        set(CURLOPT_PATH_AS_IS, 1)
        set(CURLOPT_PROTOCOLS_STR, usesTLS ? "https" : "http")
        set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_2TLS))
        set(CURLOPT_PIPEWAIT, usesTLS ? 1 : 0)
        set(CURLOPT_USERAGENT, "token-broker")
        set(CURLOPT_PROXY, "")
        set(CURLOPT_NOPROXY, "*")
        set(CURLOPT_SSL_VERIFYPEER, 1)
        set(CURLOPT_SSL_VERIFYHOST, 2)
        set(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        if let caFile = configuration.caFile {
            set(CURLOPT_CAINFO, caFile)
            _ = tb_easy_set_string(handle, CURLOPT_CAPATH, nil)
        }
        set(CURLOPT_TCP_KEEPALIVE, 1)
        set(CURLOPT_CONNECTTIMEOUT_MS, configuration.connectTimeout.wholeMilliseconds)
        set(CURLOPT_TIMEOUT_MS, deadline.wholeMilliseconds)
        // Without it, libcurl waits for the resolver's thread when a transfer is ended while its name is being resolved.
        set(CURLOPT_QUICK_EXIT, 1)
        set(CURLOPT_NOSIGNAL, 1)

        for line in fieldLines {
            guard let longer = curl_slist_append(fieldList, line) else { break }
            fieldList = longer
        }
        _ = tb_easy_set_pointer(handle, CURLOPT_HTTPHEADER, fieldList)

        if method == .head {
            set(CURLOPT_NOBODY, 1)
        } else if method == .post || !body.isEmpty {
            _ = tb_easy_set_size(handle, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body.count))
            _ = body.withUnsafeBytes { bytes in
                if let start = bytes.baseAddress {
                    tb_easy_set_bytes(handle, CURLOPT_COPYPOSTFIELDS, start)
                } else {
                    tb_easy_set_string(handle, CURLOPT_COPYPOSTFIELDS, "")
                }
            }
        }
        if method != .get, method != .head, method != .post || body.isEmpty {
            set(CURLOPT_CUSTOMREQUEST, method.rawValue)
        }
        if method == .get, !body.isEmpty { set(CURLOPT_CUSTOMREQUEST, "GET") }

        // Unretained: the loop holds the transfer for as long as the handle is in use.
        let context = Unmanaged.passUnretained(self).toOpaque()
        _ = tb_easy_set_pointer(handle, CURLOPT_HEADERDATA, context)
        _ = tb_easy_set_pointer(handle, CURLOPT_WRITEDATA, context)
        _ = tb_easy_set_callback(handle, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
            Transfer.received(bytes, size * count, context) { $0.receiveFieldLine($1) }
        }
        _ = tb_easy_set_callback(handle, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
            Transfer.received(bytes, size * count, context) { $0.receiveBody($1) }
        }
    }

    /// The way from a C callback to a method. Anything but `count` ends the transfer.
    private static func received(
        _ bytes: UnsafeMutablePointer<CChar>?, _ count: Int, _ context: UnsafeMutableRawPointer?,
        _ receive: (Transfer, UnsafeRawBufferPointer) -> Bool
    ) -> Int {
        guard let bytes, let context else { return 0 }
        let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
        // A callback that takes no bytes is asked with none; that is no refusal.
        return receive(transfer, UnsafeRawBufferPointer(start: bytes, count: count)) ? count : count &+ 1
    }

    private func receiveFieldLine(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let line = String(decoding: bytes, as: UTF8.self)
        if line.hasPrefix("HTTP/") {
            // A status line begins a new head, after an informational one too.
            let status = line.split(separator: " ", maxSplits: 2).dropFirst().first.flatMap { Int($0) }
            guard let status, (100...999).contains(status) else {
                return refuse(.malformed, "the status line is malformed")
            }
            head = HTTPResponse(status: .init(code: status))
            headIsComplete = false
            return true
        }
        fieldBytes += bytes.count
        guard fieldBytes <= 256 << 10 else { return refuse(.tooLarge, "the header section is too large") }
        if line == "\r\n" || line == "\n" {
            headIsComplete = true
            return !announcesTooMuch || refuse(.tooLarge, "the response body is too large")
        }
        // What comes after the head are trailers.
        guard !headIsComplete, let colon = line.firstIndex(of: ":") else { return true }
        guard let name = HTTPField.Name(String(line[..<colon])) else { return true }
        let value = line[line.index(after: colon)...].trimmingPrefix { $0 == " " || $0 == "\t" }
        let end = value.lastIndex { !$0.isWhitespace }.map(value.index(after:)) ?? value.startIndex
        head?.headerFields.append(HTTPField(name: name, value: String(value[..<end])))
        return true
    }

    private var announcesTooMuch: Bool {
        guard method != .head, let head, head.status.kind != .informational,
            head.status != .noContent, head.status != .notModified,
            let length = head.headerFields[.contentLength].flatMap({ Int($0) })
        else { return false }
        return length > maximumBytes
    }

    private func receiveBody(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count <= maximumBytes - received.count else {
            return refuse(.tooLarge, "the response body is too large")
        }
        received.append(contentsOf: bytes)
        return true
    }

    private func refuse(_ kind: TransportError.Kind, _ message: String) -> Bool {
        refusal = TransportError(kind, message: message)
        return false
    }

    /// The response after libcurl reported success.
    func response(elapsed: Duration) -> Result<TransportResponse, TransportError> {
        guard let head else { return .failure(TransportError(.malformed, message: "there was no status line")) }
        return .success(TransportResponse(head: head, body: received, elapsed: elapsed))
    }

    func finish(_ result: Result<TransportResponse, TransportError>) {
        continuation?.resume(returning: result)
        continuation = nil
    }
}

extension Duration {
    /// Rounded up, since zero means no limit to libcurl, and at most a day.
    fileprivate var wholeMilliseconds: Int {
        Int(Swift.min(Swift.max((self / .milliseconds(1)).rounded(.up), 1), 86_400_000))
    }
}

#if CurlSupport
import CLibcurl
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

/// A libcurl easy handle, reused for one transfer after another. Options that all transfers share are set once. Owner
/// thread only.
final class EasyHandle {
    typealias Pointer = UnsafeMutableRawPointer

    /// The number of handles in the process, so that a test can check for leaks.
    static let count = Atomic(0)

    let pointer: Pointer
    private(set) var transfer: Transfer?
    /// Its index among the running handles.
    var position = 0
    /// The generation whose connections it uses, while it is running.
    var generation: ConnectionGeneration?
    /// The timeout that libcurl currently has for the transfer.
    private var timeLimit = Duration.zero
    /// How often libcurl has been about to send the request. libcurl sends it again when a reused connection ends
    /// before a response begins.
    private var sendings = 0
    /// How many connections have been opened for the transfer.
    private var connections = 0
    /// Whether the request was sent on a connection that was opened for an earlier request.
    private var usesKeptConnection = false
    /// Whether to send the request again, on a connection of another generation.
    private(set) var wantsNewConnection = false
    /// Whether the kept connections of the generation are probably all dead.
    private(set) var lostItsConnection = false
    private let names: FieldNames
    private let sockets: NewSockets
    private let usesProxy: Bool
    private var hasCustomMethod = false

    init?(_ configuration: CurlTransport.Configuration, _ names: FieldNames, _ sockets: NewSockets) {
        guard let pointer = curl_easy_init() else { return nil }
        self.pointer = pointer
        self.names = names
        self.sockets = sockets
        self.usesProxy = configuration.proxy != nil
        Self.count.add(1, ordering: .relaxed)

        set(CURLOPT_PATH_AS_IS, 1)
        set(CURLOPT_PROTOCOLS_STR, "https,http")
        set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_2TLS))
        set(CURLOPT_USERAGENT, "token-broker")
        set(CURLOPT_PROXY, configuration.proxy?.url ?? "")
        set(CURLOPT_NOPROXY, "*")
        set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
        if let user = configuration.proxy?.user { set(CURLOPT_PROXYUSERNAME, user) }
        if let password = configuration.proxy?.password { set(CURLOPT_PROXYPASSWORD, password.reveal()) }
        if let unixSocket = configuration.unixSocket { set(CURLOPT_UNIX_SOCKET_PATH, unixSocket) }
        set(CURLOPT_SSL_VERIFYPEER, 1)
        set(CURLOPT_SSL_VERIFYHOST, 2)
        set(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        // libcurl caches certificate authorities that come from a file, but not those from a folder: each new
        // connection would read the system's 150 or so authorities again. A replaced file may go unnoticed for up to a
        // minute.
        if let caFile = configuration.caFile { set(CURLOPT_CAINFO, caFile) }
        if configuration.caFile != nil || Self.systemHasCAFile {
            _ = tb_easy_set_string(pointer, CURLOPT_CAPATH, nil)
            set(CURLOPT_CA_CACHE_TIMEOUT, 60)
        }
        if let certificate = configuration.clientCertificate {
            set(CURLOPT_SSLCERT, certificate.certificateFile)
            set(CURLOPT_SSLKEY, certificate.keyFile)
            // Set even if it is empty. Without a passphrase, OpenSSL would prompt for one at the terminal.
            set(CURLOPT_KEYPASSWD, certificate.passphrase?.reveal() ?? "")
        }
        set(CURLOPT_TCP_KEEPALIVE, 1)
        set(CURLOPT_CONNECTTIMEOUT_MS, configuration.connectTimeout.wholeMilliseconds)
        // Otherwise, ending a transfer whose name is still being resolved would wait for the resolver's thread.
        set(CURLOPT_QUICK_EXIT, 1)
        set(CURLOPT_NOSIGNAL, 1)

        // Unretained: the caller that has libcurl work on the handle holds this object.
        let context = Unmanaged.passUnretained(self).toOpaque()
        set(CURLOPT_PRIVATE, context)
        set(CURLOPT_HEADERDATA, context)
        set(CURLOPT_WRITEDATA, context)
        set(CURLOPT_PREREQDATA, context)
        _ = tb_easy_set_prereq(pointer) { context, _, _, _, _ in
            guard let context else { return CURL_PREREQFUNC_ABORT }
            let handle = Unmanaged<EasyHandle>.fromOpaque(context).takeUnretainedValue()
            return handle.maySend() ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
        }
        // Unretained: each generation of connections retains the sockets.
        let socketContext = Unmanaged.passUnretained(sockets).toOpaque()
        set(CURLOPT_SOCKOPTDATA, socketContext)
        set(CURLOPT_CLOSESOCKETDATA, socketContext)
        _ = tb_easy_set_sockopt(pointer) { context, descriptor, _ in
            if let context { Unmanaged<NewSockets>.fromOpaque(context).takeUnretainedValue().opened(descriptor) }
            return CURL_SOCKOPT_OK
        }
        _ = tb_easy_set_closesocket(pointer) { context, descriptor in
            guard let context else { return -1 }
            return Unmanaged<NewSockets>.fromOpaque(context).takeUnretainedValue().close(descriptor)
        }
        _ = tb_easy_set_callback(pointer, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
            EasyHandle.receive(bytes, size * count, context) { $0.reader.readLine($1, $2) }
        }
        _ = tb_easy_set_callback(pointer, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
            EasyHandle.receive(bytes, size * count, context) { transfer, bytes, _ in transfer.reader.readBody(bytes) }
        }
    }

    deinit {
        curl_easy_cleanup(pointer)
        Self.count.subtract(1, ordering: .relaxed)
    }

    /// Returns the object that belongs to one of libcurl's handles.
    static func of(_ pointer: Pointer?) -> EasyHandle? {
        var context: UnsafeMutableRawPointer?
        guard let pointer, tb_easy_get_pointer(pointer, CURLINFO_PRIVATE, &context) == CURLE_OK, let context else {
            return nil
        }
        return Unmanaged<EasyHandle>.fromOpaque(context).takeUnretainedValue()
    }

    /// Whether the system has a readable certificate authority file at the path that libcurl was built with.
    private static let systemHasCAFile: Bool = {
        guard let path = tb_system_ca_file() else { return false }
        return access(path, R_OK) == 0
    }()

    private func set(_ option: CURLoption, _ value: Int) { _ = tb_easy_set_long(pointer, option, value) }
    private func set(_ option: CURLoption, _ value: String) { _ = tb_easy_set_string(pointer, option, value) }
    private func set(_ option: CURLoption, _ value: UnsafeMutableRawPointer?) {
        _ = tb_easy_set_pointer(pointer, option, value)
    }

    // MARK: Transfers

    /// Sets the options that differ between requests. libcurl reads the transfer's memory until ``end()``.
    func begin(_ transfer: Transfer) {
        self.transfer = transfer
        transfer.handle = self
        let method = transfer.request.method
        let bodyCount = transfer.request.bodyCount
        _ = tb_easy_set_string(pointer, CURLOPT_URL, transfer.request.address)
        _ = tb_easy_set_bytes(pointer, CURLOPT_HTTPHEADER, transfer.request.fieldLines)
        limit(to: transfer.timeout)
        set(CURLOPT_PIPEWAIT, transfer.request.usesTLS ? 1 : 0)
        if usesProxy { set(CURLOPT_NOPROXY, transfer.request.isLocal ? "*" : "") }

        // Of these options, the one set last takes effect. The method's name is then set if it differs from libcurl's
        // own.
        var custom: String?
        switch method {
        case .head:
            set(CURLOPT_NOBODY, 1)
        case .post:
            set(CURLOPT_POST, 1)
        case _ where bodyCount > 0:
            set(CURLOPT_POST, 1)
            custom = method.rawValue
        default:
            set(CURLOPT_HTTPGET, 1)
            custom = method == .get ? nil : method.rawValue
        }
        if method != .head, method == .post || bodyCount > 0 {
            _ = tb_easy_set_bytes(pointer, CURLOPT_POSTFIELDS, transfer.request.body)
            _ = tb_easy_set_size(pointer, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(bodyCount))
        }
        if custom != nil || hasCustomMethod {
            _ = tb_easy_set_string(pointer, CURLOPT_CUSTOMREQUEST, custom)
            hasCustomMethod = custom != nil
        }
    }

    /// Prepares the transfer to be sent again, within the rest of its timeout.
    func beginAgain() {
        guard let transfer, let start = transfer.start else { return }
        transfer.isSecondAttempt = true
        limit(to: transfer.timeout - start.duration(to: .now))
    }

    private func limit(to duration: Duration) {
        timeLimit = duration
        (sendings, connections, usesKeptConnection) = (0, 0, false)
        (wantsNewConnection, lostItsConnection) = (false, false)
        set(CURLOPT_TIMEOUT_MS, duration.wholeMilliseconds)
    }

    /// Called by libcurl when the request has a connection.
    ///
    /// When a reused connection loses a request, libcurl itself sends it again on the next kept connection. If one
    /// connection has died of its peer's silence, or if two have died, the others are not tried.
    ///
    /// - Returns: Whether libcurl may send the request.
    private func maySend() -> Bool {
        sockets.limitSilence()
        guard let transfer else { return false }
        var opened = 0
        _ = tb_easy_get_long(pointer, CURLINFO_NUM_CONNECTS, &opened)
        usesKeptConnection = opened == connections
        connections = opened
        sendings += 1
        guard sendings > 1, usesKeptConnection, !transfer.isSecondAttempt, let start = transfer.start else {
            return true
        }
        guard sendings > 2 || start.duration(to: .now) >= .seconds(1) else { return true }
        (wantsNewConnection, lostItsConnection) = (true, true)
        return false
    }

    /// Releases the transfer, which must no longer be running.
    func end() {
        transfer?.handle = nil
        transfer = nil
    }

    /// Returns the outcome of the transfer, given libcurl's result.
    func outcome(_ code: CURLcode, connectTimeout: Duration) -> Transfer.Outcome? {
        guard let transfer else { return nil }
        let untilSent = time(CURLINFO_PRETRANSFER_TIME_T)
        if code == CURLE_OK { return transfer.reader.response(elapsed: time(CURLINFO_TOTAL_TIME_T) - untilSent) }
        if let refusal = transfer.reader.refusal { return .failure(refusal) }
        var proxyStatus = 0
        if usesProxy { _ = tb_easy_get_long(pointer, CURLINFO_HTTP_CONNECTCODE, &proxyStatus) }
        if proxyStatus >= 300 {
            return .failure(TransportError(.connect, message: "the proxy answered \(proxyStatus)"))
        }
        // libcurl has one code for both of its timeouts. If no connection was established, the shorter one has expired.
        let wasConnecting = untilSent == .zero && connectTimeout < timeLimit
        // An intermediary may acknowledge data that it never delivers. The request may have been processed, so it is
        // not sent again. Other requests need not wait on this connection.
        if code == CURLE_OPERATION_TIMEDOUT, usesKeptConnection, transfer.reader.isEmpty { lostItsConnection = true }
        return .failure(TransportError(curl: code, wasConnecting: wasConnecting))
    }

    private func time(_ info: CURLINFO) -> Duration {
        var microseconds: curl_off_t = 0
        _ = tb_easy_get_size(pointer, info, &microseconds)
        return .microseconds(Int64(microseconds))
    }

    /// Passes bytes from a C callback to the transfer. A return value other than `count` ends the transfer.
    private static func receive(
        _ bytes: UnsafeMutablePointer<CChar>?, _ count: Int, _ context: UnsafeMutableRawPointer?,
        _ receive: (Transfer, UnsafeRawBufferPointer, FieldNames) -> Bool
    ) -> Int {
        guard let bytes, let context else { return 0 }
        let handle = Unmanaged<EasyHandle>.fromOpaque(context).takeUnretainedValue()
        guard let transfer = handle.transfer else { return count &+ 1 }
        // libcurl may call a callback with zero bytes, so returning 0 would not be a refusal.
        return receive(transfer, UnsafeRawBufferPointer(start: bytes, count: count), handle.names) ? count : count &+ 1
    }
}

extension Duration {
    /// The duration in milliseconds. Rounded up, because zero means no limit to libcurl, and at most a day.
    fileprivate var wholeMilliseconds: Int {
        let (seconds, attoseconds) = components
        guard seconds < 86_400 else { return 86_400_000 }
        return max(1, Int(seconds) * 1000 + Int((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000))
    }
}
#endif

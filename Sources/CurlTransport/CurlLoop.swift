import CLibcurl
import Synchronization
import TokenBroker

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The owner thread: every libcurl handle is made, used and freed on it. Others only put commands into its mailbox.
final class CurlLoop: Sendable {
    private let configuration: CurlTransport.Configuration
    private let mailbox = Mutex(Mailbox())
    private let multi: MultiHandle

    /// `@unchecked Sendable`: other threads use the pointer for `curl_multi_wakeup` alone, which libcurl allows, and only under
    /// the mailbox's lock while the thread has not ended.
    private struct MultiHandle: @unchecked Sendable {
        let pointer: UnsafeMutableRawPointer
    }

    private struct Mailbox {
        var started: [Transfer] = []
        var cancelled: [Transfer] = []
        var isShuttingDown = false
        var hasEnded = false
        var waitingForEnd: [CheckedContinuation<Void, Never>] = []
    }

    private static let isInitialized = curl_global_init(Int(CURL_GLOBAL_ALL)) == CURLE_OK

    init(_ configuration: CurlTransport.Configuration) throws(TransportError) {
        guard Self.isInitialized, let pointer = curl_multi_init() else {
            throw TransportError(.other, message: "libcurl could not be initialized")
        }
        self.configuration = configuration
        self.multi = MultiHandle(pointer: pointer)
        _ = tb_multi_set_long(pointer, CURLMOPT_MAX_HOST_CONNECTIONS, configuration.maximumConnectionsPerHost)
        _ = tb_multi_set_long(pointer, CURLMOPT_MAX_TOTAL_CONNECTIONS, configuration.maximumConnections)
        _ = tb_multi_set_long(pointer, CURLMOPT_MAXCONNECTS, configuration.maximumConnections)
        // The thread holds the loop until it ends.
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self)
        let failed = pthread_create(&thread, nil, threadMain, context.toOpaque())
        guard failed == 0 else {
            context.release()
            curl_multi_cleanup(pointer)
            throw TransportError(.other, message: "the transport's thread could not be started")
        }
        pthread_detach(thread)
    }

    // MARK: From any thread

    func start(_ transfer: Transfer) {
        let accepted = post { $0.started.append(transfer) }
        if !accepted { transfer.finish(.failure(Self.shutDownError)) }
    }

    func cancel(_ transfer: Transfer) {
        // The flag is for a transfer that is cancelled before it is started.
        transfer.isCancelled.store(true, ordering: .releasing)
        _ = post { $0.cancelled.append(transfer) }
    }

    func shutDown(then continuation: CheckedContinuation<Void, Never>?) {
        let hasEnded = mailbox.withLock { mailbox in
            if mailbox.hasEnded { return true }
            mailbox.isShuttingDown = true
            if let continuation { mailbox.waitingForEnd.append(continuation) }
            curl_multi_wakeup(multi.pointer)
            return false
        }
        if hasEnded { continuation?.resume() }
    }

    private func post(_ command: (inout Mailbox) -> Void) -> Bool {
        mailbox.withLock { mailbox in
            guard !mailbox.isShuttingDown else { return false }
            let wasEmpty = mailbox.started.isEmpty && mailbox.cancelled.isEmpty
            command(&mailbox)
            if wasEmpty { curl_multi_wakeup(multi.pointer) }
            return true
        }
    }

    private static let shutDownError = TransportError(.shutDown, message: "the transport was shut down")

    // MARK: On the owner thread

    fileprivate func run() {
        var handles = Handles(multi: multi.pointer, configuration: configuration)
        while true {
            let (started, cancelled, isShuttingDown) = mailbox.withLock { mailbox in
                defer { (mailbox.started, mailbox.cancelled) = ([], []) }
                return (mailbox.started, mailbox.cancelled, mailbox.isShuttingDown)
            }
            if isShuttingDown {
                for transfer in started { transfer.finish(.failure(Self.shutDownError)) }
                break
            }
            for transfer in started { handles.start(transfer) }
            for transfer in cancelled { handles.end(transfer, .cancelled, "the calling task was cancelled") }
            handles.perform()
            // Returns at once when there is something to do, at libcurl's own next timer, or when it is woken.
            curl_multi_poll(multi.pointer, nil, 0, 60_000, nil)
        }
        handles.endAll(Self.shutDownError)
        let waiting = mailbox.withLock { mailbox in
            // Under the lock, so that nobody wakes a handle that is gone.
            curl_multi_cleanup(multi.pointer)
            mailbox.hasEnded = true
            return mailbox.waitingForEnd
        }
        for continuation in waiting { continuation.resume() }
    }
}

private func threadMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    // Signals belong to other threads. SIGPIPE too: OpenSSL writes to sockets without suppressing it.
    var all = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, nil)
    if let context { Unmanaged<CurlLoop>.fromOpaque(context).takeRetainedValue().run() }
    return nil
}

/// The easy handles, in use and spare. Lives on the owner thread's stack.
private struct Handles {
    typealias Easy = UnsafeMutableRawPointer
    let multi: UnsafeMutableRawPointer
    let configuration: CurlTransport.Configuration
    private var running: [Easy: Transfer] = [:]
    private var easyOf: [ObjectIdentifier: Easy] = [:]
    private var spare: [Easy] = []

    init(multi: UnsafeMutableRawPointer, configuration: CurlTransport.Configuration) {
        self.multi = multi
        self.configuration = configuration
    }

    mutating func start(_ transfer: Transfer) {
        if transfer.isCancelled.load(ordering: .acquiring) {
            return transfer.finish(.failure(TransportError(.cancelled, message: "the calling task was cancelled")))
        }
        guard let easy = spare.popLast() ?? curl_easy_init() else {
            return transfer.finish(.failure(TransportError(.other, message: "libcurl has no memory for a handle")))
        }
        transfer.configure(easy, configuration)
        guard curl_multi_add_handle(multi, easy) == CURLM_OK else {
            release(easy)
            return transfer.finish(.failure(TransportError(.other, message: "libcurl did not accept the request")))
        }
        running[easy] = transfer
        easyOf[ObjectIdentifier(transfer)] = easy
    }

    /// Lets libcurl work, and hands out what is finished.
    mutating func perform() {
        var count: Int32 = 0
        curl_multi_perform(multi, &count)
        while let message = curl_multi_info_read(multi, &count) {
            guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle,
                let transfer = running[easy]
            else { continue }
            // Copied before the handle is removed, which ends the message's life.
            let code = message.pointee.data.result
            let result = outcome(of: easy, transfer, code)
            remove(easy, transfer)
            transfer.finish(result)
        }
    }

    mutating func end(_ transfer: Transfer, _ kind: TransportError.Kind, _ message: String) {
        guard let easy = easyOf[ObjectIdentifier(transfer)] else { return }
        remove(easy, transfer)
        transfer.finish(.failure(TransportError(kind, message: message)))
    }

    mutating func endAll(_ error: TransportError) {
        for (easy, transfer) in running {
            curl_multi_remove_handle(multi, easy)
            curl_easy_cleanup(easy)
            transfer.finish(.failure(error))
        }
        for easy in spare { curl_easy_cleanup(easy) }
        (running, easyOf, spare) = ([:], [:], [])
    }

    private mutating func remove(_ easy: Easy, _ transfer: Transfer) {
        curl_multi_remove_handle(multi, easy)
        running[easy] = nil
        easyOf[ObjectIdentifier(transfer)] = nil
        release(easy)
    }

    private mutating func release(_ easy: Easy) {
        guard spare.count < 64 else { return curl_easy_cleanup(easy) }
        curl_easy_reset(easy)
        spare.append(easy)
    }

    private func outcome(
        of easy: Easy, _ transfer: Transfer, _ code: CURLcode
    ) -> Result<TransportResponse, TransportError> {
        let total = time(easy, CURLINFO_TOTAL_TIME_T)
        let untilSent = time(easy, CURLINFO_PRETRANSFER_TIME_T)
        if code == CURLE_OK { return transfer.response(elapsed: total - untilSent) }
        if let refusal = transfer.refusal { return .failure(refusal) }
        // libcurl has one code for both of its time limits; without a connection, the shorter one has passed.
        let wasConnecting = untilSent == .zero && configuration.connectTimeout < transfer.deadline
        return .failure(TransportError(curl: code, wasConnecting: wasConnecting))
    }

    private func time(_ easy: Easy, _ info: CURLINFO) -> Duration {
        var microseconds: curl_off_t = 0
        _ = tb_easy_get_size(easy, info, &microseconds)
        return .microseconds(Int64(microseconds))
    }
}

#if CurlSupport
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

/// The owner thread, on which every libcurl handle is used and freed. Other threads only put commands into its mailbox.
///
/// In each turn, the thread takes all commands at once, lets libcurl work, and completes finished transfers. When there
/// is nothing more to do, it waits. Only a command that arrives while it waits costs a system call.
final class CurlLoop: Sendable {
    private let configuration: CurlTransport.Configuration
    private let mailbox = Mutex(Mailbox())
    private let waker: tb_waker

    private struct Commands {
        var started: [Transfer] = []
        var cancelled: [Transfer] = []
        var jobs: [UnownedJob] = []

        var isEmpty: Bool { started.isEmpty && cancelled.isEmpty && jobs.isEmpty }

        /// Removes all commands, and keeps the memory for the next turn.
        mutating func removeAll() {
            started.removeAll(keepingCapacity: true)
            cancelled.removeAll(keepingCapacity: true)
            jobs.removeAll(keepingCapacity: true)
        }
    }

    private struct Mailbox {
        var commands = Commands()
        /// Whether the thread is waiting, or is about to, and has not been woken yet.
        var isResting = false
        var isShuttingDown = false
        var hasEnded = false
        var waitingForEnd: [CheckedContinuation<Void, Never>] = []

        /// Marks the thread as woken.
        ///
        /// - Returns: Whether the thread has to be woken.
        mutating func wakes() -> Bool {
            defer { isResting = false }
            return isResting
        }
    }

    private static let isInitialized = curl_global_init(Int(CURL_GLOBAL_ALL)) == CURLE_OK

    init(_ configuration: CurlTransport.Configuration) throws(TransportError) {
        var waker = tb_waker()
        guard Self.isInitialized, tb_waker_open(&waker) == 0 else {
            throw TransportError(.other, message: "libcurl could not be initialized")
        }
        self.configuration = configuration
        self.waker = waker
        guard let generation = ConnectionGeneration(configuration, NewSockets()) else {
            throw TransportError(.other, message: "libcurl could not be initialized")
        }
        var thread = pthread_t()
        let context = Unmanaged.passRetained(Start(loop: self, generation: generation))
        let failed = pthread_create(&thread, nil, threadMain, context.toOpaque())
        guard failed == 0 else {
            context.release()
            throw TransportError(.other, message: "the transport's thread could not be started")
        }
        pthread_detach(thread)
    }

    deinit { tb_waker_close(waker) }

    // MARK: From any thread

    func start(_ transfer: Transfer) {
        let accepted = post { $0.started.append(transfer) }
        if !accepted { transfer.finish(.failure(Self.shutDownError)) }
    }

    func cancel(_ transfer: Transfer) {
        // The flag covers a transfer that is cancelled before it is started.
        transfer.isCancelled.store(true, ordering: .releasing)
        _ = post { $0.cancelled.append(transfer) }
    }

    func shutDown(then continuation: CheckedContinuation<Void, Never>?) {
        let (hasEnded, wakes) = mailbox.withLock { mailbox in
            if mailbox.hasEnded { return (true, false) }
            mailbox.isShuttingDown = true
            if let continuation { mailbox.waitingForEnd.append(continuation) }
            return (false, mailbox.wakes())
        }
        if wakes { tb_waker_wake(waker) }
        if hasEnded { continuation?.resume() }
    }

    private func post(_ add: (inout Commands) -> Void) -> Bool {
        let (accepted, wakes) = mailbox.withLock { mailbox in
            guard !mailbox.isShuttingDown else { return (false, false) }
            add(&mailbox.commands)
            return (true, mailbox.wakes())
        }
        if wakes { tb_waker_wake(waker) }
        return accepted
    }

    private static let shutDownError = TransportError(.shutDown, message: "the transport was shut down")

    // MARK: On the owner thread

    fileprivate func run(_ handles: consuming Handles) {
        let unfinished = work(handles)
        // All connections are closed now.
        let waiting = mailbox.withLock { mailbox in
            mailbox.hasEnded = true
            return mailbox.waitingForEnd
        }
        for job in unfinished { globalConcurrentExecutor.enqueue(job) }
        for continuation in waiting { continuation.resume() }
    }

    /// Runs until the shutdown.
    ///
    /// - Returns: The jobs that were not run.
    private func work(_ handles: consuming Handles) -> [UnownedJob] {
        var commands = Commands()
        while true {
            let isShuttingDown = mailbox.withLock { mailbox in
                swap(&mailbox.commands, &commands)
                mailbox.isResting = false
                return mailbox.isShuttingDown
            }
            if isShuttingDown { break }
            if !commands.started.isEmpty { handles.start(commands.started) }
            for transfer in commands.cancelled { handles.cancel(transfer) }
            for job in commands.jobs { job.runSynchronously(on: asUnownedTaskExecutor()) }
            commands.removeAll()
            handles.perform()
            let mayRest = mailbox.withLock { mailbox in
                mailbox.isResting = mailbox.commands.isEmpty && !mailbox.isShuttingDown
                return mailbox.isResting
            }
            guard mayRest else { continue }
            var wakerPoll = curl_waitfd(fd: waker.read_end, events: Int16(CURL_WAIT_POLLIN), revents: 0)
            handles.wait(&wakerPoll)
            if wakerPoll.revents != 0 { tb_waker_clear(waker) }
        }
        for transfer in commands.started { transfer.finish(.failure(Self.shutDownError)) }
        handles.endAll(Self.shutDownError)
        return commands.jobs
    }
}

/// Tasks that prefer the owner thread run on it, between its turns.
extension CurlLoop: TaskExecutor {
    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let accepted = post { $0.jobs.append(job) }
        // A task that still prefers this thread after it has ended runs like any other task.
        if !accepted { globalConcurrentExecutor.enqueue(job) }
    }
}

/// The initial state of the owner thread. The thread retains the loop until it ends.
private final class Start {
    let loop: CurlLoop
    private var generation: ConnectionGeneration?

    init(loop: CurlLoop, generation: ConnectionGeneration) { (self.loop, self.generation) = (loop, generation) }

    /// Returns the generation without keeping it, because it may be retired long before the thread ends.
    func takeGeneration() -> ConnectionGeneration? {
        defer { generation = nil }
        return generation
    }
}

private func threadMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    // Leave signals to other threads. This includes SIGPIPE, which OpenSSL does not suppress when it writes to a
    // socket.
    var all = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, nil)
    if let context {
        let start = Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
        if let handles = start.takeGeneration().map(Handles.init) { start.loop.run(handles) }
    }
    return nil
}

/// The running and spare easy handles, and the connections they use. Lives on the owner thread's stack.
private struct Handles: ~Copyable {
    private let names = FieldNames()
    private var current: ConnectionGeneration
    /// Generations that only finish their running requests.
    private var retired: [ConnectionGeneration] = []
    private var running: [EasyHandle] = []
    private var spare: [EasyHandle] = []

    init(_ generation: ConnectionGeneration) { current = generation }

    private var configuration: CurlTransport.Configuration { current.configuration }

    mutating func start(_ transfers: [Transfer]) {
        let now = ContinuousClock.now
        if current.start.duration(to: now) >= configuration.connectionLifetime { retire(current) }
        for transfer in transfers { start(transfer, now) }
    }

    private mutating func start(_ transfer: Transfer, _ now: ContinuousClock.Instant) {
        if transfer.isCancelled.load(ordering: .acquiring) { return transfer.finish(.failure(Self.cancelledError)) }
        guard let handle = spare.popLast() ?? EasyHandle(configuration, names, current.sockets) else {
            return transfer.finish(.failure(TransportError(.other, message: "libcurl has no memory for a handle")))
        }
        transfer.start = now
        handle.begin(transfer)
        handle.position = running.count
        running.append(handle)
        add(handle)
    }

    private mutating func add(_ handle: EasyHandle) {
        guard current.add(handle) else {
            return end(handle, .failure(TransportError(.other, message: "libcurl did not accept the request")))
        }
    }

    mutating func cancel(_ transfer: Transfer) {
        if let handle = transfer.handle { end(handle, .failure(Self.cancelledError)) }
    }

    /// Lets libcurl work, and completes finished transfers.
    mutating func perform() {
        perform(current)
        guard !retired.isEmpty else { return }
        for generation in retired { perform(generation) }
        // A released generation closes its connections.
        retired.removeAll { $0.transfers == 0 }
    }

    private mutating func perform(_ generation: ConnectionGeneration) {
        var count: Int32 = 0
        curl_multi_perform(generation.multi, &count)
        while let message = curl_multi_info_read(generation.multi, &count) {
            guard message.pointee.msg == CURLMSG_DONE, let handle = EasyHandle.of(message.pointee.easy_handle),
                // Read before the handle is removed, which invalidates the message.
                let outcome = handle.outcome(message.pointee.data.result, connectTimeout: configuration.connectTimeout)
            else { continue }
            if handle.lostItsConnection { retire(generation) }
            if handle.wantsNewConnection {
                generation.remove(handle)
                handle.beginAgain()
                add(handle)
            } else {
                end(handle, outcome)
            }
        }
    }

    /// Waits until there is something to receive or send, until libcurl's next timer fires, or until the thread is
    /// woken.
    func wait(_ waker: inout curl_waitfd) {
        // libcurl can wait for only one generation. Others are rare and do not last long, so they are polled.
        curl_multi_poll(current.multi, &waker, 1, retired.isEmpty ? 60_000 : 5, nil)
    }

    mutating func endAll(_ error: TransportError) {
        while let handle = running.last { end(handle, .failure(error)) }
        spare = []
    }

    /// Replaces the generation if it is current, so that it takes no new requests.
    private mutating func retire(_ generation: ConnectionGeneration) {
        guard generation === current, let next = ConnectionGeneration(configuration, current.sockets)
        else { return }
        if current.transfers > 0 { retired.append(current) }
        current = next
    }

    private mutating func end(_ handle: EasyHandle, _ outcome: Transfer.Outcome) {
        handle.generation?.remove(handle)
        // The last running handle takes its place.
        let last = running.removeLast()
        if last !== handle {
            running[handle.position] = last
            last.position = handle.position
        }
        let transfer = handle.transfer
        handle.end()
        if spare.count < Self.maximumSpare { spare.append(handle) }
        transfer?.finish(outcome)
    }

    private static let maximumSpare = 256
    private static let cancelledError = TransportError(.cancelled, message: "the calling task was cancelled")
}

#endif

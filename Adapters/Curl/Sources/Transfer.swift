#if CurlSupport
import CLibcurl
import Synchronization
import TokenBroker

/// One request, and the part of its response that has arrived.
///
/// `@unchecked Sendable`: the caller's task creates it and hands it over through the loop's mailbox. From then on only
/// the owner thread accesses it, apart from the atomics.
final class Transfer: @unchecked Sendable {
    typealias Outcome = Result<TransportResponse, TransportError>

    let isCancelled = Atomic(false)
    private let isFinished = Atomic(false)
    let request: EncodedRequest
    let timeout: Duration
    /// When it was first handed to libcurl. The timeout is measured from here.
    var start: ContinuousClock.Instant?
    /// Whether this is the second attempt. There is never a third.
    var isSecondAttempt = false
    var continuation: CheckedContinuation<Outcome, Never>?
    var reader: ResponseReader
    /// The handle, while the transfer is running.
    var handle: EasyHandle?

    init(_ request: consuming EncodedRequest, timeout: Duration, maximumBytes: Int) {
        self.reader = ResponseReader(method: request.method, maximumBytes: maximumBytes)
        self.request = request
        self.timeout = timeout
    }

    func finish(_ outcome: Outcome) {
        isFinished.store(true, ordering: .releasing)
        continuation?.resume(returning: outcome)
        continuation = nil
    }

    /// Shows the thread sanitizer that the caller's task continues after ``finish(_:)``. The sanitizer does not see
    /// this order when a continuation is resumed before it is awaited.
    func follow() { _ = isFinished.load(ordering: .acquiring) }
}
#endif

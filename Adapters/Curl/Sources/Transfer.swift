#if CurlSupport
import CLibcurl
import Synchronization
import TokenBroker

/// One request and what has arrived of its response.
///
/// `@unchecked Sendable`: it is made by the caller's task, handed over through the loop's mailbox, and from then on touched by the owner
/// thread only, apart from what is atomic.
final class Transfer: @unchecked Sendable {
    typealias Outcome = Result<TransportResponse, TransportError>

    let isCancelled = Atomic(false)
    private let isFinished = Atomic(false)
    let request: EncodedRequest
    let timeout: Duration
    /// When it was handed to libcurl first; the timeout counts from here.
    var start: ContinuousClock.Instant?
    /// Whether it has been sent once more, which is as often as it may be.
    var isSecondAttempt = false
    var continuation: CheckedContinuation<Outcome, Never>?
    var reader: ResponseReader
    /// While it is under way.
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

    /// For the caller's task, after ``finish(_:)``: shows the thread sanitizer the order of the two, which it does not see in a continuation
    /// that is resumed before it is awaited.
    func follow() { _ = isFinished.load(ordering: .acquiring) }
}
#endif

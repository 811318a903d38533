import Synchronization

/// A decorator that remembers a policy's decisions, and asks it once for all concurrent callers with the same question.
///
/// A decision is remembered for one principal and one request, so that the speed of a response reveals nothing about
/// other principals' requests. Permissions and refusals are remembered alike; failures are not.
public struct CachingPolicy<Upstream: AccessPolicy>: AccessPolicy {
    private let upstream: Upstream
    private let alarm: Alarm
    private let answers: Answers
    private let flights = SingleFlight<Question, Verdict>()

    /// Creates a caching policy.
    ///
    /// - Parameters:
    ///   - upstream: The policy that decides. It must return by itself.
    ///   - lifetime: How long a decision is remembered. With zero, only concurrent callers share one.
    ///   - clock: The clock that measures the lifetime.
    ///   - maximumEntries: The number of decisions that are remembered. The oldest one is evicted first.
    public init(
        _ upstream: Upstream, for lifetime: Duration, clock: some Clock<Duration> = ContinuousClock(),
        maximumEntries: Int = 1000
    ) {
        self.upstream = upstream
        self.alarm = Alarm(clock)
        self.answers = Answers(lifetime: lifetime, maximumEntries: maximumEntries)
    }

    /// What a permission from the upstream policy proves.
    public var binds: AccessBinding { upstream.binds }

    /// Returns the remembered decision, or the upstream policy's.
    public func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
        let question = Question(principal: principal, request: request)
        if let answer = answers.answer(to: question, now: alarm.now) { return try answer.get() }
        let verdict = try await flights.value(for: question) {
            // Another flight may have landed since.
            if let answer = answers.answer(to: question, now: alarm.now) { return answer }
            let asked = alarm.now
            let answer = try await upstream.verdict(principal, for: request)
            answers.remember(answer, to: question, since: asked)
            return answer
        }
        return try verdict.get()
    }
}

extension CachingPolicy: Composite {
    /// The upstream policy.
    public var components: [any Sendable] { [upstream] }
}

extension AccessPolicy {
    /// Returns a ``CachingPolicy`` that decorates this policy.
    ///
    /// - Parameters:
    ///   - lifetime: How long a decision is remembered.
    ///   - clock: The clock that measures the lifetime.
    public func caching(
        for lifetime: Duration, clock: some Clock<Duration> = ContinuousClock()
    ) -> CachingPolicy<Self> {
        CachingPolicy(self, for: lifetime, clock: clock)
    }
}

private struct Question: Sendable, Hashable {
    var principal: Principal
    var request: TokenRequest
}

/// Decisions until they are too old, in bounded memory.
private final class Answers: Sendable {
    private struct Entry {
        var answer: Verdict
        var end: Duration
    }

    private let lifetime: Duration
    private let entries: Mutex<BoundedMap<Question, Entry>>

    init(lifetime: Duration, maximumEntries: Int) {
        self.lifetime = lifetime
        entries = Mutex(BoundedMap(capacity: maximumEntries))
    }

    func answer(to question: Question, now: Duration) -> Verdict? {
        entries.withLock { $0[question].flatMap { now < $0.end ? $0.answer : nil } }
    }

    func remember(_ answer: Verdict, to question: Question, since now: Duration) {
        let entry = Entry(answer: answer, end: now + lifetime)
        entries.withLock { $0.update(question, default: entry) { $0 = entry } }
    }
}

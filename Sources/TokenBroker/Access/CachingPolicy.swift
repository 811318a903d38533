import Synchronization

/// Remembers what a policy answered, and asks it once for all who want to know the same at the same time.
///
/// What is remembered belongs to one principal and one request, so that nobody can tell from the speed of an answer
/// what others asked for. Yes and no are remembered alike, a failure is not.
public struct CachingPolicy<Upstream: AccessPolicy>: AccessPolicy {
    private let upstream: Upstream
    private let alarm: Alarm
    private let answers: Answers
    private let flights = SingleFlight<Question, Verdict>()

    /// - Parameters:
    ///   - upstream: Who decides. It must come to an end by itself.
    ///   - lifetime: How long an answer holds; with zero only those who ask at the same time share one.
    ///   - clock: Measures it.
    ///   - maximumEntries: How many answers are remembered; the oldest go first.
    public init(
        _ upstream: Upstream, for lifetime: Duration, clock: some Clock<Duration> = ContinuousClock(),
        maximumEntries: Int = 1000
    ) {
        self.upstream = upstream
        self.alarm = Alarm(clock)
        self.answers = Answers(lifetime: lifetime, maximumEntries: maximumEntries)
    }

    /// See ``AccessPolicy/binds``.
    public var binds: AccessBinding { upstream.binds }

    /// See ``AccessPolicy/authorize(_:for:)``; the type tells what is particular.
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
    /// The policy that it remembers the answers of.
    public var components: [any Sendable] { [upstream] }
}

extension AccessPolicy {
    /// ``CachingPolicy`` in front of this policy.
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

/// Answers until they are too old, in bounded memory.
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

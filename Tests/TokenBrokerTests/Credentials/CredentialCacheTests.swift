import InMemoryLogging
import Logging
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

/// A sequence of readings, each of which ends when the test says so.
private final class Readings: Sendable {
    typealias Answer = Result<CredentialCache.Reading, CredentialError>
    private let state = Mutex((count: 0, waiting: [CheckedContinuation<Answer, Never>]()))
    private let (begun, beginning) = AsyncStream.makeStream(of: Void.self)

    var count: Int { state.withLock { $0.count } }

    func next() async throws(CredentialError) -> CredentialCache.Reading {
        let answer: Answer = await withCheckedContinuation { continuation in
            state.withLock { state in
                state.count += 1
                state.waiting.append(continuation)
            }
            beginning.yield()
        }
        return try answer.get()
    }

    /// Waits for a reading to start, and ends it.
    func end(_ answer: Answer) async {
        await begin()
        finish(answer)
    }

    func begin() async { for await _ in begun { break } }

    func finish(_ answer: Answer) {
        state.withLock { $0.waiting.isEmpty ? nil : $0.waiting.removeFirst() }?.resume(returning: answer)
    }
}

struct CredentialCacheTests {
    private let clock = ManualClock()
    private let readings = Readings()
    private let log = InMemoryLogHandler()

    private func cache(refresh: Duration = .seconds(10)) -> CredentialCache {
        CredentialCache(
            source: "test", refresh: refresh, clock: clock, logger: Logger(label: "test") { [log] _ in log }
        ) { [readings] () async throws(CredentialError) in try await readings.next() }
    }

    private func pair(_ id: String, life: Duration? = nil) -> Result<CredentialCache.Reading, CredentialError> {
        .success(.init([Credential(clientID: Secret(id), clientSecret: Secret("s"))], life: life))
    }

    private let broken = CredentialError(.unreadable, source: "test", message: "broken")

    private func id(_ cache: CredentialCache) async throws -> String? {
        try await cache.credentials().first?.clientID.reveal()
    }

    /// Calls the cache until it returns `id`. A reading that ended is taken over by a separate task.
    private func until(_ id: String, _ cache: CredentialCache) async throws {
        try await waitUntil { try await self.id(cache) == id }
    }

    @Test func `concurrent callers share one read of the credentials`() async throws {
        let cache = cache()
        let callers = (0..<100).map { _ in Task { try await id(cache) } }
        await readings.end(pair("a"))
        for caller in callers { #expect(try await caller.value == "a") }
        clock.advance(by: .seconds(9))
        #expect(try await id(cache) == "a")
        #expect(readings.count == 1)
    }

    @Test func `cached credentials are refreshed in the background`() async throws {
        let cache = cache()
        async let first = id(cache)
        await readings.end(pair("a"))
        #expect(try await first == "a")
        clock.advance(by: .seconds(10))
        #expect(try await id(cache) == "a")
        #expect(try await id(cache) == "a")
        await readings.end(pair("b"))
        try await until("b", cache)
        #expect(readings.count == 2)
    }

    @Test func `cached credentials that are too old are read again before they are used`() async throws {
        let cache = cache()
        async let first = id(cache)
        await readings.end(pair("a"))
        _ = try await first
        clock.advance(by: .seconds(3600))
        async let second = id(cache)
        await readings.end(pair("b"))
        #expect(try await second == "b")
    }

    @Test func `the last good credentials stay in use while reading them fails`() async throws {
        let cache = cache()
        async let first = id(cache)
        await readings.end(pair("a"))
        _ = try await first
        clock.advance(by: .seconds(100))
        for _ in 0..<3 {
            async let next = id(cache)
            await readings.end(.failure(broken))
            #expect(try await next == "a")
            clock.advance(by: .seconds(30))
        }
        #expect(log.entries.map(\.level) == [.warning])
        async let last = id(cache)
        await readings.end(pair("b"))
        #expect(try await last == "b")
        #expect(log.entries.map(\.level) == [.warning, .notice])
    }

    @Test func `a failed read of credentials is shared and retried with backoff`() async throws {
        let cache = cache(refresh: .seconds(5))
        for pause in [1, 2, 4, 5, 5] {
            let callers = (0..<3).map { _ in Task { try await id(cache) } }
            await readings.end(.failure(broken))
            for caller in callers { await #expect(throws: broken) { try await caller.value } }
            let count = readings.count
            clock.advance(by: .seconds(pause) - .milliseconds(1))
            await #expect(throws: broken) { try await id(cache) }
            #expect(readings.count == count)
            clock.advance(by: .milliseconds(1))
        }
    }

    @Test func `expired credentials are not used`() async throws {
        let cache = cache(refresh: .seconds(3600))
        async let first = id(cache)
        await readings.end(pair("a", life: .seconds(30)))
        _ = try await first
        // Two thirds of its lifetime.
        clock.advance(by: .seconds(20))
        #expect(try await id(cache) == "a")
        await readings.end(.failure(broken))
        try await waitUntil { !log.entries.isEmpty }
        clock.advance(by: .seconds(10))
        async let second = id(cache)
        await readings.end(pair("b"))
        #expect(try await second == "b")
    }

    @Test func `the absence of credentials is cached only briefly`() async throws {
        let cache = cache(refresh: .seconds(3600))
        async let first = id(cache)
        await readings.end(.success(.init([])))
        #expect(try await first == nil)
        clock.advance(by: .seconds(5))
        #expect(try await id(cache) == nil)
        await readings.end(pair("a"))
        try await until("a", cache)
    }

    @Test func `a caller that stops waiting for credentials ends only its own wait`() async throws {
        let cache = cache()
        let leaver = Task { try await id(cache) }
        await readings.begin()
        leaver.cancel()
        await #expect(throws: CredentialError.self) { try await leaver.value }
        let stayer = Task { try await id(cache) }
        readings.finish(pair("a"))
        #expect(try await stayer.value == "a")
    }
}

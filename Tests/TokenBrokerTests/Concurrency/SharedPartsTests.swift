import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

@Suite struct `A back-off` {
    @Test func `a backoff doubles up to its maximum, whatever the number of failures`() {
        let backoff = Backoff(first: .seconds(1), longest: .seconds(30))
        #expect(
            (0...6).map(backoff.pause) == [
                .zero, .seconds(1), .seconds(2), .seconds(4), .seconds(8), .seconds(16), .seconds(30),
            ])
        for failures in [7, 20, 21, 64, 1_000_000, .max] { #expect(backoff.pause(after: failures) == .seconds(30)) }
        #expect(backoff.pause(after: -1) == .zero)
    }

    @Test func `a backoff never exceeds its maximum, even if its first pause does`() {
        #expect(Backoff(first: .seconds(5), longest: .seconds(2)).pause(after: 1) == .seconds(2))
    }
}

@Suite struct `A bounded map` {
    /// Compares the result with a list in the order of use.
    @Test(arguments: 1...4) func `a bounded map evicts the least recently used entry`(_ capacity: Int) {
        var generator = SeededGenerator(seed: UInt64(capacity))
        var map = BoundedMap<Int, Int>(capacity: capacity)
        var model: [(key: Int, value: Int)] = []
        for step in 0..<5_000 {
            let key = Int.random(in: 0..<6, using: &generator)
            if Bool.random(using: &generator) {
                #expect(map[key] == model.first { $0.key == key }?.value)
                continue
            }
            let former = model.first { $0.key == key }?.value ?? 0
            let found = map.update(key, default: 0) { value in
                defer { value = step }
                return value
            }
            #expect(found == former)
            model.removeAll { $0.key == key }
            model.append((key, step))
            if model.count > capacity { model.removeFirst() }
            #expect(map.count == model.count)
        }
    }
}

@Suite struct `A value that is refreshed` {
    private struct Failed: Error {}

    @Test func `a refreshed value is read once for all callers, even if one of them is cancelled`() async throws {
        let reads = Mutex(0)
        let isOpen = Mutex(false)
        let value = RefreshedValue<Int, Failed>(Stopwatch(ManualClock())) { () async throws(Failed) in
            try? await waitUntil { isOpen.withLock({ $0 }) }
            return reads.withLock { count in
                count += 1
                return count
            }
        }
        @Sendable func read() async throws -> Int {
            try await value.answer { known, _ in known.value.map { .answer($0) } ?? .wait }
        }
        let callers = (0..<100).map { _ in Task { try await read() } }
        let leaving = Task { try await read() }
        try await waitUntil { value.knowledge.isReading }
        leaving.cancel()
        await #expect(throws: CancellationError.self) { try await leaving.value }
        isOpen.withLock { $0 = true }
        for caller in callers { #expect(try await caller.value == 1) }
        #expect(reads.withLock { $0 } == 1)
    }

    @Test func `a refreshed value records how its reads went`() async throws {
        let clock = ManualClock()
        let fails = Mutex(true)
        let value = RefreshedValue<Int, Failed>(Stopwatch(clock)) { () async throws(Failed) in
            if fails.withLock({ $0 }) { throw Failed() }
            return 7
        }
        func refresh() async throws {
            let ends = value.knowledge.endedAt
            _ = try await value.answer { known, _ in
                known.endedAt == ends ? .wait : .answer(0)
            }
        }
        clock.advance(by: .seconds(1))
        try await refresh()
        clock.advance(by: .seconds(1))
        try await refresh()
        #expect(value.knowledge.failures == 2 && value.knowledge.failure != nil && value.knowledge.value == nil)
        fails.withLock { $0 = false }
        clock.advance(by: .seconds(1))
        try await refresh()
        let known = value.knowledge
        #expect(known.failures == 0 && known.failure == nil && known.value == 7)
        #expect(known.readAt.begin == .seconds(3) && known.endedAt == .seconds(3))
    }
}

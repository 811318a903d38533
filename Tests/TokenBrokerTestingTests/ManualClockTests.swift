import Testing
import TokenBrokerTesting

struct ManualClockTests {
    @Test(.timeLimit(.minutes(1)))
    func `a manual clock reports a standstill once, with the sleeping tasks`() async throws {
        let (reports, continuation) = AsyncStream<String>.makeStream()
        let clock = ManualClock(reportingStandstillAfter: .milliseconds(20)) { continuation.yield($0) }
        let tasks = [5, 3].map { seconds in Task { try await clock.sleep(for: .seconds(seconds)) } }
        await clock.sleepers(2)
        var iterator = reports.makeAsyncIterator()
        // The first report may come before the second task sleeps.
        let first = try #require(await iterator.next())
        #expect(first.contains("Tasks sleeping on it: ") && first.contains("advance(by:)"))
        clock.advance(by: .seconds(3))
        let second = try #require(await iterator.next())
        #expect(second.contains("Tasks sleeping on it: 1.") && second.contains("with 2.0 seconds"))
        clock.advance(by: .seconds(2))
        for task in tasks { try await task.value }
    }

    @Test func `durations of a manual clock have the right sign`() {
        let clock = ManualClock()
        let early = clock.now
        clock.advance(by: .seconds(3))
        #expect(early.duration(to: clock.now) == .seconds(3))
        #expect(clock.now.duration(to: early) == .seconds(-3))
        #expect(early < clock.now)
        #expect(early.advanced(by: .seconds(3)) == clock.now)
    }

    @Test func `a manual clock stands still unless it is advanced`() async throws {
        let clock = ManualClock()
        let start = clock.now
        try await clock.sleep(for: .zero)
        try await clock.sleep(for: .seconds(-1))
        #expect(clock.now == start)
        clock.advance(by: .seconds(-5))
        #expect(clock.now == start)
    }

    @Test func `a task on a manual clock wakes when its time comes and not before`() async throws {
        let clock = ManualClock()
        let sleepers = (1...5).map { seconds in Task { try await clock.sleep(for: .seconds(seconds)) } }
        await clock.sleepers(5)
        clock.advance(by: .milliseconds(2999))
        #expect(clock.sleeperCount == 3)
        clock.advance(by: .milliseconds(1))
        #expect(clock.sleeperCount == 2)
        clock.advance(by: .seconds(100))
        for sleeper in sleepers { try await sleeper.value }
    }

    @Test func `a cancelled sleep on a manual clock ends with an error`() async {
        let clock = ManualClock()
        let sleeper = Task { try await clock.sleep(for: .seconds(1)) }
        await clock.sleepers(1)
        sleeper.cancel()
        await #expect(throws: CancellationError.self) { try await sleeper.value }
        #expect(clock.sleeperCount == 0)
    }

    @Test func `a task that is already cancelled does not sleep on a manual clock`() async {
        let clock = ManualClock()
        let sleeper = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await clock.sleep(for: .seconds(1))
        }
        await #expect(throws: CancellationError.self) { try await sleeper.value }
    }

    @Test func `many sleeps and cancellations at once leave nothing behind on a manual clock`() async {
        let clock = ManualClock()
        let tasks = (0..<1000).map { index in
            Task { try? await clock.sleep(for: .seconds(index % 10 + 1)) }
        }
        await clock.sleepers(1000)
        for (index, task) in tasks.enumerated() where index.isMultiple(of: 3) { task.cancel() }
        clock.advance(by: .seconds(10))
        for task in tasks { await task.value }
        #expect(clock.sleeperCount == 0)
    }
}

import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

private final class Counter: Sendable {
    private let count = Atomic(0)
    var value: Int { count.load(ordering: .relaxed) }
    func increment() { count.add(1, ordering: .relaxed) }
}

struct AlarmTests {
    private let clock = ManualClock()

    @Test func `alarms go off once, in order, and not early`() async {
        let alarm = Alarm(clock)
        let (fired, firing) = AsyncStream.makeStream(of: Int.self)
        for seconds in [5, 1, 3, 4, 2] { _ = alarm.schedule(after: .seconds(seconds)) { firing.yield(seconds) } }
        let cancelled = alarm.schedule(after: .seconds(2)) { firing.yield(-1) }
        alarm.cancel(cancelled)
        var all: [Int] = []
        var iterator = fired.makeAsyncIterator()
        for second in 1...5 {
            await clock.sleepers(1)
            clock.advance(by: .seconds(1))
            if let next = await iterator.next() { all.append(next) }
            #expect(all.count == second)
        }
        #expect(all == [1, 2, 3, 4, 5])
    }

    @Test func `an earlier alarm goes off before one that was scheduled first`() async throws {
        let alarm = Alarm(clock)
        let (fired, firing) = AsyncStream.makeStream(of: String.self)
        _ = alarm.schedule(after: .seconds(60)) { firing.yield("late") }
        await clock.sleepers(1)
        _ = alarm.schedule(after: .seconds(1)) { firing.yield("early") }
        // The runner of the later alarm stops, and another one starts.
        try await waitUntil { clock.sleeperCount == 1 }
        clock.advance(by: .seconds(1))
        for await first in fired {
            #expect(first == "early")
            break
        }
    }

    @Test func `many tasks can schedule and cancel alarms at once`() async throws {
        let alarm = Alarm(ContinuousClock())
        let fired = Counter()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<50 {
                group.addTask {
                    for index in 0..<200 {
                        let id = alarm.schedule(after: .milliseconds(index.isMultiple(of: 2) ? 0 : 60_000)) {
                            fired.increment()
                        }
                        if !index.isMultiple(of: 2) { alarm.cancel(id) }
                    }
                }
            }
        }
        try await waitUntil { fired.value >= 5_000 }
        #expect(fired.value == 5_000)
    }

    @Test func `an operation that exceeds its time limit is cancelled`() async throws {
        let alarm = Alarm(clock)
        #expect(try await withTimeLimit(.seconds(1), alarm) { 7 } == 7)
        let late = Task {
            try await withTimeLimit(.seconds(1), alarm) { try await ContinuousClock().sleep(for: .seconds(60)) }
        }
        await clock.sleepers(1)
        while !late.isCancelled, clock.now.offset < .seconds(100) {
            clock.advance(by: .seconds(1))
            await Task.yield()
        }
        #expect(try await late.value == nil)
    }
}

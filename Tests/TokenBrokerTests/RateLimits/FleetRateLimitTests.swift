import HTTPTypes
import Synchronization
import TestSupport
import Testing
import TokenBrokerTesting

@testable import TokenBroker

/// Two processes' transports with one store, on one clock.
@Suite struct `The rate limit of a fleet` {
    private let clock = ManualClock()
    private let store: InMemorySharedStore
    private let starts = Starts()

    init() { store = InMemorySharedStore(clock: clock) }

    /// When calls started, and what they are answered with.
    private final class Starts: Sendable {
        private let state = Mutex<(times: [Duration], throttles: Int)>(([], 0))
        var times: [Duration] { state.withLock { $0.times } }
        func throttleOnce() { state.withLock { $0.throttles = 1 } }

        func answer(at time: Duration) -> TransportResponse {
            let isThrottled = state.withLock { state in
                state.times.append(time)
                defer { state.throttles = 0 }
                return state.throttles > 0
            }
            return TransportResponse(
                head: isThrottled
                    ? HTTPResponse(status: .tooManyRequests, headerFields: [.retryAfter: "3"])
                    : HTTPResponse(status: .ok))
        }
    }

    private func process(_ connection: InMemorySharedStore.Connection, calls: Int = 5) -> RateLimitedTransport {
        let (clock, starts) = (clock, starts)
        let upstream = InMemoryTransport(clock: clock) { _, _ in starts.answer(at: clock.now.offset) }
        return RateLimitedTransport(
            upstream, account: "shop", requestsPerSecond: calls,
            fleet: Fleet(store: connection, sealing: PlainSealing(), processes: 2), name: "limit", clock: clock)
    }

    private func call(_ transport: RateLimitedTransport) -> Task<HTTPResponse.Status?, Never> {
        Task {
            let request = HTTPRequest(method: .get, scheme: "https", authority: "vendor.example", path: "/")
            let options = TransportOptions(timeout: .seconds(60), account: "shop")
            return try? await transport.send(request, body: [], options: options).status
        }
    }

    /// Moves the clock until all calls have ended.
    private func end(_ calls: [Task<HTTPResponse.Status?, Never>]) async -> [HTTPResponse.Status?] {
        let mover = Task {
            while !Task.isCancelled {
                try? await Task.sleep(for: .milliseconds(1))
                clock.advance(by: .milliseconds(20))
            }
        }
        defer { mover.cancel() }
        var ends: [HTTPResponse.Status?] = []
        for call in calls { ends.append(await call.value) }
        return ends
    }

    @Test func `two processes together keep the limit`() async {
        let processes = [process(store.connection()), process(store.connection())]
        let ends = await end((0..<20).map { call(processes[$0 % 2]) })
        #expect(ends.allSatisfy { $0 == .ok })
        let times = starts.times.sorted()
        #expect(times.count == 20)
        for (early, late) in zip(times, times.dropFirst(5)) { #expect(late - early >= .seconds(1)) }
    }

    @Test func `a Retry-After that one process sees stops all of them`() async throws {
        let processes = [process(store.connection()), process(store.connection())]
        _ = await end(processes.map { call($0) })
        starts.throttleOnce()
        #expect(await end([call(processes[0])]) == [.tooManyRequests])
        let throttled = try #require(starts.times.last)
        _ = await end((0..<6).map { call(processes[$0 % 2]) })
        let after = starts.times.dropFirst(3)
        #expect(after.count == 6)
        for time in after { #expect(time - throttled >= .seconds(3)) }
    }

    @Test func `without the store each process has its share, and with it again the limit is shared`() async {
        let connections = [store.connection(), store.connection()]
        let processes = connections.map { process($0, calls: 4) }
        _ = await end(processes.map { call($0) })
        store.isDown = true
        #expect(await end((0..<12).map { call(processes[$0 % 2]) }).allSatisfy { $0 == .ok })
        store.isDown = false
        #expect(await end((0..<12).map { call(processes[$0 % 2]) }).allSatisfy { $0 == .ok })
        let times = starts.times.sorted()
        for (early, late) in zip(times, times.dropFirst(4)) { #expect(late - early >= .seconds(1)) }
    }
}

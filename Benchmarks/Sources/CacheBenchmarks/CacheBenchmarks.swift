import Foundation
import Measuring
import Synchronization
import TokenBroker

/// A provider that immediately returns a token with the size of a checkout token.
struct Issuer: TokenProvider {
    static let secret = String(repeating: "x", count: 400)

    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        Token(secret: Secret(Self.secret), remaining: .seconds(3600))
    }
}

/// A mutex that closures share.
final class Guarded<Value: Sendable>: Sendable {
    let value: Mutex<Value>
    init(_ value: Value) { self.value = Mutex(value) }
}

/// Keeps the optimizer from removing an unused value.
@inline(never) func keep<Value>(_ value: Value) { withExtendedLifetime(value) {} }

let request = TokenRequest(customer: "cus_0123456789", invoice: "inv_0123456789")
let demand = TokenDemand(minimumRemaining: .seconds(120))

func requests(_ range: Range<Int>) -> [TokenRequest] {
    range.map { TokenRequest(customer: "cus_0123456789", invoice: "inv_\($0)") }
}

/// Makes `count` hits in total, from `tasks` concurrent tasks.
func hit(_ cache: CachingTokenProvider<Issuer>, count: Int, tasks: Int = 1) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<tasks {
            group.addTask {
                for _ in 0..<(count / tasks) { _ = try await cache.token(for: request, demand: demand) }
            }
        }
        try await group.waitForAll()
    }
}

func hotHits() async throws {
    let cache = CachingTokenProvider(Issuer())
    let token = try await cache.token(for: request, demand: demand)
    let one = Guarded(token)
    let many = Guarded([request: token])
    let cores = max(2, ProcessInfo.processInfo.activeProcessorCount)
    for tasks in [1, cores] {
        let count = 1_000_000
        let contenders = [
            Contender("Mutex<Token>, read", operations: count) {
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<tasks {
                        group.addTask { for _ in 0..<(count / tasks) { keep(one.value.withLock { $0 }) } }
                    }
                }
            },
            Contender("Mutex<[TokenRequest: Token]>, looked up", operations: count) {
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<tasks {
                        group.addTask { for _ in 0..<(count / tasks) { keep(many.value.withLock { $0[request] }) } }
                    }
                }
            },
            Contender("ContinuousClock, read", operations: count) {
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<tasks {
                        group.addTask { for _ in 0..<(count / tasks) { keep(ContinuousClock.now) } }
                    }
                }
            },
            Contender("CachingTokenProvider, a hit", operations: count) {
                try await hit(cache, count: count, tasks: tasks)
            },
        ]
        try await compare("A hot hit from \(tasks == 1 ? "one task" : "\(tasks) tasks at once")", contenders)
    }
}

func allocations() async throws {
    let (cache, count) = (CachingTokenProvider(Issuer()), 10_000)
    _ = try await cache.token(for: request, demand: demand)
    let before = allocationCount()
    // No call suspends, so everything stays on this thread.
    for _ in 0..<count { _ = try await cache.token(for: request, demand: demand) }
    print(
        "\n"
            + row(
                "Allocations per hot hit",
                String(format: "%.2f", Double(allocationCount() - before) / Double(count))))
}

/// Measures the memory that a cached token takes beyond its secret's own bytes.
func sizes() async throws {
    let count = 100_000
    let requests = requests(0..<count)
    let cache = CachingTokenProvider(Issuer(), maximumEntries: count)
    _ = try await cache.token(for: request)
    let before = allocatedBytes()
    for request in requests { _ = try await cache.token(for: request) }
    let bytes = Double(allocatedBytes() - before) / Double(count) - Double(Issuer.secret.utf8.count)
    print("\nA cached checkout token at \(count) entries")
    print(row("bytes beyond the token", String(format: "%.0f", bytes)))
    _ = try await cache.token(for: request)
    withExtendedLifetime(requests) {}
}

/// Measures a new request while the cache is full, which costs a fetch and an eviction.
func evictions() async throws {
    let count = 20_000
    var contenders: [Contender] = []
    for entries in [1_000, 10_000, 100_000] {
        let cache = CachingTokenProvider(Issuer(), maximumEntries: entries)
        for request in requests(0..<entries) { _ = try await cache.token(for: request) }
        let next = Guarded(entries)
        contenders.append(
            Contender("\(entries) entries", operations: count) {
                let first = next.value.withLock { next in
                    next += count
                    return next - count
                }
                for number in first..<(first + count) {
                    _ = try await cache.token(for: TokenRequest(customer: "cus_0123456789", invoice: "inv_\(number)"))
                }
            }
        )
    }
    try await compare("A miss that evicts", contenders)
}

/// A provider that returns tokens after 300 ms.
struct SlowIssuer: TokenProvider {
    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        try? await Task.sleep(for: .milliseconds(300))
        return Token(secret: Secret(Issuer.secret), remaining: .seconds(3600))
    }
}

/// Measures ten thousand concurrent callers without a token, in real time.
func stampede() async throws {
    let cache = CachingTokenProvider(SlowIssuer())
    let slowest = try await withThrowingTaskGroup(of: Duration.self) { group in
        for _ in 0..<10_000 {
            group.addTask {
                let start = ContinuousClock.now
                _ = try await cache.token(for: request, demand: demand)
                return start.duration(to: .now)
            }
        }
        return try await group.reduce(.zero) { max($0, $1) }
    }
    print("\n10,000 callers at expiry, with an issuer that responds after 300 ms")
    print(row("the longest wait", inNanoseconds(slowest / .nanoseconds(1))))
}

@main
enum CacheBenchmarks {
    static func main() async throws {
        try await hotHits()
        try await allocations()
        try await sizes()
        try await evictions()
        try await stampede()
    }
}

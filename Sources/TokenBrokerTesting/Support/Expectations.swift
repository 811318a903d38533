import Synchronization
import Testing
import TokenBroker

/// Records an issue that names both values, unless they are equal.
///
/// `#expect` shows no values for an expression with `try` or `await`; this does.
func expect<Value: Equatable>(
    _ found: Value, _ expected: Value, _ what: String = "", sourceLocation: SourceLocation = #_sourceLocation
) {
    if found == expected { return }
    let subject = what.isEmpty ? "" : "\(what): "
    Issue.record("\(subject)expected \(abridged(expected)), found \(abridged(found))", sourceLocation: sourceLocation)
}

/// Returns the value as text, without `Optional(…)`, and shortened, since a body of megabytes is not worth printing.
private func abridged(_ value: some Any) -> String {
    let mirror = Mirror(reflecting: value)
    if mirror.displayStyle == .optional { return mirror.children.first.map { abridged($0.value) } ?? "nil" }
    if let json = value as? JSONValue { return String(decoding: json.serialized, as: UTF8.self) }
    let text = "\(value)"
    return text.count > 300 ? "\(text.prefix(300))… (\(text.count) characters)" : text
}

/// Runs a case of a contract suite for at most `limit` of real time.
///
/// A case that takes longer is cancelled and recorded as a failure. It is not waited for, because the code under test
/// may not respond to cancellation.
/// - Parameters:
///   - runs: The number of times that the fixture ran its closure.
///   - method: The fixture's method, named in the issue that the fixture ran no closure.
func runCase(
    within limit: Duration, _ runs: Counter, _ method: String, _ body: @escaping @Sendable () async throws -> Void
) async throws {
    let hasEnded: Bool? = try await within(limit) {
        try await body()
        return true
    }
    if hasEnded == nil {
        Issue.record("expected the case to end within \(limit), found it still running; it was cancelled")
    } else if runs.value == 0 {
        Issue.record("expected the fixture's `\(method)` to run the closure it was given, found that it did not")
    }
}

/// Returns what `operation` returns, or throws ``Gate/Unmet`` if it takes longer than `time`.
func ended<Success: Sendable>(
    _ what: String, within time: Duration = .seconds(10), sourceLocation: SourceLocation = #_sourceLocation,
    _ operation: @escaping @Sendable () async throws -> Success
) async throws -> Success {
    if let value = try await within(time, operation) { return value }
    throw Gate.Unmet(what: what, time: time)
}

final class Counter: Sendable {
    private let count = Mutex(0)
    var value: Int { count.withLock { $0 } }

    @discardableResult
    func next() -> Int {
        count.withLock { count in
            count += 1
            return count
        }
    }
}

/// A gate that all waiting tasks pass once it is open.
final class Gate: Sendable {
    private let count = Counter()

    func open() { count.next() }

    /// Waits until the gate is open.
    /// - Throws: ``Unmet`` with `what` if it does not open in time.
    func wait(_ what: String) async throws {
        guard await eventually({ count.value > 0 }) else { throw Unmet(what: what) }
    }

    struct Unmet: Error, CustomStringConvertible {
        var what: String
        var time = RawConnection.timeout
        var description: String { "expected \(what) within \(time); it did not happen" }
    }
}

/// Polls until `condition` holds.
/// - Returns: Whether it held before `time` passed.
func eventually(within time: Duration = RawConnection.timeout, _ condition: () async -> Bool) async -> Bool {
    let clock = ContinuousClock()
    let deadline = clock.now + time
    while await !condition() {
        guard clock.now < deadline, (try? await Task.sleep(for: .milliseconds(5))) != nil else {
            return await condition()
        }
    }
    return true
}

/// Returns what `operation` returns, or `nil` if it takes longer than `time`. It is then cancelled and not waited for.
func within<Success: Sendable>(
    _ time: Duration, _ operation: @escaping @Sendable () async throws -> Success
) async throws -> Success? {
    try await withTimeLimit(time, Alarm(ContinuousClock()), mayAbandon: { true }, operation: operation)
}

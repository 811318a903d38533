#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
package import Logging
import Synchronization

/// A file with secrets or keys that may be rewritten at any time, read once for each change.
///
/// What was there last counts until the file has rested, so that a file that is rewritten in place is never read
/// half. It also counts while the file is missing or cannot be used, with one warning. A file has rested when it has
/// not changed for ``quiet``, by its own time of change or as seen by this process. Looking costs one system call
/// while nothing changes.
package final class RestingFile<Value: Sendable>: Sendable {
    /// How long a file may not have changed.
    private static var quiet: Duration { .milliseconds(500) }

    private struct State {
        var value: Value?
        /// Of the content that was read last, whether it could be used or not.
        var identity: FileIdentity?
        /// A change that may not be whole, and since when it has looked like this.
        var change: (identity: FileIdentity, since: Duration)?
        var isMissing = false
        /// Whether somebody waits for it to rest, or has given up. Everybody else goes on with what was there last.
        var isWaited = false
    }

    private enum Look {
        case unchanged
        case changed(SmallFile)
        case restless(Duration)
    }

    private let path: String
    private let maximumBytes: Int
    private let source: String
    private let logger: Logger?
    private let isSecret: Bool
    private let warned = Once()
    private let usesFileTimes: Bool
    private let stopwatch: Stopwatch
    private let sleep: @Sendable (Duration) async -> Void
    private let state = Mutex(State())

    /// - Parameters:
    ///   - path: Of a regular file of at most `maximumBytes`.
    ///   - isSecret: Whether to warn once if others than its owner can read it.
    ///   - clock: Measures how long it rests.
    ///   - logger: For that, and for what is wrong with it while what was there last is used.
    package init(
        path: String, maximumBytes: Int, isSecret: Bool = false, clock: some Clock<Duration> = ContinuousClock(),
        logger: Logger?
    ) {
        self.path = path
        self.maximumBytes = maximumBytes
        self.source = ConfiguredNames.file(path)
        self.logger = logger
        self.isSecret = isSecret
        // On another clock than the system's, the file's times mean nothing.
        usesFileTimes = clock is ContinuousClock
        stopwatch = Stopwatch(clock)
        sleep = { duration in try? await clock.sleep(for: duration) }
    }

    /// What is in the file, or what was there last. The caller that first sees a change waits for the file to rest.
    /// - Throws: If there has not been anything that can be used yet.
    package func value(
        _ parse: @Sendable ([UInt8]) async throws(CredentialError) -> Value
    ) async throws(CredentialError) -> Value {
        guard state.withLock({ $0.value }) != nil else {
            let file = try await restedAtFirst()
            let value = try await parse(file.bytes)
            return adopt(file, value)
        }
        do throws(CredentialError) {
            var look = try look()
            if case .restless = look, beginWaiting() {
                for _ in 0..<3 {
                    guard case .restless(let pause) = look else { break }
                    await sleep(pause)
                    look = try self.look()
                }
            }
            if case .changed(let file) = look {
                do throws(CredentialError) {
                    return adopt(file, try await parse(file.bytes))
                } catch {
                    note(file, error)
                }
            }
        } catch {
            noteMissing(error)
        }
        return try known()
    }

    /// The same without waiting, for those who cannot.
    package func currentValue(
        _ parse: ([UInt8]) throws(CredentialError) -> Value
    ) throws(CredentialError) -> Value {
        guard state.withLock({ $0.value }) != nil else {
            let file = try SmallFile(path: path, maximumBytes: maximumBytes, source: source, isAtRest: true)
            guard let file else { throw missing }
            return adopt(file, try parse(file.bytes))
        }
        do throws(CredentialError) {
            if case .changed(let file) = try look() {
                do throws(CredentialError) {
                    return adopt(file, try parse(file.bytes))
                } catch {
                    note(file, error)
                }
            }
        } catch {
            noteMissing(error)
        }
        return try known()
    }

    private var missing: CredentialError { CredentialError(.unreadable, source: source, message: "no such file") }

    /// At the start there is nothing that could be used meanwhile, so that a file that has just changed is waited for
    /// a little.
    private func restedAtFirst() async throws(CredentialError) -> SmallFile {
        for _ in 0..<10 {
            guard let file = try SmallFile(path: path, maximumBytes: maximumBytes, source: source) else {
                throw missing
            }
            // By the system's clock, as the file's times are.
            let wait = file.remainingRest
            if wait > .zero { try? await Task.sleep(for: wait) }
            if FileIdentity(path: path, in: AT_FDCWD) == file.identity { return file }
        }
        throw SmallFile.restless(source)
    }

    private func look() throws(CredentialError) -> Look {
        guard let identity = FileIdentity(path: path, in: AT_FDCWD) else { throw missing }
        let now = stopwatch.now
        let rest: Duration? = state.withLock { state in
            state.isMissing = false
            if state.identity == identity {
                (state.change, state.isWaited) = (nil, false)
                return nil
            }
            if state.change?.identity != identity { state.change = (identity, now) }
            return max(now - (state.change?.since ?? now), usesFileTimes ? identity.age : .zero)
        }
        guard let rest else { return .unchanged }
        guard rest >= Self.quiet else { return .restless(Self.quiet - rest) }
        guard let file = try SmallFile(path: path, maximumBytes: maximumBytes, source: source) else { throw missing }
        // It has been written to since.
        guard file.identity == identity, FileIdentity(path: path, in: AT_FDCWD) == identity else {
            return .restless(Self.quiet)
        }
        return .changed(file)
    }

    private func beginWaiting() -> Bool {
        state.withLock { state in
            defer { state.isWaited = true }
            return !state.isWaited
        }
    }

    private func known() throws(CredentialError) -> Value {
        guard let value = state.withLock({ $0.value }) else { throw missing }
        return value
    }

    private func adopt(_ file: SmallFile, _ value: Value) -> Value {
        if isSecret, file.isReadableByOthers, warned.first() {
            logger?.warning(
                "others than its owner can read a file with a secret; set its mode to 600",
                metadata: ["file": "\(source)"]
            )
        }
        state.withLock { $0 = State(value: value, identity: file.identity) }
        return value
    }

    /// Its content cannot be used.
    private func note(_ file: SmallFile, _ error: CredentialError) {
        state.withLock { $0 = State(value: $0.value, identity: file.identity) }
        warn(error)
    }

    private func noteMissing(_ error: CredentialError) {
        let isFirst = state.withLock { state in
            defer { (state.isMissing, state.isWaited) = (true, false) }
            return !state.isMissing
        }
        if isFirst { warn(error) }
    }

    private func warn(_ error: CredentialError) {
        logger?.warning(
            "a file cannot be used; what was there last counts", metadata: ["path": "\(path)", "error": "\(error)"]
        )
    }
}

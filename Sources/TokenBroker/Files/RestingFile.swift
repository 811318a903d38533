#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
package import Logging
import Synchronization

/// A file with secrets or keys that may be rewritten at any time. It is read once for each change.
///
/// The last valid content stays in use until the file has settled, so that a file that is rewritten in place is never
/// read half-written. The last content also stays in use while the file is missing or unusable, with one warning. A
/// file has settled when it has not changed for ``quiet``, by its own change time or as observed by this process. A
/// check costs one system call while nothing changes.
package final class RestingFile<Value: Sendable>: Sendable {
    /// How long a file must stay unchanged before it is read.
    private static var quiet: Duration { .milliseconds(500) }

    private struct State {
        var value: Value?
        /// The identity of the content that was read last, whether it was usable or not.
        var identity: FileIdentity?
        /// A change that may be incomplete, and the time since when it has looked like this.
        var change: (identity: FileIdentity, since: Duration)?
        var isMissing = false
        /// Whether a caller waits for the file to settle, or has given up. All other callers continue with the last
        /// content.
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

    /// Creates a file.
    ///
    /// - Parameters:
    ///   - path: The path of a regular file.
    ///   - maximumBytes: The largest size of the file.
    ///   - isSecret: Whether to warn once if the file is accessible to group or others.
    ///   - clock: Measures how long the file has not changed.
    ///   - logger: Receives that warning, and problems with the file while its last content stays in use.
    package init(
        path: String, maximumBytes: Int, isSecret: Bool = false, clock: some Clock<Duration> = ContinuousClock(),
        logger: Logger?
    ) {
        self.path = path
        self.maximumBytes = maximumBytes
        self.source = ConfiguredNames.file(path)
        self.logger = logger
        self.isSecret = isSecret
        // The file's times are on the system's clock and mean nothing on another one.
        usesFileTimes = clock is ContinuousClock
        stopwatch = Stopwatch(clock)
        sleep = { duration in try? await clock.sleep(for: duration) }
    }

    /// Returns the content of the file, or its last valid content. The first caller that sees a change waits for the
    /// file to settle.
    ///
    /// - Throws: ``CredentialError`` if there has not been any valid content yet.
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

    /// Returns the content of the file, or its last valid content, without suspending.
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

    /// Reads the file for the first time. There is no earlier content to use meanwhile, so if the file has just
    /// changed, this waits for it to settle.
    private func restedAtFirst() async throws(CredentialError) -> SmallFile {
        for _ in 0..<10 {
            guard let file = try SmallFile(path: path, maximumBytes: maximumBytes, source: source) else {
                throw missing
            }
            // This uses the system's clock, as the file's times do.
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
        // The file has been written to since.
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
                "a file with a secret is accessible to group or others; set its mode to 600",
                metadata: ["file": "\(source)"]
            )
        }
        state.withLock { $0 = State(value: value, identity: file.identity) }
        return value
    }

    /// Records that the content of the file is unusable.
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
            "a file cannot be used; its last valid content stays in use",
            metadata: ["path": "\(path)", "error": "\(error)"]
        )
    }
}

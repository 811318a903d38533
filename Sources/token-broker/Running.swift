#if CommandLineSupport
import Dispatch
import Logging
import ServiceLifecycle
import Synchronization
import TokenBroker
import UnixSignals

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Runs services until one fails or a signal asks to stop, then stops them in reverse order within `timeout`.
///
/// After a signal, the process exits with code 70 if it has not ended one second after `delay` and `timeout`.
/// - Parameters:
///   - delay: How long the services still run after a signal.
///   - willStop: Called as soon as a signal asks to stop, before the delay.
func run(
    _ services: [any Service], until signals: Signals? = nil, delay: Duration = .zero, timeout: Duration,
    logger: Logger, willStop: @escaping @Sendable () -> Void = {}
) async throws {
    let signals = if let signals { signals } else { await Signals(hangUp: .ends, logger: logger) }
    // The group's messages describe Swift types, which mean nothing to an operator.
    var groupLogger = logger
    groupLogger.logLevel = max(logger.logLevel, .notice)
    var configuration = ServiceGroupConfiguration(services: services, logger: groupLogger)
    configuration.maximumGracefulShutdownDuration = timeout
    let group = ServiceGroup(configuration: configuration)
    signals.onStop { signal in
        var metadata: Logger.Metadata = ["signal": "\(signal)", "timeout": "\(timeout.configured)"]
        if delay > .zero { metadata["delay"] = "\(delay.configured)" }
        logger.info("stopping", metadata: metadata)
        willStop()
        // Handles a service that does not even end when it is cancelled, on a thread that no service can block.
        let end = DispatchTime.now() + .milliseconds(Int((delay + timeout) / .milliseconds(1))) + .seconds(1)
        DispatchQueue(label: "token-broker.end").asyncAfter(deadline: end) {
            standardError.line("token-broker: did not stop within \(timeout.configured)")
            standardError.flush(within: .milliseconds(100))
            _exit(70)
        }
        Task {
            try? await Task.sleep(for: delay)
            await group.triggerGracefulShutdown()
        }
    }
    try await group.run()
}

/// The signals that a server handles. SIGTERM, SIGINT and SIGQUIT stop it gracefully, and a second one at once.
final class Signals: Sendable {
    /// The meaning of SIGHUP.
    enum HangUp {
        /// Ends the server, because its terminal was closed. Ignored if the server was started with `nohup`.
        case ends
        /// Logs that nothing is reloaded.
        case isTold
    }

    private let stop = Mutex<(@Sendable (UnixSignal) -> Void)?>(nil)

    /// Starts to handle signals. Until ``onStop(_:)`` is called, a signal to stop ends the process at once.
    init(hangUp: HangUp, logger: Logger) async {
        var trapped: [UnixSignal] = [.sigterm, .sigint, .sigquit]
        if !Self.isHangUpIgnored { trapped.append(.sighup) }
        let signals = await UnixSignalsSequence(trapping: trapped)
        Task { [self] in
            for await signal in signals {
                if signal == .sighup, hangUp == .isTold {
                    logger.notice("SIGHUP: nothing is reloaded; restart the program to apply a changed configuration")
                } else if let stop = stop.withLock({ $0.take() }) {
                    stop(signal)
                } else {
                    _exit(128 + signal.rawValue)
                }
            }
        }
    }

    /// Calls `action` for the first signal to stop.
    func onStop(_ action: @escaping @Sendable (UnixSignal) -> Void) { stop.withLock { $0 = action } }

    private static var isHangUpIgnored: Bool {
        let previous = signal(SIGHUP, SIG_IGN)
        signal(SIGHUP, previous)
        // Compares numbers, because functions cannot be compared. SIG_IGN is a number in place of a function.
        return unsafeBitCast(previous, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
    }
}

/// Announces something once signals are handled and the services run. It must be the last service.
struct Announcement: Service {
    let announce: @Sendable () -> Void

    func run() async {
        announce()
        try? await gracefulShutdown()
    }
}

/// Returns the URL of a server.
func address(_ host: String, _ port: Int) -> String { "http://\(Host(bare: host)?.description ?? host):\(port)" }
#endif

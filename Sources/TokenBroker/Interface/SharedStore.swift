/// A store that the processes of a fleet share: their tokens and the rate limit of their account.
///
/// **Use one.** A ``Fleet`` puts a store together with what else its processes have in common.
///
/// **Write one.** Keep the promises of ``SharedTokens`` and ``SharedRateLimit``, and report the connection to every
/// observer. A store gets names and sealed bytes only; it learns no id, secret or token. Everything it keeps must end
/// by itself.
///
/// **Test one.** `SharedStoreContract` in `TokenBrokerTesting` checks the promises of both protocols over your fixture.
/// To test code that uses a store, pass an `InMemorySharedStore` from the same module.
public protocol SharedStore: SharedTokens, SharedRateLimit, HealthReporting {
    /// The longest time that a process takes to notice that the store is lost or back. The default is 600 ms.
    var detection: Duration { get }

    /// Registers a closure that is called with each event, in order, as long as the store exists.
    ///
    /// After an error of a call, the store reports ``SharedStoreEvent/disconnected`` and, once it can be used again,
    /// ``SharedStoreEvent/connected``. If the store is connected, the closure is called with
    /// ``SharedStoreEvent/connected`` before this method returns. It is called from any thread and must not block.
    func observe(_ observer: @escaping @Sendable (SharedStoreEvent) -> Void)
}

extension SharedStore {
    /// The default time, 600 ms.
    public var detection: Duration { .milliseconds(600) }
}

/// Something that happened in a shared store, whichever process caused it.
///
/// Events can be lost together with the connection. Nothing depends on them but the time that things take.
public enum SharedStoreEvent: Sendable, Hashable {
    /// The store can be used. It may have lost its content, or be another one than before.
    case connected
    /// The store cannot be used. Calls fail at once until ``connected``.
    case disconnected
    /// A fetch has ended under this name, with a token, with a failure or without a result.
    case landed(name: String)
    /// The token with this tag was refused by the server.
    case revoked(tag: String)
    /// All calls under this rate limit stop for a time.
    case coolDown(limit: String, time: Duration)
}

/// The reason why a shared store gave no answer. Safe to log: it holds a code and this package's own words.
public struct SharedStoreError: SafeToLog, Sendable, Hashable {
    /// The kind of error.
    public var code: Code
    /// A fixed explanation, without addresses, keys or what the store said.
    public var message: String

    /// Creates an error.
    ///
    /// - Parameters:
    ///   - code: The kind of error.
    ///   - message: A fixed explanation, without addresses, keys or what the store said.
    public init(_ code: Code, message: String = "") {
        self.code = code
        self.message = message
    }

    /// The code and the message. Safe to log.
    public var description: String { message.isEmpty ? "\(code)" : "\(code): \(message)" }

    /// The kind of error.
    public enum Code: String, Sendable, Hashable, CustomStringConvertible {
        /// There is no connection.
        case disconnected
        /// The store did not answer in time. What was asked of it may have happened.
        case timedOut = "timed_out"
        /// The store refused the call, or answered something else than expected.
        case refused

        /// The name of the code. Safe to log.
        public var description: String { rawValue }
    }
}

/// What the processes of a fleet have in common.
public struct Fleet: Sendable {
    /// The store that they share.
    public var store: any SharedStore
    /// Names and seals what goes into the store.
    public var sealing: any Sealing
    /// The number of processes, at least 1. While the store is lost, each uses this share of the rate limit.
    public var processes: Int

    /// Creates a fleet.
    ///
    /// - Parameters:
    ///   - store: The store that the processes share.
    ///   - sealing: Names and seals what goes into the store.
    ///   - processes: The number of processes.
    public init(store: any SharedStore, sealing: any Sealing, processes: Int) {
        self.store = store
        self.sealing = sealing
        self.processes = max(1, processes)
    }
}

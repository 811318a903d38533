/// A part that holds more than memory, such as threads or connections.
///
/// **Use one.** A `Broker` shuts down its parts in the reverse of the order in which they were built. ``shutDown(_:)`` does the same for parts
/// of your own, and reaches through decorators.
///
/// **Write one.** Let go of everything, and return when it is gone. A decorator conforms to ``Composite`` instead, so that what it decorates is
/// found.
public protocol ShutsDown: Sendable {
    /// Returns when everything is let go of. It may be called more than once.
    func shutdown() async
}

/// Shuts down `parts` and what they consist of, the last first.
public func shutDown(_ parts: [any Sendable]) async {
    for part in parts.flatMap({ components(of: $0, as: (any ShutsDown).self) }).reversed() { await part.shutdown() }
}

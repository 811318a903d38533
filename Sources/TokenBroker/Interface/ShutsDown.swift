/// A part that holds more than memory, such as threads or connections.
///
/// **Use one.** A `Broker` shuts down its parts in the reverse of the order in which they were built. ``shutDown(_:)``
/// does the same for your own parts, including those inside decorators.
///
/// **Write one.** Release everything, and return when it is released. A decorator conforms to ``Composite`` instead, so
/// that the part it decorates is found.
public protocol ShutsDown: Sendable {
    /// Releases everything, and returns when that is done. It may be called more than once.
    func shutdown() async
}

/// Shuts down `parts` and the parts they consist of, in reverse order.
public func shutDown(_ parts: [any Sendable]) async {
    for part in parts.flatMap({ components(of: $0, as: (any ShutsDown).self) }).reversed() { await part.shutdown() }
}

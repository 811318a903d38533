/// A part that consists of other parts, such as a decorator, a combination, or an authenticator with a source of keys.
///
/// A query that concerns every part of a broker, such as for its ``HealthReporting`` or for shutdown, finds the parts
/// through this protocol.
///
/// **Write one.** Conform every type that holds a part supplied by somebody else.
public protocol Composite: Sendable {
    /// The parts of this one, in the order in which they were built.
    var components: [any Sendable] { get }
}

/// Returns every part of `value`, and `value` itself, that conforms to `type`, such as `(any HealthReporting).self`.
public func components<Component>(of value: any Sendable, as type: Component.Type) -> [Component] {
    let itself = (value as? Component).map { [$0] } ?? []
    guard let composite = value as? any Composite else { return itself }
    return composite.components.flatMap { components(of: $0, as: type) } + itself
}

/// A policy that calls the vendor. When such a policy times out, the vendor is the slow one.
protocol AsksVendor {}

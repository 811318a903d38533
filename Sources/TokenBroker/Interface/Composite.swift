/// A part that consists of others, such as a decorator, a combination, or an authenticator with a source of keys.
///
/// Whatever asks all parts of a broker something, such as for their ``HealthReporting`` or to shut down, finds them
/// through this. **Write one.** Conform whatever holds a part of somebody else's.
public protocol Composite: Sendable {
    /// The parts that it consists of, in the order in which they were built.
    var components: [any Sendable] { get }
}

/// What of `value` and of all that it consists of conforms to `type`, such as `(any HealthReporting).self`.
public func components<Component>(of value: any Sendable, as type: Component.Type) -> [Component] {
    let itself = (value as? Component).map { [$0] } ?? []
    guard let composite = value as? any Composite else { return itself }
    return composite.components.flatMap { components(of: $0, as: type) } + itself
}

/// A policy that asks the vendor. When it takes too long, the vendor is what is slow.
protocol AsksVendor {}

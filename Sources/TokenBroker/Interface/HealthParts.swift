/// Consists of parts that tell how they do, such as an authenticator that fetches keys.
///
/// **Use one.** The composer adds the parts of the authenticator and the policy to those of the broker.
///
/// **Write one.** Conform an authenticator or a policy that depends on something outside, unless it is a single part
/// that is ``HealthReporting`` itself. A decorator forwards what ``healthParts(of:)`` finds in what it decorates.
public protocol HealthParts: Sendable {
    /// Its parts; none if nothing outside is needed.
    var healthParts: [any HealthReporting] { get }
}

/// What `value` is, as far as it tells how it does: itself if it is ``HealthReporting``, and its ``HealthParts``.
public func healthParts(of value: Any) -> [any HealthReporting] {
    let itself = (value as? any HealthReporting).map { [$0] } ?? []
    return itself + ((value as? any HealthParts)?.healthParts ?? [])
}

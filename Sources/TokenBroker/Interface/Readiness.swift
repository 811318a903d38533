/// Tells whether it can do its work, for a load balancer.
///
/// **Use one.** `GET /readyz` asks on each call, so the answer must be cheap: no call to the vendor.
///
/// **Write one.** Not ready means that no request can succeed until somebody acts here: credentials that cannot be
/// loaded or are refused. A vendor's outage is no reason, since it would take every instance out of rotation at once.
public protocol ReadinessReporting: Sendable {
    func readiness() async -> Readiness
}

/// Whether requests can be served.
public struct Readiness: Sendable, Hashable {
    /// Whether requests can be served.
    public var isReady: Bool
    /// A short code for the operator, such as `credentials_refused`; `nil` when ready.
    public var reason: String?

    /// Requests can be served.
    public static let ready = Self(isReady: true, reason: nil)
    /// Somebody must act, for the reason given.
    public static func notReady(_ reason: String) -> Self { Self(isReady: false, reason: reason) }
}

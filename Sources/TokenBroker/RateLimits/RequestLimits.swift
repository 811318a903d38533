/// The limits that a ``CheckoutTokenEndpoint`` puts on its callers.
///
/// The defaults suit a shop whose vendor allows five calls a second. A visitor with many open invoices never notices
/// them, and no visitor can use up the vendor's limit or find invoices by trial and error. Refused requests count as
/// well.
public struct RequestLimits: Sendable {
    /// The quota of each client address; `nil` for no limit. An IPv6 address counts by its first 64 bits. The quota is
    /// checked before authentication, so that guessed proofs count, too.
    public var perAddress: Quota? = Quota(perMinute: 120, burst: 30)
    /// The quota of each ``Principal``; `nil` for no limit.
    public var perPrincipal: Quota? = Quota(perMinute: 20, burst: 10)
    /// The quota of each ``Principal`` for replacements of a refused token, which are never served from a cache; `nil`
    /// for no limit other than ``perPrincipal``.
    public var replacementsPerPrincipal: Quota? = Quota(perMinute: 4, burst: 3)
    /// The number of addresses, and the number of principals, that are tracked. When it is reached, the least recently
    /// seen one is forgotten.
    public var trackedCallers = 50_000
    /// The trusted proxies in front of the server. `Forwarded`, `X-Forwarded-For` and `X-Forwarded-Host` are believed
    /// only from these proxies. If the list covers practically every address, as with `0.0.0.0/0`, no one is believed.
    public var trustedProxies: [IPAddressBlock] = []
    /// The number of requests that may be in progress at once. Further ones are told to try again later.
    public var concurrentRequests = 1_000

    /// Creates the default limits.
    public init() {}

    /// Limits without quotas, for local development or where something in front of the server enforces quotas.
    public static let withoutQuotas: RequestLimits = {
        var limits = RequestLimits()
        (limits.perAddress, limits.perPrincipal, limits.replacementsPerPrincipal) = (nil, nil, nil)
        return limits
    }()
}

/// What a ``CheckoutTokenEndpoint`` takes from its callers.
///
/// The defaults suit a shop in front of a vendor that allows five calls a second: a visitor with many open invoices
/// never notices them, and no visitor can use up the vendor's limit or go through invoices by trial. Refused requests
/// count as well.
public struct RequestLimits: Sendable {
    /// For each client address, an IPv6 address counting by its first 64 bits; `nil` for no limit. It is looked at
    /// before it is asked who asks, so that guesses at a proof count, too.
    public var perAddress: Quota? = Quota(perMinute: 120, burst: 30)
    /// For each ``Principal``; `nil` for no limit.
    public var perPrincipal: Quota? = Quota(perMinute: 20, burst: 10)
    /// For each ``Principal``, how often it may ask for a token in place of one that was refused, which is never
    /// served from a cache; `nil` for no limit but ``perPrincipal``.
    public var replacementsPerPrincipal: Quota? = Quota(perMinute: 4, burst: 3)
    /// How many addresses, and how many principals, are kept in mind. Beyond, the one that asked longest ago is
    /// forgotten.
    public var trackedCallers = 50_000
    /// The proxies in front of the server: from them, and from nobody else, `Forwarded`, `X-Forwarded-For` and
    /// `X-Forwarded-Host` are believed. If practically everybody is among them, such as with `0.0.0.0/0`, nobody is
    /// believed.
    public var trustedProxies: [IPAddressBlock] = []
    /// How many requests may be under way at once. Further ones are told to come back.
    public var concurrentRequests = 1_000

    /// The defaults.
    public init() {}

    /// Without quotas: for one's own machine, or where something in front has them.
    public static let withoutQuotas: RequestLimits = {
        var limits = RequestLimits()
        (limits.perAddress, limits.perPrincipal, limits.replacementsPerPrincipal) = (nil, nil, nil)
        return limits
    }()
}

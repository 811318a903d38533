import Synchronization

/// Enforces the quotas of ``RequestLimits`` and its limit on concurrent requests.
final class CallerQuotas: Sendable {
    private let limits: RequestLimits
    private let addresses: ClientAddresses
    private let alarm: Alarm
    private let underWay = Atomic(0)
    private let hasWarned = Atomic(false)
    private let perAddress: Mutex<QuotaMeter<AddressKey>?>
    private let perPrincipal: Mutex<QuotaMeter<PrincipalKey>?>
    private let replacements: Mutex<QuotaMeter<PrincipalKey>?>

    /// A 128-bit hash of a principal, which may have any length. The hasher's seed is random in each process and never
    /// leaves it, so a caller cannot construct a collision.
    private struct PrincipalKey: Hashable {
        var first: Int
        var second: Int

        init(_ principal: Principal) {
            func hash(_ salt: Int) -> Int {
                var hasher = Hasher()
                hasher.combine(salt)
                hasher.combine(principal.tenant)
                hasher.combine(principal.subject)
                return hasher.finalize()
            }
            (first, second) = (hash(1), hash(2))
        }
    }

    init(_ limits: RequestLimits, _ alarm: Alarm) {
        self.limits = limits
        self.addresses = ClientAddresses(trustedProxies: limits.trustedProxies)
        self.alarm = alarm
        let capacity = limits.trackedCallers
        perAddress = Mutex(limits.perAddress.map { QuotaMeter($0, capacity: capacity) })
        perPrincipal = Mutex(limits.perPrincipal.map { QuotaMeter($0, capacity: capacity) })
        replacements = Mutex(limits.replacementsPerPrincipal.map { QuotaMeter($0, capacity: capacity) })
    }

    /// Returns whether there is room for another request. If so, call ``leave()`` when the request is done.
    func enter() -> Bool {
        if underWay.wrappingAdd(1, ordering: .relaxed).newValue <= limits.concurrentRequests { return true }
        leave()
        return false
    }

    func leave() { underWay.wrappingSubtract(1, ordering: .relaxed) }

    /// Counts a request of the client address that sent it.
    ///
    /// - Returns: `nil` if the request is within the quota; otherwise the time until it would be.
    func takeForAddress(of request: EndpointRequest) -> Duration? {
        guard limits.perAddress != nil else { return nil }
        let key = AddressKey(addresses.client(of: request))
        return perAddress.withLock { $0?.take(key, at: alarm.now) }
    }

    /// Counts a request of a principal.
    ///
    /// - Returns: `nil` if the request is within the quota; otherwise the time until it would be.
    func take(for principal: Principal) -> Duration? {
        perPrincipal.withLock { $0?.take(PrincipalKey(principal), at: alarm.now) }
    }

    /// Counts a principal's request to replace a refused token, which always costs a call to the vendor.
    ///
    /// - Returns: `nil` if the request is within the quota; otherwise the time until it would be.
    func takeReplacement(for principal: Principal) -> Duration? {
        replacements.withLock { $0?.take(PrincipalKey(principal), at: alarm.now) }
    }

    /// Returns whether all clients seem to share one quota because a proxy is not listed. Returns `true` only once.
    func shouldWarnOfUnlistedProxy(_ request: EndpointRequest) -> Bool {
        guard limits.perAddress != nil, !hasWarned.load(ordering: .relaxed),
            addresses.seemsToComeThroughUnlistedProxy(request)
        else { return false }
        return !hasWarned.exchange(true, ordering: .relaxed)
    }
}

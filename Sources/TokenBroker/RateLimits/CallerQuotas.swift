import Synchronization

/// Keeps the quotas of ``RequestLimits``, and its limit of requests at once.
final class CallerQuotas: Sendable {
    private let limits: RequestLimits
    private let addresses: ClientAddresses
    private let alarm: Alarm
    private let underWay = Atomic(0)
    private let hasWarned = Atomic(false)
    private let perAddress: Mutex<QuotaMeter<AddressKey>?>
    private let perPrincipal: Mutex<QuotaMeter<PrincipalKey>?>
    private let replacements: Mutex<QuotaMeter<PrincipalKey>?>

    /// 128 bits that stand for a principal of any length. The hasher's seed is another in each process and known to
    /// nobody, so that nobody can make two of them meet.
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

    /// Whether there is room for another request. If so, ``leave()`` has to follow.
    func enter() -> Bool {
        if underWay.wrappingAdd(1, ordering: .relaxed).newValue <= limits.concurrentRequests { return true }
        leave()
        return false
    }

    func leave() { underWay.wrappingSubtract(1, ordering: .relaxed) }

    /// Counts a request of the client that sent it.
    /// - Returns: `nil` if it is within the quota; otherwise how long until it would be.
    func takeForAddress(of request: EndpointRequest) -> Duration? {
        guard limits.perAddress != nil else { return nil }
        let key = AddressKey(addresses.client(of: request))
        return perAddress.withLock { $0?.take(key, at: alarm.now) }
    }

    /// The same for whoever asks.
    func take(for principal: Principal) -> Duration? {
        perPrincipal.withLock { $0?.take(PrincipalKey(principal), at: alarm.now) }
    }

    /// The same for asking for a token in place of one that was refused, each of which costs a call to the vendor.
    func takeReplacement(for principal: Principal) -> Duration? {
        replacements.withLock { $0?.take(PrincipalKey(principal), at: alarm.now) }
    }

    /// Whether all clients share one quota by mistake. Only ever `true` once.
    func shouldWarnOfUnlistedProxy(_ request: EndpointRequest) -> Bool {
        guard limits.perAddress != nil, !hasWarned.load(ordering: .relaxed),
            addresses.seemsToComeThroughUnlistedProxy(request)
        else { return false }
        return !hasWarned.exchange(true, ordering: .relaxed)
    }
}

/// The slots of a cache by request, bounded in number.
///
/// Slots are stored in an array without gaps, and a dictionary maps each request to its index. Eviction follows the
/// clock algorithm: a hand goes around, skips the slots that were used since its last visit, and evicts the next one
/// that was not. Using a slot moves nothing, and the cost of adding one does not depend on the number of slots.
struct SlotTable: Sendable {
    private struct Entry {
        var request: TokenRequest
        var slot: TokenSlot
    }

    private let maximumCount: Int
    private var entries: [Entry] = []
    private var places: [TokenRequest: Int] = [:]
    private var hand = 0
    /// The index of the next slot that is checked for being idle.
    private var sweeper = 0
    /// The index of the slot that was looked up last. The next lookup often wants the same slot; for access tokens it
    /// always does.
    private var latest = 0
    /// The highest flight number of all removed slots. A flight that they abandoned may still land, and must not be
    /// mistaken for a new slot's flight.
    private var lastFlight: TokenSlot.FlightID = 0

    /// How many slots the hand visits in search of an unused one, before it takes a used one.
    private static let reach = 32

    init(maximumCount: Int) { self.maximumCount = maximumCount }

    var count: Int { entries.count }

    subscript(place: Int) -> TokenSlot {
        _read { yield entries[place].slot }
        _modify { yield &entries[place].slot }
    }

    var requestsWithFlights: [TokenRequest] { entries.filter { !$0.slot.flights.isEmpty }.map(\.request) }

    var requestsOfSupersededTokens: [TokenRequest] {
        entries.filter { $0.slot.kept?.token.lineage.state == .superseded }.map(\.request)
    }

    /// Returns the expiry of the usable token that lives longest; `nil` if there is none.
    func longestEnd(now: Duration) -> Duration? {
        entries.lazy.compactMap { $0.slot.usableEnd(now: now) }.max()
    }

    /// Returns the index of a request's slot. The index is valid until a slot is added.
    func place(of request: TokenRequest) -> Int? {
        // Comparing is faster than hashing.
        if latest < entries.count, entries[latest].request == request { return latest }
        return places[request]
    }

    mutating func served(
        _ request: TokenRequest, _ demand: TokenDemand, now: Duration
    ) -> (token: Token, isDue: Bool)? {
        guard let place = place(of: request) else { return nil }
        latest = place
        entries[place].slot.wasUsed = true
        return entries[place].slot.served(demand, now: now)
    }

    /// Returns the index of a request's slot, and adds a slot if there is none.
    mutating func place(for request: TokenRequest, now: Duration) -> (place: Int, evicted: Bool) {
        if let place = place(of: request) { return (place, false) }
        sweep(now: now)
        let victim = entries.count >= maximumCount ? victim() : nil
        if let victim {
            leave(victim)
            entries[victim] = Entry(request: request, slot: TokenSlot(lastFlight: lastFlight))
        } else {
            entries.append(Entry(request: request, slot: TokenSlot(lastFlight: lastFlight)))
        }
        let place = victim ?? entries.count - 1
        places[request] = place
        return (place, victim != nil)
    }

    /// Removes idle slots. Checks two slots for each one that is added.
    private mutating func sweep(now: Duration) {
        for _ in 0..<2 where !entries.isEmpty {
            if sweeper >= entries.count { sweeper = 0 }
            // Slots beyond the limit were admitted because of fetches that were under way.
            let isExcess = entries.count > maximumCount && entries[sweeper].slot.flights.isEmpty
            guard isExcess || entries[sweeper].slot.isIdle(now: now) else {
                sweeper += 1
                continue
            }
            leave(sweeper)
            let last = entries.removeLast()
            if sweeper < entries.count {
                entries[sweeper] = last
                places[last.request] = sweeper
            }
        }
    }

    private mutating func leave(_ place: Int) {
        lastFlight = max(lastFlight, entries[place].slot.lastFlight)
        places[entries[place].request] = nil
    }

    /// Returns the index of the slot to evict; `nil` if every slot in reach is being fetched, and the table has to
    /// exceed its limit.
    private mutating func victim() -> Int? {
        var used: Int?
        for _ in 0..<min(Self.reach, entries.count) {
            if hand >= entries.count { hand = 0 }
            let place = hand
            hand += 1
            guard entries[place].slot.flights.isEmpty else { continue }
            if !entries[place].slot.wasUsed { return place }
            entries[place].slot.wasUsed = false
            used = used ?? place
        }
        return used
    }
}

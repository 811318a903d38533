/// The slots of a cache by request, bounded in number.
///
/// Slots stand in an array without gaps, and a dictionary tells where. Room is made as a clock does it: a hand goes around, passes over
/// what was used since it last came by, and takes out the next that was not. Nothing is moved for a slot that is used, and what a new one
/// costs does not depend on how many there are.
struct SlotTable: Sendable {
    private struct Entry {
        var request: TokenRequest
        var slot: TokenSlot
    }

    private let maximumCount: Int
    private var entries: [Entry] = []
    private var places: [TokenRequest: Int] = [:]
    private var hand = 0
    /// Goes around for slots that are over.
    private var sweeper = 0
    /// Where the last one stood that was asked for; often it is the next as well, always so for access tokens.
    private var latest = 0
    /// Of the slots that were taken out: what they gave up on may land yet, and must not be taken for another's.
    private var lastFlight: TokenSlot.FlightID = 0

    /// How far the hand goes for one that was not used, before it takes one that was.
    private static let reach = 32

    init(maximumCount: Int) { self.maximumCount = maximumCount }

    var count: Int { entries.count }

    subscript(place: Int) -> TokenSlot {
        _read { yield entries[place].slot }
        _modify { yield &entries[place].slot }
    }

    var requestsWithFlights: [TokenRequest] { entries.filter { !$0.slot.flights.isEmpty }.map(\.request) }

    /// When the token ends that can be used for longest; `nil` if there is none.
    func longestEnd(now: Duration) -> Duration? {
        entries.lazy.compactMap { $0.slot.usableEnd(now: now) }.max()
    }

    /// Where the slot for `request` is; valid until one is added.
    func place(of request: TokenRequest) -> Int? {
        // Equality is found out sooner than a hash.
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

    /// Where the slot for `request` is, a new one if there was none.
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

    /// Takes out what is over, two looks for each slot that is added.
    private mutating func sweep(now: Duration) {
        for _ in 0..<2 where !entries.isEmpty {
            if sweeper >= entries.count { sweeper = 0 }
            // What is beyond the limit was let in because of what was being fetched then.
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

    /// What makes room; `nil` if everything in reach is being fetched, and the limit gives way.
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

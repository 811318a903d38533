/// A dictionary of bounded size. When it is full, the least recently used key makes room, in constant time.
package struct BoundedMap<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let capacity: Int
    private var places: [Key: Int] = [:]
    private var entries: [Entry] = []
    /// Both ends of the linked list of entries, which is ordered by last use.
    private var newest = -1
    private var oldest = -1

    private struct Entry {
        var key: Key
        var value: Value
        var newer: Int
        var older: Int
    }

    /// - Parameter capacity: The maximum number of keys, at least 1.
    package init(capacity: Int) { self.capacity = max(1, capacity) }

    /// The number of keys.
    package var count: Int { entries.count }

    /// The value of a key. Reading it does not count as using the key.
    package subscript(key: Key) -> Value? { places[key].map { entries[$0].value } }

    /// Changes the value of a key, and makes the key the most recently used one.
    /// - Parameter initial: The value of a new key.
    package mutating func update<Answer>(
        _ key: Key, default initial: @autoclosure () -> Value, _ body: (inout Value) -> Answer
    ) -> Answer {
        let place = place(of: key, initial)
        return body(&entries[place].value)
    }

    /// Returns the index of a key, which becomes the most recently used one.
    private mutating func place(of key: Key, _ initial: () -> Value) -> Int {
        if let place = places[key] {
            guard place != newest else { return place }
            unlink(place)
            link(place)
            return place
        }
        var place = entries.count
        let entry = Entry(key: key, value: initial(), newer: -1, older: -1)
        if place < capacity {
            entries.append(entry)
        } else {
            place = oldest
            unlink(place)
            places[entries[place].key] = nil
            entries[place] = entry
        }
        places[key] = place
        link(place)
        return place
    }

    private mutating func unlink(_ place: Int) {
        let (newer, older) = (entries[place].newer, entries[place].older)
        if newer == -1 { newest = older } else { entries[newer].older = older }
        if older == -1 { oldest = newer } else { entries[older].newer = newer }
    }

    private mutating func link(_ place: Int) {
        entries[place].newer = -1
        entries[place].older = newest
        if newest == -1 { oldest = place } else { entries[newest].newer = place }
        newest = place
    }
}

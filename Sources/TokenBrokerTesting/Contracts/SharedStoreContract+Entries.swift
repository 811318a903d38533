import Testing
import TokenBroker

/// Cases for tokens and failures in the store.
extension SharedStoreContract {
    static let entries: [Case] = [
        Case("a token that landed comes to every process, with what remains of its life") { subject in
            let (name, clock) = (newName(), ContinuousClock())
            try await land(landing("one", entry: [7, 0, 255]), name, subject.first)
            let landed = clock.now
            try await Task.sleep(for: .milliseconds(200))
            for store in [subject.first, subject.second] {
                let passed = clock.now - landed
                guard case .token(let token) = try await store.claim(name, claim()) else {
                    Issue.record("expected the token that landed, found none")
                    continue
                }
                expect(token.entry, [7, 0, 255], "the entry")
                expect(token.tag, "one", "the tag")
                let longest = .seconds(50) - passed + .milliseconds(10)
                expectTime(token.remaining, .seconds(20), longest, "the remaining lifetime")
            }
        },
        Case("an entry's bytes arrive unchanged") { subject in
            let bytes = (0..<102_400).map { UInt8(truncatingIfNeeded: $0 &+ $0 / 256) }
            let names = [newName(), newName()]
            try await land(landing("one", entry: bytes), names[0], subject.first)
            try await land(failure(entry: bytes), names[1], subject.first)
            for name in names {
                switch try await subject.second.claim(name, claim()) {
                case .token(let found):
                    expect(found.entry == bytes, true, "whether the 100 KiB of a token are what they were")
                case .failure(let found):
                    expect(found.entry == bytes, true, "whether the 100 KiB of a failure are what they were")
                case .lead, .follow: Issue.record("expected the token or the failure that landed, found neither")
                }
            }
        },
        Case("a token ends when its life has passed") { subject in
            let (name, clock) = (newName(), ContinuousClock())
            let begin = clock.now
            let short = landing("short", remaining: .milliseconds(600), life: .milliseconds(600))
            try await land(short, name, subject.first)
            // Once the token is due, the first of these claims holds the lease.
            let hasEnded = await eventually(within: .seconds(10)) {
                guard let answer = try? await subject.second.claim(name, claim()) else { return false }
                guard case .token(let token) = answer else { return kind(answer) == "to follow" }
                expectTime(token.remaining, .zero, .milliseconds(600), "the remaining lifetime")
                return false
            }
            expect(hasEnded, true, "whether a token with a life of 600 ms ends within 10 s")
            expectTime(clock.now - begin, .milliseconds(590), .seconds(20), "the time until then")
        },
        Case("a demand for more life than tokens have is met as far as half of it") { subject in
            let demanding = claim(minimumRemaining: .seconds(3600))
            let names = [newName(), newName(), newName()]
            try await land(landing("new", remaining: .seconds(100)), names[0], subject.first)
            try await expectClaim(subject.second, names[0], demanding, "the token new", "a claim of a new token")
            try await land(landing("old", remaining: .seconds(40)), names[1], subject.first)
            try await expectClaim(
                subject.second, names[1], demanding, "the lead", "a claim of a token with less than half of its life")
            try await expectClaim(
                subject.first, names[1], demanding, "to follow", "the same claim by another process")
            try await land(landing("old", remaining: .seconds(45)), names[2], subject.first)
            try await expectClaim(
                subject.second, names[2], claim(minimumRemaining: .seconds(10)), "the token old",
                "a claim that the token meets")
        },
        Case("a token in the last third of its life is renewed by one, and served to the others") { subject in
            let name = newName()
            try await land(landing("old", remaining: .seconds(35)), name, subject.first)
            let first = claim()
            try await expectClaim(subject.second, name, first, "the lead", "the first claim of a token that is due")
            for store in [subject.first, subject.second] {
                try await expectClaim(store, name, claim(), "the token old", "a later claim of a token that is due")
            }
            let hasLanded = try await subject.second.land(
                name, owner: first.owner, landing("new", remaining: .seconds(100)))
            expect(hasLanded, true, "whether the owner still held the lease")
            try await expectClaim(subject.first, name, claim(), "the token new", "a claim after the renewal")
        },
        Case("a token that hardly meets a demand is renewed by one, and served to the others") { subject in
            let name = newName()
            let demanding = claim(minimumRemaining: .seconds(3600))
            try await land(landing("old", remaining: .seconds(58)), name, subject.first)
            try await expectClaim(subject.second, name, demanding, "the lead", "the first claim")
            try await expectClaim(subject.first, name, demanding, "the token old", "the same claim by another process")
        },
        Case("a token that was refused is deleted, and no other") { subject in
            let name = newName()
            let events = [StoreEvents(of: subject.first), StoreEvents(of: subject.second)]
            try await land(landing("old"), name, subject.first)
            try await expectClaim(
                subject.second, name, claim(replacing: "another"), "the token old",
                "a claim that replaces another token")
            let replacing = claim(replacing: "old")
            try await expectClaim(subject.second, name, replacing, "the lead", "a claim that replaces the token")
            try await expectClaim(subject.first, name, claim(), "to follow", "a claim after the token was refused")
            for events in events { await events.expect(.revoked(tag: "old"), "the event `revoked` in every process") }
            let hasLanded = try await subject.second.land(name, owner: replacing.owner, landing("new"))
            expect(hasLanded, true, "whether the owner still held the lease")
            try await expectClaim(
                subject.first, name, claim(replacing: "old"), "the token new",
                "a late claim that replaces the old token")
        },
        Case("every process learns of a token that was refused, even if the store has lost it") { subject in
            let name = newName()
            let events = [StoreEvents(of: subject.first), StoreEvents(of: subject.second)]
            // A store that has just connected may not get events yet.
            try await land(landing("other"), newName(), subject.first)
            _ = await eventually(within: .seconds(1)) { events.allSatisfy { $0.all.count > 1 } }
            try await expectClaim(
                subject.first, name, claim(replacing: "lost"), "the lead",
                "a claim that replaces a token that is not there")
            for events in events { await events.expect(.revoked(tag: "lost"), "the event `revoked` in every process") }
        },
        Case("a token that one process cannot use stays for the others") { subject in
            let name = newName()
            try await land(landing("strange"), name, subject.first)
            let ignoring = claim(ignoring: "strange")
            try await expectClaim(subject.second, name, ignoring, "the lead", "a claim that ignores the token")
            try await expectClaim(subject.first, name, claim(), "the token strange", "a claim by another process")
            try await expectClaim(
                subject.first, name, claim(ignoring: "strange"), "to follow", "a second claim that ignores the token")
        },
        Case("a failure is shared until it ends") { subject in
            let (name, clock) = (newName(), ContinuousClock())
            let begin = clock.now
            try await land(failure(.milliseconds(1500), entry: [9]), name, subject.first)
            let answer = try await subject.second.claim(name, claim())
            expect(kind(answer), "the failure", "a claim after a failure")
            if case .failure(let found) = answer {
                expect(found.entry, [9], "the entry")
                expectTime(found.remaining, .zero, .milliseconds(1500), "the time until the next fetch")
            }
            let leads = await eventually(within: .seconds(10)) {
                await (try? subject.second.claim(name, claim())) == .lead
            }
            expect(leads, true, "whether a failure ends within 10 s of its 1.5 s")
            expectTime(clock.now - begin, .milliseconds(1490), .seconds(20), "the time until then")
        },
        Case("a failure that one process cannot read does not hold it up") { subject in
            let name = newName()
            try await land(failure(), name, subject.first)
            try await expectClaim(
                subject.second, name, claim(ignoresFailure: true), "the lead", "a claim that ignores the failure")
            try await expectClaim(subject.first, name, claim(), "the failure", "a claim by another process")
        },
        Case("a failure hides no token, and ends with the next one") { subject in
            let name = newName()
            try await land(landing("old", remaining: .seconds(35)), name, subject.first)
            try await land(failure(), name, subject.first)
            try await expectClaim(
                subject.second, name, claim(), "the token old", "a claim of a token that is due, after a failure")
            try await land(landing("new"), name, subject.first, claim(ignoresFailure: true))
            try await expectClaim(
                subject.second, name, claim(ignoring: "new"), "the lead", "a claim beside the token after the failure")
        },
    ]
}

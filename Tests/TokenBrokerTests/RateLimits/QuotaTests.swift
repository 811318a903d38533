import HTTPTypes
import Testing

@testable import TokenBroker

struct QuotaMeterTests {
    @Test func `a burst is available at once and is restored one by one`() {
        // One every 6 seconds.
        var meter = QuotaMeter<Int>(Quota(perMinute: 10, burst: 3), capacity: 10)
        for _ in 0..<3 { #expect(meter.take(1, at: .seconds(100)) == nil) }
        #expect(meter.take(1, at: .seconds(100)) == .seconds(6))
        #expect(meter.take(2, at: .seconds(100)) == nil)
        #expect(meter.take(1, at: .seconds(104)) == .seconds(2))
        // The refusal did not make the wait longer.
        #expect(meter.take(1, at: .seconds(106)) == nil)
        #expect(meter.take(1, at: .seconds(106)) == .seconds(6))
        // After a long pause the whole burst is available again, but no more.
        for _ in 0..<3 { #expect(meter.take(1, at: .seconds(1000)) == nil) }
        #expect(meter.take(1, at: .seconds(1000)) != nil)
    }

    @Test func `no window exceeds the quota, and a caller that waits as told is served`() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<20 {
            let quota = Quota(
                perMinute: .random(in: 1...600, using: &generator), burst: .random(in: 1...20, using: &generator))
            var meter = QuotaMeter<Int>(quota, capacity: 1)
            var (now, served) = (Duration.zero, [Duration]())
            for _ in 0..<300 {
                now += .milliseconds(Int.random(in: 0...500, using: &generator))
                if let wait = meter.take(1, at: now) {
                    guard Bool.random(using: &generator) else { continue }
                    now += wait
                    #expect(meter.take(1, at: now) == nil)
                }
                served.append(now)
            }
            for (index, start) in served.enumerated() {
                let inMinute = served[index...].prefix { $0 < start + .seconds(60) }.count
                #expect(inMinute <= quota.perMinute + quota.burst)
            }
        }
    }

    @Test func `a quota's memory is bounded and forgets the longest unused key`() {
        var meter = QuotaMeter<Int>(Quota(perMinute: 1, burst: 1), capacity: 3)
        for key in 1...3 { #expect(meter.take(key, at: .zero) == nil) }
        // A refused attempt also counts as use of a key.
        #expect(meter.take(1, at: .zero) != nil)
        #expect(meter.take(4, at: .zero) == nil)
        #expect(meter.count == 3)
        for key in [1, 3, 4] { #expect(meter.take(key, at: .zero) != nil) }
        #expect(meter.take(2, at: .zero) == nil)
        for key in 0..<100_000 { _ = meter.take(key, at: .zero) }
        #expect(meter.count == 3)
    }

    @Test func `extreme quotas do not overflow`() {
        var generous = QuotaMeter<Int>(Quota(perMinute: 1, burst: .max), capacity: 1)
        var fast = QuotaMeter<Int>(Quota(perMinute: .max, burst: 1), capacity: 1)
        var nothing = QuotaMeter<Int>(Quota(perMinute: -1, burst: 0), capacity: 0)
        for second in 0..<1000 {
            #expect(generous.take(1, at: .seconds(second)) == nil)
            #expect(fast.take(1, at: .seconds(second)) == nil)
            _ = nothing.take(1, at: .seconds(second))
        }
    }
}

struct ClientAddressTests {
    private func client(_ peer: String?, trusting blocks: [String], _ fields: [(String, String)]) throws -> IPAddress? {
        var head = HTTPRequest(method: .post, scheme: "http", authority: "a", path: "/")
        for (name, value) in fields {
            head.headerFields.append(HTTPField(name: try #require(HTTPField.Name(name)), value: value))
        }
        let addresses = ClientAddresses(trustedProxies: try blocks.map { try #require(IPAddressBlock($0)) })
        return addresses.client(
            of: EndpointRequest(head: head, peer: peer.flatMap { $0 == "unix" ? .unixSocket : PeerAddress(ip: $0) }))
    }

    private static let proxies = ["10.0.0.0/8", "2001:db8:1::/48", "127.0.0.1"]

    @Test(arguments: [
        // A peer that is not listed is not trusted.
        ("203.0.113.5", [("X-Forwarded-For", "198.51.100.1")], "203.0.113.5"),
        ("203.0.113.5", [("Forwarded", "for=198.51.100.1")], "203.0.113.5"),
        ("10.1.1.1", [], "10.1.1.1"),
        ("10.1.1.1", [("X-Forwarded-For", "198.51.100.1")], "198.51.100.1"),
        // The client's own entries are further left.
        ("10.1.1.1", [("X-Forwarded-For", "192.0.2.66, 198.51.100.1")], "198.51.100.1"),
        ("10.1.1.1", [("X-Forwarded-For", "10.9.9.9, 198.51.100.1, 10.2.2.2")], "198.51.100.1"),
        ("10.1.1.1", [("X-Forwarded-For", "192.0.2.66"), ("X-Forwarded-For", "198.51.100.1")], "198.51.100.1"),
        ("10.1.1.1", [("X-Forwarded-For", "10.2.2.2")], "10.2.2.2"),
        ("10.1.1.1", [("X-Forwarded-For", "198.51.100.1:4711")], "198.51.100.1"),
        ("10.1.1.1", [("X-Forwarded-For", "[2001:db8:7::1]:80")], "2001:db8:7::1"),
        ("10.1.1.1", [("X-Forwarded-For", "198.51.100.1, nonsense")], "10.1.1.1"),
        ("10.1.1.1", [("X-Forwarded-For", "")], "10.1.1.1"),
        ("::ffff:10.1.1.1", [("X-Forwarded-For", "::ffff:198.51.100.1")], "198.51.100.1"),
        ("2001:db8:1::9", [("Forwarded", #"for="[2001:db8:7::1]:4711";proto=https"#)], "2001:db8:7::1"),
        ("10.1.1.1", [("Forwarded", #"For=192.0.2.66, for="198.51.100.1:80" ; by=10.1.1.1"#)], "198.51.100.1"),
        ("10.1.1.1", [("Forwarded", "for=192.0.2.66"), ("Forwarded", "for=198.51.100.1")], "198.51.100.1"),
        ("10.1.1.1", [("Forwarded", "for=unknown")], "10.1.1.1"),
        ("10.1.1.1", [("Forwarded", #"for="_secret""#)], "10.1.1.1"),
        // A quotation that the client leaves open does not hide the proxy's entry, and does not become the client's
        // address.
        ("10.1.1.1", [("Forwarded", #"for="192.0.2.66, for=198.51.100.1"#)], "10.1.1.1"),
        ("10.1.1.1", [("Forwarded", "for=192.0.2.66;for=192.0.2.67")], "10.1.1.1"),
        // The proxy sets one of the fields; the other one is the client's.
        ("10.1.1.1", [("Forwarded", "for=192.0.2.66"), ("X-Forwarded-For", "198.51.100.1")], "10.1.1.1"),
        ("10.1.1.1", [("Forwarded", "for=198.51.100.1"), ("X-Forwarded-For", "198.51.100.1")], "198.51.100.1"),
        // A Unix-domain socket.
        ("unix", [("X-Forwarded-For", "198.51.100.1")], "198.51.100.1"),
    ])
    func `the client's address is taken from a listed proxy`(
        peer: String, fields: [(String, String)], expected: String
    ) throws {
        let found = try client(peer, trusting: Self.proxies, fields)
        #expect(found == IPAddress(expected), "\(peer) \(fields)")
    }

    @Test func `an unknown peer has no address`() throws {
        #expect(try client(nil, trusting: Self.proxies, [("X-Forwarded-For", "198.51.100.1")]) == nil)
        #expect(try client("nonsense", trusting: [], []) == nil)
    }

    @Test func `a long chain of proxies is not followed to its end`() throws {
        let long = "198.51.100.1, " + Array(repeating: "10.2.2.2", count: 1000).joined(separator: ", ")
        #expect(try client("10.1.1.1", trusting: Self.proxies, [("X-Forwarded-For", long)]) == IPAddress("10.2.2.2"))
    }
}

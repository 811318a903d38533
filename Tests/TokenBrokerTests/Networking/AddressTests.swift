import HTTPTypes
import TestSupport
import Testing
import TokenBroker

struct AddressTests {
    @Test(arguments: [
        ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.0", false), ("192.0.2.7", "192.0.2.7", true),
        ("192.0.2.7", "192.0.2.8", false), ("0.0.0.0/0", "203.0.113.9", true), ("0.0.0.0/0", "::1", false),
        ("10.0.0.0/9", "10.127.255.255", true), ("10.0.0.0/9", "10.128.0.0", false),
        ("fd00::/8", "fdff::1", true), ("fd00::/8", "fe00::1", false), ("::/0", "2001:db8::1", true),
        ("2001:db8::/33", "2001:db8:7fff::1", true), ("2001:db8::/33", "2001:db8:8000::1", false),
        ("10.0.0.0/8", "::ffff:10.1.2.3", true), ("::ffff:10.0.0.0/104", "10.1.2.3", true),
        ("::ffff:10.0.0.1", "10.0.0.1", true), ("::/0", "::ffff:10.0.0.1", false),
    ])
    func `an address block contains its addresses`(_ block: String, _ address: String, _ contains: Bool) throws {
        #expect(try #require(IPAddressBlock(block)).contains(try #require(IPAddress(address))) == contains)
    }

    @Test(arguments: [
        "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0.1/8",
        "10.0.0/8", "010.0.0.0/8", "10.0.0.0/ 8", " 10.0.0.0/8", "10.0.0.0/8\0", "10.0.0.0\0/8", "fd00::/129",
        "fd00::1/8", "fd00:::/8", "[fd00::]/8", "fe80::%eth0/64", "localhost", "0x0a.0.0.0/8", "10.0.0.0/٨",
        "1.2.3.4.5", "::ffff:10.0.0.0/95",
    ])
    func `a text that is not an address block is rejected`(_ text: String) { #expect(IPAddressBlock(text) == nil) }

    @Test func `random text never crashes the parser of address blocks`() {
        var generator = SeededGenerator(seed: 7)
        let pieces = ["10", ".", "0", "/", ":", "::", "ff", "255", "8", "\0", "é", "-", "[", "%", "128", "ffff"]
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 0...9, using: &generator))
                .map { _ in pieces[Int.random(in: 0..<pieces.count, using: &generator)] }.joined()
            guard let block = IPAddressBlock(text) else { continue }
            // A block contains the address that it is written with.
            let address = IPAddress(text.prefix { $0 != "/" })
            #expect(address.map { block.contains($0) } == true, "\(text)")
        }
    }

    @Test(arguments: [
        ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::1", "::1"),
    ])
    func `an address is written in the usual form and read back as the same`(
        _ text: String, _ expected: String
    ) throws {
        let peer = try #require(PeerAddress(ip: text))
        #expect(peer.description == expected)
        #expect(PeerAddress(ip: peer.description) == peer)
    }

    @Test(arguments: ["", "unix", "localhost", "192.0.2.1:80", "[::1]", "fe80::1%eth0", "192.0.2.1 "])
    func `a peer is an address and no other text`(_ text: String) { #expect(PeerAddress(ip: text) == nil) }

    @Test func `a peer on a Unix socket is on this machine`() {
        #expect(PeerAddress.unixSocket.isLoopback)
        #expect(PeerAddress.unixSocket.ipAddress == nil)
    }

    @Test(arguments: [
        ("https://shop.example", "/"), ("https://shop.example/", "/"), ("https://shop.example/a?b=c", "/a?b=c"),
        ("https://shop.example?b", "/?b"), ("HTTPS://shop.example:8443/a", "/a"), ("http://localhost:1/a", "/a"),
        ("http://[::1]:1/a", "/a"),
    ])
    func `a URL of a server is split into its parts`(_ text: String, _ path: String) throws {
        #expect(try ServerURL(text).path == path)
    }

    @Test(arguments: [
        "", "shop.example", "//shop.example", "http://shop.example", "ftp://localhost", "https://", "https:///a",
        "https://user@shop.example", "https://shop.example/#a", "https://shop.example/a b",
        "https://shop.example/\r\nX: 1",
        "https://shop.example:port/", "http://localhost.evil.example/", "http://127.0.0.1.evil.example/",
    ])
    func `a text that is not a secure URL is refused`(_ text: String) {
        #expect(throws: ServerURL.Invalid.self) { try ServerURL(text) }
    }
}

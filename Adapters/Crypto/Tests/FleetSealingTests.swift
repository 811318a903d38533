#if CryptoSupport
import Foundation
import Testing
import TokenBroker
import TokenBrokerCrypto

@Suite struct `The sealing of a fleet` {
    private static func key(_ byte: UInt8) -> Secret { Secret(Data(repeating: byte, count: 32).base64EncodedString()) }
    private let sealing: FleetSealing
    private let content = Array("sentinel-token".utf8)

    init() throws { sealing = try FleetSealing(keys: [Self.key(1), Self.key(2)]) }

    @Test func `what was sealed opens under its own name only`() throws {
        let sealed = try #require(sealing.seal(content, as: "name"))
        #expect(sealing.open(sealed, as: "name") == content)
        #expect(sealing.open(sealed, as: "other") == nil)
        #expect(!String(decoding: sealed, as: UTF8.self).contains("sentinel"))
        #expect(sealing.seal(content, as: "name") != sealed)
    }

    @Test func `no changed byte goes unnoticed`() throws {
        let sealed = try #require(sealing.seal(content, as: "name"))
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 1
            #expect(sealing.open(changed, as: "name") == nil)
        }
        for count in 0..<sealed.count { #expect(sealing.open(Array(sealed.prefix(count)), as: "name") == nil) }
        #expect(sealing.open(sealed + [0], as: "name") == nil)
    }

    @Test func `the first key seals, and all of them open`() throws {
        let old = try FleetSealing(keys: [Self.key(2)])
        let next = try FleetSealing(keys: [Self.key(3), Self.key(1)])
        let sealed = try #require(old.seal(content, as: "name"))
        #expect(sealing.open(sealed, as: "name") == content)
        #expect(next.open(sealed, as: "name") == nil)
        let own = try #require(sealing.seal(content, as: "name"))
        #expect(next.open(own, as: "name") == content)
        #expect(old.open(own, as: "name") == nil)
    }

    @Test func `names depend on the first key and the message, and digests on the message only`() throws {
        let same = try FleetSealing(keys: [Self.key(1)])
        let other = try FleetSealing(keys: [Self.key(2), Self.key(1)])
        #expect(sealing.name(for: content) == same.name(for: content))
        #expect(sealing.name(for: content) != other.name(for: content))
        #expect(sealing.name(for: content) != sealing.name(for: [1]))
        #expect(sealing.digest(of: content) == other.digest(of: content))
        #expect(sealing.digest(of: Array("abc".utf8)) == "ba7816bf8f01cfea414140de5dae2223")
        #expect(sealing.name(for: content).count == 32)
    }

    @Test(arguments: [[], ["c2hvcnQ="], ["not base64, but as long as a key would be"]])
    func `keys that cannot be used are refused without showing them`(_ keys: [String]) {
        let error = #expect(throws: FleetSealing.InvalidKeys.self) { try FleetSealing(keys: keys.map { Secret($0) }) }
        #expect(error?.description.contains("c2hv") == false && error?.description.contains("not base64") == false)
    }

    @Test func `a dump shows no key`() {
        var text = ""
        dump(sealing, to: &text)
        #expect(!text.contains("Symmetric"))
    }
}
#endif

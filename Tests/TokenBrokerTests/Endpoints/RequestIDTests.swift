import HTTPTypes
import Testing

@testable import TokenBroker

@Suite struct `The id of a request` {
    private func id(_ names: [String], from peer: PeerAddress?, trusting proxy: String = "10.0.0.0/8") throws -> String
    {
        let field = try #require(RequestID.field)
        var head = HTTPRequest(method: .post, scheme: "https", authority: "pay.example", path: "/")
        for name in names { head.headerFields.append(HTTPField(name: field, value: name)) }
        let addresses = ClientAddresses(trustedProxies: [try #require(IPAddressBlock(proxy))])
        return RequestID(EndpointRequest(head: head, body: EndpointBody([]), peer: peer), addresses).text
    }

    private func isRandom(_ id: String) -> Bool { id.count == 16 && id.allSatisfy(\.isHexDigit) }

    @Test(arguments: ["a", "7d44", "A.b-c_9", String(repeating: "x", count: 128)])
    func `a listed proxy names it`(name: String) throws {
        #expect(try id([name], from: PeerAddress(ip: "10.1.2.3")) == name)
        #expect(try id([name], from: .unixSocket, trusting: "127.0.0.1") == name)
    }

    @Test(
        arguments: [
            [], [""], [" "], ["a b"], ["a,b"], ["a=b"], ["ä"], ["a\"b"], [String(repeating: "x", count: 129)],
            ["a", "b"], ["a", "a"],
        ] as [[String]])
    func `anything else than one well-formed name is replaced`(names: [String]) throws {
        #expect(isRandom(try id(names, from: PeerAddress(ip: "10.1.2.3"))))
    }

    @Test func `nobody else names it`() throws {
        for peer in [PeerAddress(ip: "192.0.2.1"), .unixSocket, nil] {
            #expect(isRandom(try id(["mine"], from: peer)))
        }
    }

    @Test func `no two made ids are alike`() throws {
        let ids = try (0..<100).map { _ in try id([], from: nil) }
        #expect(Set(ids).count == 100)
    }
}

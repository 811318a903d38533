import Foundation
import HTTPTypes
import Testing
import TestSupport
import TokenBroker

struct ForwardedAuthenticatorTests {
    private static let secret = "a-secret-of-the-proxy"
    private static let user = field("X-User")
    private static let proxySecret = field("X-Proxy-Secret")
    private static let customers = field("X-Customers")

    private static func field(_ name: String) -> HTTPField.Name { HTTPField.Name(name) ?? .from }

    private func authenticator(
        secret: String? = secret, peers: [String] = [], tenant: Bool = false
    ) -> ForwardedAuthenticator {
        ForwardedAuthenticator(
            subject: Self.user, tenant: tenant ? HTTPField.Name("X-Tenant") : nil,
            claims: ["customers": Self.customers],
            secretField: Self.proxySecret, secrets: secret.map { SharedSecrets(variable: "S", in: ["S": $0]) },
            peers: peers.compactMap { IPAddressBlock($0) }
        )
    }

    private func request(
        _ fields: [(String, String)] = [("X-User", "anna"), ("X-Proxy-Secret", secret)], peer: String? = "192.0.2.1"
    ) -> EndpointRequest {
        var head = HTTPRequest(method: .post, scheme: "https", authority: "pay.example", path: "/")
        for (name, value) in fields { head.headerFields.append(HTTPField(name: Self.field(name), value: value)) }
        return EndpointRequest(head: head, peer: peer.flatMap { $0 == "unix" ? .unixSocket : PeerAddress(ip: $0) })
    }

    @Test func `forwarded identity counts if the proxy sends its secret`() async throws {
        #expect(try await authenticator().principal(in: request()) == Principal(subject: "anna"))
    }

    @Test(arguments: [
        [("X-User", "anna")],
        [("X-User", "anna"), ("X-Proxy-Secret", "")],
        [("X-User", "anna"), ("X-Proxy-Secret", "a-secret-of-the-prox")],
        [("X-User", "anna"), ("X-Proxy-Secret", "a-secret-of-the-proxY")],
        [("X-User", "anna"), ("X-Proxy-Secret", secret), ("X-Proxy-Secret", secret)],
        [("X-User", "anna"), ("X-Proxy-Secret", "guess"), ("X-Proxy-Secret", secret)],
        [("X-Proxy-Secret", secret)],
        [("X-User", ""), ("X-Proxy-Secret", secret)],
        [("X-User", "  "), ("X-Proxy-Secret", secret)],
        [("X-User", "anna"), ("X-User", "anna"), ("X-Proxy-Secret", secret)],
        [("X-User", "anna"), ("x-user", "bob"), ("X-Proxy-Secret", secret)],
        [("X-User", "anna, bob"), ("X-Proxy-Secret", secret)],
        [("X-User", String(repeating: "a", count: 256)), ("X-Proxy-Secret", secret)],
        [("X-User", "anna"), ("X-Customers", "cus_1"), ("X-Customers", "cus_2"), ("X-Proxy-Secret", secret)],
    ])
    func `a request without exactly one user and one right proxy secret is unauthenticated`(
        _ fields: [(String, String)]
    ) async throws {
        #expect(try await authenticator().principal(in: request(fields)) == nil)
    }

    @Test(arguments: [
        ("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("fd00::1", true), ("11.0.0.1", false), ("unix", false),
        (nil, false), ("not an address", false),
    ])
    func `forwarded identity counts if the proxy has a trusted address`(_ peer: String?, _ isProxy: Bool) async throws {
        let authenticator = authenticator(secret: nil, peers: ["10.0.0.0/8", "fd00::/8"])
        let principal = try await authenticator.principal(in: request([("X-User", "anna")], peer: peer))
        #expect((principal != nil) == isProxy)
    }

    @Test func `a proxy configured with both secret and addresses has to match both`() async throws {
        let authenticator = authenticator(peers: ["10.0.0.0/8"])
        #expect(try await authenticator.principal(in: request(peer: "10.0.0.1")) != nil)
        #expect(try await authenticator.principal(in: request(peer: "11.0.0.1")) == nil)
        #expect(try await authenticator.principal(in: request([("X-User", "anna")], peer: "10.0.0.1")) == nil)
    }

    @Test func `forwarded identity never counts without a secret or trusted addresses`() async throws {
        #expect(try await authenticator(secret: nil).principal(in: request()) == nil)
    }

    @Test(arguments: [
        ["0.0.0.0/0", "::/0"], ["0.0.0.0/0"], ["::ffff:0:0/96"], ["0.0.0.0/1", "128.0.0.0/1"], ["::/0"], ["2000::/3"],
    ])
    func `trusted peers that cover everyone are trusted only with a secret`(peers: [String]) async throws {
        for peer in ["192.0.2.1", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            #expect(try await authenticator(secret: nil, peers: peers).principal(in: request(peer: peer)) == nil)
        }
        #expect(try await authenticator(peers: ["0.0.0.0/0"]).principal(in: request()) != nil)
    }

    @Test(
        arguments: [[0x80], [0xC3, 0x28], [0xED, 0xA0, 0x80], [0xC0, 0xAF], Array("\u{FFFD}".utf8), [0xFF, 0xFE]]
            as [[UInt8]])
    func `an identity field that may not be UTF-8 authenticates no one`(bytes: [UInt8]) async throws {
        let value = Array("cus_".utf8) + bytes
        for broken in ["X-User", "X-Tenant", "X-Customers"] {
            var request = request([("X-Proxy-Secret", Self.secret)])
            for name in ["X-User", "X-Tenant", "X-Customers"] {
                let bytes = name == broken ? value : Array("a".utf8)
                request.head.headerFields.append(HTTPField(name: Self.field(name), lenientValue: bytes))
            }
            #expect(try await authenticator(tenant: true).principal(in: request) == nil, "\(broken)")
        }
    }

    @Test func `an identity field in UTF-8 is passed on unchanged`() async throws {
        for value in ["cafe\u{301}", "caf\u{e9}", "\u{301}", "a\u{301},b".replacing(",", with: ";"), "\u{a0}a"] {
            let principal = try await authenticator().principal(
                in:
                    request([("X-User", value), ("X-Proxy-Secret", Self.secret)]))
            #expect(principal.map { Array($0.subject.utf8) } == Array(value.utf8))
        }
        // A combining mark after a comma does not hide the comma.
        let fields = [("X-User", "anna"), ("X-Proxy-Secret", Self.secret), ("X-Customers", "a,\u{301}b")]
        #expect(
            try await authenticator().principal(in: request(fields))?.claims == [
                "customers": .array(["a", "\u{301}b"])
            ])
        let hidden = [("X-User", "anna,\u{301}bob"), ("X-Proxy-Secret", Self.secret)]
        #expect(try await authenticator().principal(in: request(hidden)) == nil)
    }

    @Test func `commas in a claim's field make the claim a list`() async throws {
        let fields = [("X-User", "anna"), ("X-Proxy-Secret", Self.secret)]
        let one = try await authenticator().principal(in: request(fields + [("X-Customers", " cus_1 ")]))
        #expect(one?.claims == ["customers": "cus_1"])
        let two = try await authenticator().principal(in: request(fields + [("X-Customers", "cus_1, cus_2,")]))
        #expect(two?.claims == ["customers": .array(["cus_1", "cus_2"])])
        #expect(try await authenticator().principal(in: request(fields + [("X-Customers", "")]))?.claims == [:])
    }

    @Test func `a request without the required tenant is unauthenticated`() async throws {
        let fields = [("X-User", "anna"), ("X-Proxy-Secret", Self.secret)]
        #expect(try await authenticator(tenant: true).principal(in: request(fields)) == nil)
        let principal = try await authenticator(tenant: true).principal(in: request(fields + [("X-Tenant", "shop")]))
        #expect(principal?.tenant == "shop")
    }

    @Test func `both secrets of a proxy count while one replaces the other`() async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let authenticator = ForwardedAuthenticator(
            subject: Self.user, secretField: Self.proxySecret, secrets: SharedSecrets(file: path)
        )
        func isBelieved(_ secret: String) async throws -> Bool {
            try await authenticator.principal(in: request([("X-User", "anna"), ("X-Proxy-Secret", secret)])) != nil
        }
        try "the-old-secret-of-it\n".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(try await isBelieved("the-old-secret-of-it"))
        try "the-new-secret-of-it\nthe-old-secret-of-it\n".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(try await isBelieved("the-old-secret-of-it"))
        #expect(try await isBelieved("the-new-secret-of-it"))
        try "the-new-secret-of-it\n".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(try await !isBelieved("the-old-secret-of-it"))
        for broken in [
            "", "\n", "short", "a-secret-long-enough\nshort", String(repeating: "a-secret-long-enough\n", count: 5),
        ] {
            try broken.write(toFile: path, atomically: true, encoding: .utf8)
            #expect(try await isBelieved("the-new-secret-of-it"))
            #expect(try await !isBelieved("short"))
            #expect(try await !isBelieved("a-secret-long-enough"))
        }
        try FileManager.default.removeItem(atPath: path)
        #expect(try await isBelieved("the-new-secret-of-it"))
        // A file that never existed gives no secret.
        let none = SharedSecrets(file: path)
        #expect(await #expect(throws: CredentialError.self) { try await none.current() }?.code == .unreadable)
    }

    @Test func `identity forwarded by a proxy counts as proof that a browser may have attached`() {
        #expect(authenticator().proof(in: request()) == .ambient)
        #expect(authenticator().proof(in: request([("X-User", "a"), ("Authorization", "bearer x")])) == .presented)
        #expect(authenticator().proof(in: request([("Cookie", "a=b")])) == .presented)
    }

    @Test(arguments: [
        ([], Proof.presented), ([("Cookie", "a=b")], .ambient), ([("Authorization", "Basic x")], .ambient),
        ([("Authorization", "Bearer x"), ("Cookie", "a=b")], .presented),
        ([("Authorization", "Negotiate x"), ("Cookie", "a=b")], .ambient),
    ])
    func `by default the request's fields decide the kind of proof`(_ fields: [(String, String)], _ proof: Proof) {
        #expect(ClosureAuthenticator { _ in nil }.proof(in: request(fields)) == proof)
    }
}

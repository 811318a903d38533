import Foundation
import HTTPTypes
import Testing
import TokenBroker
import TokenBrokerTesting

@Suite struct WireFormatTraps {
    @Test func `id and secret are form-encoded before they are joined and base64-encoded`() async {
        let complaints = await World.run(orders: 1) { world in
            world.update(("id+%:=&", "se cret: é"))
            _ = world.now()
            let field = world.issuer.calls.first?.request.headerFields[.authorization] ?? ""
            let pair = Data(base64Encoded: String(field.dropFirst(6))).map { String(decoding: $0, as: UTF8.self) }
            world.expect(pair == "id%2B%25%3A%3D%26:se+cret%3A+%C3%A9", "\(pair as Any)")
        }
        #expect(complaints == [])
    }

    @Test(
        arguments: [
            MisbehavingIssuer.Behaviour.answersError(), .answersNothing, .answersHTML(status: .ok), .truncatesJSON,
            .floods(), .neverEnds, .answersHTML(),
        ])
    func `nonsense with a success status is neither a token nor a permanent failure`(
        behaviour: MisbehavingIssuer.Behaviour
    ) async {
        let complaints = await World.run(orders: 1) { world in
            for step in [MisbehavingIssuer.Step.accessToken, .checkoutToken] {
                world.issuer.then(behaviour, at: step)
                let caller = world.checkout()
                world.settle()
                world.expect(caller.error?.code == .unavailable, "\(caller.result as Any)")
                world.pass(.seconds(2))
                let next = world.checkout()
                world.settle()
                world.expect(next.token != nil, "\(next.result as Any)")
                world.pass(.seconds(5000))
            }
        }
        #expect(complaints == [])
    }

    @Test(
        arguments: [("bearer", true), ("Bearer", true), ("BEARER", true), (nil, true), ("", true), ("mac", false)])
    func `token_type may be missing, is compared without case, and is checked`(type: String?, isGood: Bool) async {
        let complaints = await World.run(orders: 1) { world in
            world.issuer.otherwise(.issues(type: type))
            world.expect((world.now().token != nil) == isGood, "\(type as Any)")
        }
        #expect(complaints == [])
    }

    @Test(arguments: [301, 302, 303, 307, 308])
    func `a redirect is not followed, and the secret is not sent again`(status: Int) async {
        let complaints = await World.run(orders: 1) { world in
            world.issuer.otherwise(.redirects(.init(code: status), to: "https://vendor.example/oauth/token?again"))
            world.expect(world.now().error?.code == .unavailable, "followed")
            world.expect(world.issuer.calls.count == 1, "\(world.issuer.calls.count) calls")
        }
        #expect(complaints == [])
    }
}

@Suite struct KeyAndFileTraps {
    @Test func `the cache key has every part of the request`() async {
        let complaints = await World.run { world in
            let requests = [
                TokenRequest(), TokenRequest(tenant: "a"), TokenRequest(tenant: "b"), TokenRequest(scopes: ["a"]),
                TokenRequest(scopes: ["a", "b"]), TokenRequest(audience: "a"), TokenRequest(tenant: "a", audience: "a"),
                TokenRequest(inputs: ["a": "b"]),
            ]
            let callers = requests.map { world.ask($0) }
            world.settle()
            world.expect(Set(callers.map(\.text)).count == requests.count, "\(callers.map(\.text))")
        }
        #expect(complaints == [])
    }

    @Test func `access tokens are shared by customers, and checkout tokens belong to one session`() async {
        let complaints = await World.run { world in
            let callers = (0..<50).map { world.checkout("inv_\($0)") }
            world.settle()
            for (number, caller) in callers.enumerated() {
                let claims = caller.text.flatMap { UnverifiedJWT($0)?.claims }
                world.expect(claims?["invoice_id"] == .string("inv_\(number)"), "\(caller.result as Any)")
            }
            world.expect(world.issuer.accessTokenCalls == 1, "\(world.issuer.accessTokenCalls) access tokens")
        }
        #expect(complaints == [])
    }

    @Test func `an error contains neither a secret nor what the server said`() async {
        let complaints = await World.run(orders: 1) { world in
            world.update(("client", "secret"))
            let behaviours: [MisbehavingIssuer.Behaviour] = [
                .refuses(.badRequest), .refuses(.unauthorized), .refuses(.forbidden), .refuses(.notFound), .throttles(),
                .answersError("invalid_scope"), .truncatesJSON, .dropsMidBody, .answersHTML(), .redirects(),
            ]
            for (number, behaviour) in behaviours.enumerated() {
                for step in [MisbehavingIssuer.Step.accessToken, .checkoutToken] {
                    world.issuer.then(behaviour, at: step)
                    let caller = world.checkout("inv_\(number)")
                    world.settle()
                    guard let error = caller.error else { continue }
                    var text = "\(error) \(String(reflecting: error)) \(error.cause as Any)"
                    dump(error, to: &text)
                    for word in ["own words", "invalid_scope", "access-", "client:", "secret", "html", "elsewhere"] {
                        world.expect(!text.contains(word), "\(word) is in \(text)")
                    }
                    world.pass(.seconds(700))
                }
            }
        }
        #expect(complaints == [])
    }

    @Test func `a credential file is read anew and trimmed, and ignored while it is torn or empty`() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "traps-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "pair")
        let names = CredentialNames(clientID: "ID", clientSecret: "SECRET")
        try Data("ID=client\nSECRET=one\n".utf8).write(to: file)
        let time = try FileManager.default.attributesOfItem(atPath: file.path)[.modificationDate] as? Date
        let source = FileCredentials(path: file.path, names: names)
        let complaints = await World.run(orders: 1, source: source) { world in
            func accept(_ secret: String) {
                world.issuer.accept([Credential(clientID: Secret("client"), clientSecret: Secret(secret))])
            }
            func renewed(_ words: String) {
                let caller = world.now(TokenRequest(scopes: [ExactString(words)]))
                world.expect(caller.token != nil, "\(words): \(caller.result as Any)")
            }
            accept("one")
            renewed("a newline at the end")
            // The file has the same size and modification date as before.
            try Data("ID=client\nSECRET=two\n".utf8).write(to: file)
            try FileManager.default.setAttributes([.modificationDate: time as Any], ofItemAtPath: file.path)
            accept("two")
            renewed("a rewrite that changes neither size nor time")
            for torn in ["", "\n", "ID=client", "ID=client\nSECRET="] {
                try Data(torn.utf8).write(to: file)
                renewed("the last good pair while the file is \(torn.debugDescription)")
            }
            let target = folder.appending(path: "target")
            try Data("ID=client\nSECRET=three\n".utf8).write(to: target)
            let link = folder.appending(path: "link")
            try FileManager.default.createSymbolicLink(at: link, withDestinationURL: target)
            guard rename(link.path, file.path) == 0 else { return world.expect(false, "rename") }
            accept("three")
            renewed("a link that was swapped")
        }
        #expect(complaints == [])
    }

    @Test func `a checkout token does not outlive the access token that it is tied to`() async {
        var tied = VendorProfile.alternativePayments
        tied.checkoutToken.endsWithAccessToken = true
        let complaints = await World.run(profile: tied) { world in
            world.issuer.then(.issues(lifetime: .seconds(100)), at: .accessToken)
            let access = world.now()
            let first = world.checkout()
            world.settle()
            world.expect(first.token.map { $0.remaining <= .seconds(100) } ?? false, "\(first.result as Any)")
            // The access token is refused elsewhere.
            _ = world.now(TokenRequest(), TokenDemand(replacing: access.token?.id))
            let second = world.checkout()
            world.settle()
            world.expect(second.token != nil && second.token?.id != first.token?.id, "lives on")
        }
        #expect(complaints == [])
    }
}

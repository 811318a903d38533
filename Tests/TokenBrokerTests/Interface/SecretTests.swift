import Foundation
import Testing
@testable import TokenBroker

struct SecretTests {
    private struct Holder: Decodable {
        var secret: Secret
        var other = "visible"
    }

    private let secret = Secret("sentinel")

    @Test func `a secret's content is not in any description, dump or mirror`() throws {
        var dumped = ""
        dump(secret, to: &dumped)
        dump(Holder(secret: secret), to: &dumped)
        dump([Credential(clientID: secret, clientSecret: secret)], to: &dumped)
        dump(Token(secret: secret, remaining: .seconds(1)), to: &dumped)
        let texts = [
            dumped, "\(secret)", "\(Holder(secret: secret))", String(describing: secret), String(reflecting: secret),
            String(reflecting: Holder(secret: secret)), secret.debugDescription, "\([secret])", "\(["a": secret])",
            "\(Mirror(reflecting: secret).children.map { "\($0)" })", "\(Optional(secret) as Any)",
            "\(Token(secret: secret, remaining: .seconds(1)))",
        ]
        for text in texts { #expect(!text.contains("sentinel"), "\(text)") }
        #expect("\(secret)" == "<redacted>")
        #expect(secret.reveal() == "sentinel")
        // If a secret could be encoded, its redacted form would silently replace it.
        #expect(!(secret as Any is any Encodable))
    }

    @Test func `a secret can be decoded`() throws {
        let holder = try JSONDecoder().decode(Holder.self, from: Data(#"{"secret": "sentinel", "other": "x"}"#.utf8))
        #expect(holder.secret == secret)
    }

    @Test func `secrets are equal if their contents are`() {
        #expect(secret == Secret("sentinel"))
        #expect(secret == secret)
        for other in ["", "sentine", "sentinel2", "Sentinel", "sentinex"] { #expect(secret != Secret(other)) }
        #expect(Secret("") == Secret(""))
    }

    @Test func `a secret's storage is wiped when the last copy is released`() {
        var copies: [Secret] = [Secret("sentinel")]
        copies.append(copies[0])
        weak let storage = copies[0].storageForTesting
        copies.removeFirst()
        #expect(storage != nil)
        copies.removeFirst()
        #expect(storage == nil)
        // Freed memory cannot be inspected, but the function that clears it on release can be tested.
        let kept = Secret("sentinel")
        kept.storageForTesting.wipe()
        #expect(kept.reveal() == String(repeating: "\0", count: 8))
    }
}

struct LineageTests {
    @Test func `a token's lineage is never in a better state than its ancestors`() {
        let credential = Lineage()
        let access = Lineage(descendingFrom: credential)
        let checkout = Lineage(descendingFrom: access)
        #expect(checkout.state == .current)
        credential.supersede()
        #expect(checkout.state == .superseded)
        access.revoke()
        #expect(checkout.state == .revoked)
        #expect(credential.state == .superseded)
        access.supersede()
        #expect(access.state == .revoked)
    }
}

struct TokenErrorTests {
    @Test func `an error shows the type of a foreign cause, not its description`() {
        struct Foreign: Error, CustomStringConvertible { var description: String { "sentinel" } }
        let error = TokenError(.unavailable, message: "fixed", cause: Foreign())
        #expect("\(error)" == "unavailable: fixed (Foreign)")
        let nested = TokenError(.timedOut, message: "fixed", cause: TransportError(.timedOut, message: "m"))
        #expect("\(nested)" == "timedOut: fixed (timedOut: m)")
    }
}

import Foundation
import HTTPTypes
@testable import TokenBroker
@testable import TokenBrokerJWT

/// Whoever does not know the key proves nothing, whatever the token: header fields with bearer tokens and cookies.
func proof(_ bytes: [UInt8]) {
    guard let authenticator = jwtAuthenticator else { return expect(false, "the authenticator cannot be built") }
    let (fields, rest) = fieldsAndBody(bytes)
    var head = HTTPRequest(method: .post, scheme: "https", authority: "pay.example", path: "/", headerFields: fields)
    if let token = String(validating: rest, as: UTF8.self), !token.isEmpty {
        head.headerFields.append(HTTPField(name: .authorization, value: "Bearer " + token))
    }
    // And any three parts, so that the fuzzer need not find base64url.
    var encoded = head
    let parts = bytes.split(separator: 0, maxSplits: 2, omittingEmptySubsequences: false).map { base64URL($0) }
    encoded.headerFields = [.authorization: "Bearer " + parts.joined(separator: ".")]
    for head in [head, encoded] {
        let request = RouteRequest(head: head)
        let believed = wait { (try? await authenticator.authenticate(request)) != .some(nil) }
        expect(!believed, "a token that nobody signed is believed")
    }
}

private let jwtAuthenticator: JWTAuthenticator? = wait {
    try? await JWTAuthenticator(
        .init(issuer: "https://id.example", audience: "shop", algorithms: [.hs256, .hs384, .hs512], cookie: "session"),
        keys: .secrets(SharedSecrets(variable: "A", in: ["A": String(repeating: "k", count: 64)], minimumBytes: 64)),
        logger: silent
    )
}

/// A published JWK set, and keys in PEM form.
func jwks(_ bytes: [UInt8]) {
    wait {
        if let value = try? JSONValue.parse(bytes), let keys = try? await KeySet(jwks: value, allowsSecrets: true) {
            expect(keys.keys.count <= 100, "more keys than are accepted")
            for key in keys.keys {
                expect(SigningAlgorithm.allCases.contains { key.supports($0) }, "a key for nothing")
            }
        }
        if let text = String(validating: bytes, as: UTF8.self) { _ = try? await KeySet(pem: text) }
    }
}

/// Whoever does not know the secret, or comes from elsewhere, is not the proxy.
func forwarded(_ bytes: [UInt8]) {
    guard let subject = HTTPField.Name("X-User"), let customer = HTTPField.Name("X-Customer"),
        let secretField = HTTPField.Name("X-Proxy-Secret"), let block = IPAddressBlock("192.0.2.0/24")
    else { return expect(false, "a name that is none") }
    let (fields, rest) = fieldsAndBody(bytes)
    let peer = PeerAddress(ip: String(decoding: rest, as: UTF8.self))
    let head = HTTPRequest(method: .post, scheme: "https", authority: "pay.example", path: "/", headerFields: fields)
    let request = RouteRequest(head: head, peer: peer)
    let secret = "a-shared-secret-of-some-length"
    for (hasSecret, hasPeers) in [(true, false), (true, true), (false, true)] {
        let authenticator = ForwardedAuthenticator(
            subject: subject, claims: ["customer": customer], secretField: secretField,
            secrets: hasSecret ? SharedSecrets(variable: "A", in: ["A": secret]) : nil, peers: hasPeers ? [block] : []
        )
        guard let principal = wait(for: { try? await authenticator.authenticate(request) }) ?? nil else { continue }
        expect(fields[values: subject].count == 1 && !principal.subject.isEmpty, "an identity that is none, or two")
        if hasSecret { expect(fields[values: secretField] == [secret], "another secret is believed") }
        if hasPeers { expect(peer.ip.contains("192.0.2.") || peer.ip.contains("c000"), "another peer is believed") }
    }
}

/// Addresses, blocks and URLs, as they are configured and as peers and proxies tell them.
func addresses(_ bytes: [UInt8]) {
    let text = String(decoding: bytes, as: UTF8.self)
    let parts = text.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
    for part in parts { _ = try? ServerURL(String(part)) }
    guard let first = parts.first, let block = IPAddressBlock(first) else { return }
    if let address = IPAddress(first) { expect(block.contains(address), "an address is not in its own block") }
    if parts.count > 1, let address = IPAddress(parts[1]) { _ = block.contains(address) }
}

func base64URL(_ bytes: some Sequence<UInt8>) -> String {
    Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
}

import Crypto
import Foundation
import HTTPTypes
@testable import TokenBroker
@testable import TokenBrokerJWT

/// Checks that no bearer token or cookie is accepted that was made without the key. The input is header fields and a
/// token.
func proof(_ bytes: [UInt8]) {
    guard let authenticator = jwtAuthenticator else { return expect(false, "the authenticator cannot be built") }
    let (fields, rest) = fieldsAndBody(bytes)
    var head = HTTPRequest(method: .post, scheme: "https", authority: "pay.example", path: "/", headerFields: fields)
    if let token = String(validating: rest, as: UTF8.self), !token.isEmpty {
        head.headerFields.append(HTTPField(name: .authorization, value: "Bearer " + token))
    }
    // Also try any three parts, encoded here, so that the fuzzer need not discover base64url.
    var encoded = head
    let parts = bytes.split(separator: 0, maxSplits: 2, omittingEmptySubsequences: false).map { base64URL($0) }
    encoded.headerFields = [.authorization: "Bearer " + parts.joined(separator: ".")]
    for head in [head, encoded] {
        let request = EndpointRequest(head: head)
        let believed = wait { (try? await authenticator.authenticate(request)) != nil }
        expect(!believed, "a token without a valid signature is accepted")
    }
}

private let jwtAuthenticator: JWTAuthenticator? = wait {
    try? await JWTAuthenticator(
        .init(issuer: "https://id.example", audience: "shop", algorithms: [.hs256, .hs384, .hs512], cookie: "session"),
        keys: .secrets(SharedSecrets(variable: "A", in: ["A": String(repeating: "k", count: 64)], minimumBytes: 64))
    )
}

/// Checks which correctly signed tokens are accepted, and what a policy allows with their claims. The input is the
/// header and the claims, separated by a NUL. Without a NUL the header is a plain one.
func claims(_ bytes: [UInt8]) {
    guard let authenticator = claimsAuthenticator else { return expect(false, "the authenticator cannot be built") }
    let parts = bytes.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
    let header = parts.count == 2 ? Array(parts[0]) : Array(#"{"alg": "HS256"}"#.utf8)
    guard let payload = parts.last.map(Array.init) else { return }
    let signed = base64URL(header) + "." + base64URL(payload)
    let signature = HMAC<SHA256>.authenticationCode(for: Data(signed.utf8), using: SymmetricKey(data: Data(key.utf8)))
    let head = HTTPRequest(
        method: .post, scheme: "https", authority: "pay.example", path: "/",
        headerFields: [.authorization: "Bearer \(signed).\(base64URL(signature))"]
    )
    guard let principal = wait(for: { try? await authenticator.authenticate(EndpointRequest(head: head)) }) ?? nil
    else {
        return
    }
    // Read the token again with another parser.
    guard let header = try? JSONSerialization.jsonObject(with: Data(header)) as? [String: Any],
        let claims = try? JSONSerialization.jsonObject(with: Data(payload)) as? [String: Any]
    else {
        // Numbers beyond the range of a double are JSON, but Foundation does not read them.
        let isJSON = [header, payload].allSatisfy { (try? JSONValue.parse($0)) != nil }
        return expect(isJSON, "a token that is not JSON is accepted")
    }
    expect(header["alg"] as? String == "HS256" && header["crit"] == nil, "a header with another demand is accepted")
    expect(claims["iss"] as? String == "https://id.example", "another issuer is accepted")
    let audiences = claims["aud"] as? [Any] ?? [claims["aud"] as Any]
    expect(audiences.contains { $0 as? String == "shop" }, "a token for another audience is accepted")
    let (end, start) = (claims["exp"] as? NSNumber, claims["nbf"] as? NSNumber)
    expect((end?.doubleValue ?? 0) > claimsNow - 31, "a token that has expired or never expires is accepted")
    expect((start?.doubleValue ?? 0) < claimsNow + 31, "a token is accepted too early")
    expect(
        (claims["sub"] as? String).map { ExactString($0) } == principal.subject && !principal.subject.isEmpty,
        "another subject is accepted")
    expect(
        (claims["org"] as? String).map { ExactString($0) } == principal.tenant && !principal.tenant.isEmpty,
        "another tenant is accepted")

    let request = TokenRequest(customer: "cus_1", invoice: "inv_1")
    let isAllowed = wait {
        let policy = ClaimPolicy(customer: "customer", invoice: "/shop/invoices")
        return (try? await policy.authorize(principal, for: request)) ?? false
    }
    let shop = claims["shop"] as? [String: Any]
    let isOwn = names(claims["customer"], "cus_1") && names(shop?["invoices"], "inv_1")
    expect(isAllowed == isOwn, "the policy disagrees with the claims")
}

private func names(_ claim: Any?, _ id: String) -> Bool {
    func isID(_ value: Any) -> Bool { (value as? String).map { Array($0.utf8) } == Array(id.utf8) }
    return (claim as? [Any])?.contains(where: isID) ?? claim.map(isID) ?? false
}

private let key = "0123456789abcdef0123456789abcdef"
private let claimsNow = 1_800_000_000.0
private let claimsAuthenticator: JWTAuthenticator? = wait {
    try? await JWTAuthenticator(
        .init(issuer: "https://id.example", audience: "shop", algorithms: [.hs256], tenantClaim: "org"),
        keys: .secrets(SharedSecrets(variable: "A", in: ["A": key])),
        wallClock: { Date(timeIntervalSince1970: claimsNow) }
    )
}

/// Reads a published JWK set, and keys in PEM form.
func jwks(_ bytes: [UInt8]) {
    wait {
        if let value = try? JSONValue.parse(bytes), let keys = try? await KeySet(jwks: value, allowsSecrets: true) {
            expect(keys.keys.count <= 100, "more keys than are accepted")
            for key in keys.keys {
                expect(SigningAlgorithm.allCases.contains { key.supports($0) }, "a key without an algorithm")
            }
        }
        if let text = String(validating: bytes, as: UTF8.self) { _ = try? await KeySet(pem: text) }
    }
}

/// Checks that a client that does not know the secret, or has another address, is not taken for the proxy.
func forwarded(_ bytes: [UInt8]) {
    guard let subject = HTTPField.Name("X-User"), let customer = HTTPField.Name("X-Customer"),
        let secretField = HTTPField.Name("X-Proxy-Secret"), let block = IPAddressBlock("192.0.2.0/24")
    else { return expect(false, "an invalid name") }
    let (fields, rest) = fieldsAndBody(bytes)
    let peer = PeerAddress(ip: String(decoding: rest, as: UTF8.self))
    let head = HTTPRequest(method: .post, scheme: "https", authority: "pay.example", path: "/", headerFields: fields)
    let request = EndpointRequest(head: head, peer: peer)
    let secret = "a-shared-secret-of-some-length"
    for (hasSecret, hasPeers) in [(true, false), (true, true), (false, true)] {
        let authenticator = ForwardedAuthenticator(
            subject: subject, claims: ["customer": customer], secretField: secretField,
            secrets: hasSecret ? SharedSecrets(variable: "A", in: ["A": secret]) : nil, peers: hasPeers ? [block] : []
        )
        guard let principal = wait(for: { try? await authenticator.authenticate(request) }) ?? nil else { continue }
        expect(fields[values: subject].count == 1 && !principal.subject.isEmpty, "no identity, or two")
        if hasSecret { expect(fields[values: secretField] == [secret], "another secret is accepted") }
        if hasPeers { expect(peer?.ipAddress.map(block.contains) == true, "another peer is accepted") }
    }
}

/// Checks that a client cannot take another client's address with `Forwarded` and `X-Forwarded-For` values in front of
/// those that a listed proxy adds. It may only appear with the proxy's address. The input is header fields up to an
/// empty line, then the peer's address.
func proxies(_ bytes: [UInt8]) {
    let (fields, rest) = fieldsAndBody(bytes)
    let (given, own) = (IPAddress(String(decoding: rest, as: UTF8.self)), IPAddress("203.0.113.7"))
    guard let proxy = IPAddress("192.0.2.9"), let forwarded = HTTPField.Name("Forwarded"),
        let forwardedFor = HTTPField.Name("X-Forwarded-For")
    else { return expect(false, "an invalid address or name") }
    let addresses = ClientAddresses(
        trustedProxies: ["192.0.2.0/24", "2001:db8::/32"].compactMap { IPAddressBlock($0) }
    )
    func client(_ fields: HTTPFields, peer: String) -> IPAddress? {
        let head = HTTPRequest(method: .post, scheme: "https", authority: "a", path: "/", headerFields: fields)
        let request = EndpointRequest(head: head, peer: PeerAddress(ip: peer))
        let client = addresses.client(of: request)
        if addresses.seemsToComeThroughUnlistedProxy(request) {
            expect(client == IPAddress(peer), "a proxy that is not listed is trusted")
        }
        return client
    }
    if let given, !addresses.trustedProxies.contains(where: { $0.contains(given) }) {
        let peer = String(decoding: rest, as: UTF8.self)
        expect(client(fields, peer: peer) == given, "a peer that is not listed is trusted")
    }
    _ = client(fields, peer: "192.0.2.9")

    // A proxy may append to the last field with that name, or add a field.
    for isJoined in [true, false] {
        func adding(_ value: String, to name: HTTPField.Name) -> HTTPFields {
            var (fields, values) = (fields, fields[values: name])
            if isJoined, let last = values.popLast() {
                values.append("\(last), \(value)")
            } else {
                values.append(value)
            }
            fields[values: name] = values
            return fields
        }
        let names = Set(fields.map(\.name))
        let plain = client(adding("203.0.113.7", to: forwardedFor), peer: "192.0.2.9")
        expect(plain == own || plain == proxy && names.contains(forwarded), "X-Forwarded-For names another client")
        // Through two proxies.
        let chain = client(adding("203.0.113.7, 2001:db8::1", to: forwardedFor), peer: "192.0.2.9")
        expect(chain == own || chain == proxy && names.contains(forwarded), "a chain names another client")
        for written in ["for=203.0.113.7", #"For="203.0.113.7:4711";proto=https"#, #"by="_a";for="203.0.113.7""#] {
            let found = client(adding(written, to: forwarded), peer: "192.0.2.9")
            // Malformed values further to the left have no effect.
            expect(found == own || found == proxy, "Forwarded names another client")
        }
    }
}

/// Reads addresses, blocks and URLs, as configured and as sent by peers and proxies.
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

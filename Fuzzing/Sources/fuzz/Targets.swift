import Foundation
import HTTPTypes
import Logging

@testable import TokenBroker
@testable import TokenBrokerComposer

/// The fuzz targets by name. Each one parses external input. It must not trap, hang or use unbounded memory, and what
/// it accepts must be valid.
let targets: [String: @Sendable ([UInt8]) -> Void] = [
    "addresses": addresses, "claims": claims, "configuration": configuration, "dotenv": dotenv, "entry": entry,
    "expiry": expiry,
    "forwarded": forwarded, "json": json, "jwks": jwks, "jwt": jwt, "proof": proof, "proxies": proxies,
    "request": request, "resp": resp, "retry-after": retryAfterField, "text": text, "vendor": vendor,
]

/// Checks that accepted JSON has the same value after it is serialized and parsed again.
private func json(_ bytes: [UInt8]) {
    guard let value = try? JSONValue.parse(bytes) else { return }
    for text in [value.serialized, value.serialized(indented: true)] {
        expect((try? JSONValue.parse(text)) == value, "the serialized text is another value")
    }
    expect(!bytes.contains(0), "an encoding other than UTF-8 is read")
    // Foundation compares the names of members by canonical equivalence, so it may merge two of ours.
    guard !hasNamesThatLookAlike(value), let theirs = try? JSONDecoder().decode(Reference.self, from: Data(bytes))
    else { return }
    expect(rounded(value) == theirs.value, "Foundation reads another value")
}

private func hasNamesThatLookAlike(_ value: JSONValue) -> Bool {
    switch value {
    case .array(let elements): elements.contains(where: hasNamesThatLookAlike)
    case .object(let members):
        Set(members.keys.map(\.unicode)).count < members.count || members.values.contains(where: hasNamesThatLookAlike)
    default: false
    }
}

/// Returns the value with its numbers rounded as Foundation rounds them.
private func rounded(_ value: JSONValue) -> JSONValue {
    switch value {
    case .number: value.number.map { JSONValue.number($0) } ?? .null
    case .array(let elements): .array(elements.map(rounded))
    case .object(let members): .object(members.mapValues(rounded))
    default: value
    }
}

/// A JSON value as Foundation's decoder reads it.
private struct Reference: Decodable {
    var value: JSONValue

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            value = .null
        } else if let text = try? container.decode(String.self) {
            value = .string(text)
        } else if let flag = try? container.decode(Bool.self) {
            value = .bool(flag)
        } else if let number = try? container.decode(Double.self) {
            value = .number(number)
        } else if let members = try? container.decode([String: Reference].self) {
            value = .object(members.mapValues(\.value))
        } else {
            value = .array(try container.decode([Reference].self).map(\.value))
        }
    }
}

/// Reads claims, and checks that an expiry is within the calendar.
private func jwt(_ bytes: [UInt8]) {
    let text = String(decoding: bytes, as: UTF8.self)
    if let token = UnverifiedJWT(text) {
        expect(text.split(separator: ".", omittingEmptySubsequences: false).count == 3, "not three parts")
        check(token.expiry)
    }
    // Most generated input is not base64url, so also use the input as the decoded payload.
    let payload = base64URL(bytes)
    expect(base64URLDecoded(payload) == bytes, "base64url does not decode to what was encoded")
    check(UnverifiedJWT("e30.\(payload).e30")?.expiry)
}

/// Reads every form in which a vendor may state an expiry.
private func expiry(_ bytes: [UInt8]) {
    check(timestamp(.string(String(decoding: bytes, as: UTF8.self))))
    if let value = try? JSONValue.parse(bytes) { check(timestamp(value)) }
    if bytes.count >= 8 {
        let pattern = bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        check(timestamp(.number(Double(bitPattern: pattern))))
    }
}

private func check(_ date: Date?) {
    guard let seconds = date?.timeIntervalSince1970 else { return }
    expect(seconds.isFinite && seconds > -86_401 && seconds < 253_402_400_000, "an expiry outside of the calendar")
}

private func retryAfterField(_ bytes: [UInt8]) {
    guard
        let pause = retryAfter(String(decoding: bytes, as: UTF8.self), now: Date(timeIntervalSince1970: 1_800_000_000))
    else { return }
    expect(pause >= .zero && pause <= .seconds(86_400), "a pause that is negative or longer than a day")
}

private func dotenv(_ bytes: [UInt8]) {
    guard let text = String(validating: bytes, as: UTF8.self), let values = dotEnv(text) else { return }
    for name in values.keys {
        let isInvalid = name.isEmpty || name.unicodeScalars.contains { $0.properties.isWhitespace }
        expect(!isInvalid, "an invalid variable name")
    }
    // Every value without a line break can be quoted so that it is read back unchanged.
    for value in values.values where !value.unicodeScalars.contains(where: { $0 == "\n" || $0 == "\r" }) {
        var quoted = String.UnicodeScalarView()
        for scalar in value.unicodeScalars {
            if scalar == "\"" || scalar == "\\" { quoted.append("\\") }
            quoted.append(scalar)
        }
        expect(dotEnv("A=\"\(String(quoted))\"")?["A"] == value, "a quoted value is not read back unchanged")
    }
}

/// Reads paths, authorities and percent-encoding, as in a request.
private func text(_ bytes: [UInt8]) {
    let text = String(decoding: bytes, as: UTF8.self)
    expect(percentDecoded(percentEncoded(text)) == text, "percent-encoding does not decode to what was encoded")
    if let authority = Authority(text) {
        expect(Authority(authority.description) == authority, "an authority is not read back unchanged")
    }
    for (_, value) in RoutePath("/a/{id}/{other}").match(text) ?? [:] { _ = value.count }
    if let duration = Duration(configured: text) {
        expect(duration >= .zero && Duration(configured: duration.configured) == duration, "a duration changes")
    }
}

/// Reads a configuration. The input is the file and the values of two overriding variables, separated by NULs.
private func configuration(_ bytes: [UInt8]) {
    let parts = bytes.split(separator: 0, maxSplits: 2, omittingEmptySubsequences: false)
        .map { String(decoding: $0, as: UTF8.self) }
    guard let file = parts.first else { return }
    var environment: [String: String] = [:]
    if parts.count > 1 { environment["TOKEN_BROKER_ROUTE_ALLOWED_ORIGINS"] = parts[1] }
    if parts.count > 2 { environment["TOKEN_BROKER_SERVER_PORT"] = parts[2] }
    guard let configuration = try? BrokerConfiguration(file, environment: environment) else { return }
    let reader = ConfigurationReader(configuration)
    let settings = Settings(reader, .standard, choosesTransport: false)
    expect((settings == nil) == !reader.problems.isEmpty, "refused without a problem, or accepted with one")
    for problem in reader.problems { expect(!problem.message.isEmpty, "a problem without a message") }
}

/// Handles a whole request. The input is header fields up to an empty line, then the body.
private func request(_ bytes: [UInt8]) {
    let (fields, body) = fieldsAndBody(bytes)
    let head = HTTPRequest(
        method: .post, scheme: "https", authority: "pay.example", path: "/api/checkout-token", headerFields: fields
    )
    let answer = wait {
        await endpoint.respond(
            to: EndpointRequest(head: head, body: EndpointBody(body), peer: PeerAddress(ip: "192.0.2.1")))
    }
    expect([200, 400, 403, 413, 415].contains(answer.head.status.code), "an undocumented status")
    expect(answer.head.headerFields[.cacheControl] == "no-store", "a response that may be stored")
    if answer.head.headerFields[.accessControlAllowOrigin] != nil {
        expect(fields[values: .origin] == ["https://shop.example"], "another origin may read the response")
    }
    guard answer.head.status == .ok else { return }
    guard let session = try? CheckoutSessionRequest(body) else { return expect(false, "a body that cannot be read") }
    for id in [session.customer, session.invoice] {
        expect((1...255).contains(id.unicode.unicodeScalars.count), "an id with an invalid length")
        let hasControl = id.unicode.unicodeScalars.contains { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) }
        expect(!hasControl, "a control character")
    }
}

private let endpoint = CheckoutTokenEndpoint(
    tokens: FixedTokens(), authenticator: ClosureAuthenticator { _ in Principal(subject: "me") },
    policy: ClosurePolicy(binds: .session) { _, _ in true },
    configuration: .init(environment: "demo", allowedOrigins: ["https://shop.example"], limits: .withoutQuotas),
    logger: silent)

/// Reads a vendor's response at either step. The input is a byte that selects the status, header fields up to an empty
/// line, then the body.
private func vendor(_ bytes: [UInt8]) {
    let statuses = [200, 200, 200, 400, 401, 403, 404, 422, 429, 503]
    let status = statuses[Int(bytes.first ?? 0) % statuses.count]
    let (fields, body) = fieldsAndBody(bytes.dropFirst())
    let transport = FixedTransport(
        response: TransportResponse(head: HTTPResponse(status: .init(code: status), headerFields: fields), body: body)
    )
    guard let vendor = try? Vendor(profile: .alternativePayments, baseURL: "https://vendor.example") else {
        return expect(false, "the profile has no valid URL")
    }
    let accessTokens = ClientCredentialsProvider(
        vendor: vendor, credentials: StaticCredentials(clientID: Secret("id"), clientSecret: Secret("secret")),
        transport: transport)
    let checkoutTokens = CheckoutTokenProvider(vendor: vendor, accessTokens: FixedTokens(), transport: transport)
    let session = TokenRequest(tenant: "", customer: "cus_1", invoice: "inv_1")
    wait {
        for (provider, request) in [
            (accessTokens as any TokenProvider, TokenRequest(tenant: "")), (checkoutTokens, session),
        ] {
            do throws(TokenError) {
                let token = try await provider.token(for: request, demand: TokenDemand())
                expect(token.remaining > .zero && token.remaining <= .seconds(86_400), "an invalid lifetime")
                expect(!token.secret.reveal().isEmpty, "an empty token")
            } catch {
                expect(error.retryAfter.map { $0 >= .zero && $0 <= .seconds(86_400) } ?? true, "an invalid pause")
            }
        }
    }
}

// MARK: Support for the targets

let silent = Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() }

private struct FixedTokens: TokenProvider {
    func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        Token(secret: Secret("a.b.c"), remaining: .seconds(60))
    }
}

private struct FixedTransport: HTTPTransport {
    let response: TransportResponse

    func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse { response }
}

func fieldsAndBody(_ bytes: some Collection<UInt8>) -> (HTTPFields, [UInt8]) {
    var fields = HTTPFields()
    var rest = bytes[...]
    while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
        let line = rest[..<end]
        rest = rest[rest.index(after: end)...]
        if line.isEmpty { break }
        let parts = line.split(separator: UInt8(ascii: ":"), maxSplits: 1).map { String(decoding: $0, as: UTF8.self) }
        guard parts.count == 2, let name = HTTPField.Name(parts[0]) else { continue }
        fields.append(HTTPField(name: name, value: parts[1].trimmingCharacters(in: .whitespaces)))
    }
    return (fields, Array(rest))
}

/// Blocks this thread until an operation ends. Only libFuzzer uses this thread, so blocking it is safe.
@discardableResult
func wait<Value: Sendable>(for operation: @escaping @Sendable () async -> Value) -> Value {
    let done = DispatchSemaphore(value: 0)
    nonisolated(unsafe) var value: Value?
    Task.detached {
        value = await operation()
        done.signal()
    }
    done.wait()
    guard let value else { fatalError("the task ended without a value") }
    return value
}

/// Crashes if a condition does not hold, since a fuzzer looks for crashes.
func expect(_ holds: Bool, _ otherwise: String) {
    if !holds { fatalError(otherwise) }
}

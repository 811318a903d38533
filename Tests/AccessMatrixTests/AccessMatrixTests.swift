#if ConfigurationSupport && CurlSupport && HummingbirdSupport && JWTSupport
import CurlTransport
import Foundation
import HTTPTypes
import Hummingbird
import JWTKit
import Logging
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerComposer
import TokenBrokerHummingbird
import TokenBrokerJWT
import TokenBrokerSandbox
import TokenBrokerTesting

/// Tests every combination of authenticator, policy, proof and session.
///
/// Each combination is a request over a socket to a composed broker. The broker also reaches the vendor, the issuer of
/// keys and the adopter's service over sockets.
@Suite(.serialized) struct AccessMatrixTests {
    @Test(arguments: Way.allCases, Rule.allCases)
    func `every combination of authenticator and policy answers every case as expected`(
        _ way: Way, _ rule: Rule
    ) async throws {
        let transport = try CurlTransport(configuration: .init(timeout: .seconds(60)))
        let signer = try await Signer()
        let calls = Mutex<Set<String>>([])
        try await withFiles { files in
            let backend = try await Backend(signer: signer) { call in calls.withLock { _ = $0.insert(call) } }
            try await withServer(backend.endpoints) { backend in
                let broker = try await broker(way, rule, backend: backend, files: files)
                try await withServer(broker.endpoints) { front in
                    try await check(way, rule, front: front, transport: transport, signer: signer, files: files)
                }
                await broker.shutdown()
            }
        }
        await transport.shutdown()
        // Without this check the tests would pass even if nothing called the callback or fetched keys.
        let expected = ([.callback, .any].contains(rule) ? ["callback"] : []) + (way == .keysAtURL ? ["keys"] : [])
        #expect(calls.withLock { $0 } == Set(expected))
    }

    @Test func `an id in another Unicode spelling gives no access to others' invoices over a socket`() async throws {
        let transport = try CurlTransport(configuration: .init(timeout: .seconds(60)))
        var registry = Registry.standard
        try registry.register(.curl)
        try registry.register(.jwt)
        try registry.register(
            AuthenticatorPlugin("session", "") { _ in
                ClosureAuthenticator { request in
                    let claim = request.head.headerFields[.authorization].map { String($0.dropFirst(7)) } ?? ""
                    return percentDecoded(claim).map { Principal(subject: "me", claims: ["mine": .string($0)]) }
                }
            }
        )
        let file = """
            vendor: {environment: sandbox, baseURL: "http://127.0.0.1:1"}
            route: {timeout: 60s}
            tokens: {requestsPerSecond: 1000000}
            quotas: {address: {perMinute: none}, principal: {perMinute: none}}
            access: {authenticator: {kind: session}, policy: {kind: claim, customer: mine, invoice: mine}}
            """
        let environment = ["ALTERNATIVE_CLIENT_ID": "client", "ALTERNATIVE_CLIENT_SECRET": "secret"]
        let issuer = MisbehavingIssuer()
        issuer.accept([Credential(clientID: Secret("client"), clientSecret: Secret("secret"))])
        let broker = try await Composer(registry: registry).compose(
            BrokerConfiguration(file, environment: environment), transport: issuer,
            logger: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() }
        )
        try await withServer(broker.endpoints) { front in
            func ask(_ text: String, as claim: String) async throws -> (Int, JSONValue) {
                let body: JSONValue = ["customerId": .string(text), "invoiceId": .string(text)]
                let request = HTTPRequest(
                    method: .post, scheme: "http", authority: front, path: "/api/checkout-token",
                    headerFields: [.contentType: "application/json", .authorization: "Bearer \(percentEncoded(claim))"]
                )
                let response = try await transport.send(
                    request, body: body.serialized, options: .init(timeout: .seconds(60)))
                return (response.status.code, try JSONValue.parse(response.body))
            }
            for pair in Spellings.generated(12, seed: 9) {
                var tokens: [ExactString] = []
                for (text, other) in [(pair.one, pair.other), (pair.other, pair.one)] {
                    let (status, answer) = try await ask(text, as: text)
                    #expect(status == 200)
                    let token = try #require(answer["token"]?.string)
                    #expect(UnverifiedJWT(token.unicode)?.claims["invoice_id"] == .string(text))
                    tokens.append(token)
                    #expect(try await ask(other, as: text).0 == 403)
                }
                #expect(Set(tokens).count == 2)
            }
        }
        await broker.shutdown()
        await transport.shutdown()
    }

    // MARK: The matrix

    /// A way to authenticate.
    enum Way: String, CaseIterable {
        case bearer, cookie, keysAtURL, forwarded, closure
    }

    /// An access policy. Every principal here belongs to `cus_demo`, which has `inv_1` and `inv_2`.
    enum Rule: String, CaseIterable {
        case claim, callback, vendorInvoice, any, closure
    }

    enum Proof: CaseIterable {
        case right, wrong, missing, malformed, expired
    }

    private func check(
        _ way: Way, _ rule: Rule, front: String, transport: any HTTPTransport, signer: Signer, files: Files
    ) async throws {
        func ask(_ fields: [(String, String)], _ body: String) async throws -> TransportResponse {
            var request = HTTPRequest(
                method: .post, scheme: "http", authority: front, path: "/\(way)/\(rule)",
                headerFields: [.contentType: "application/json", .origin: "http://\(front)"]
            )
            for (name, value) in fields {
                request.headerFields.append(HTTPField(name: try #require(HTTPField.Name(name)), value: value))
            }
            return try await transport.send(request, body: Array(body.utf8), options: .init(timeout: .seconds(60)))
        }
        func session(_ customer: String, _ invoice: String) -> String {
            #"{"customerId": "\#(customer)", "invoiceId": "\#(invoice)"}"#
        }
        let place: Comment = "\(way) \(rule)"
        for proof in Proof.allCases {
            let fields = try fields(way, proof, signer)
            let response = try await ask(fields, session("cus_demo", "inv_1"))
            #expect(response.status == (proof == .right ? .ok : .unauthorized), "\(way) \(rule) \(proof)")
            guard proof != .right else {
                let token = try JSONValue.parse(response.body)["token"]?.string.flatMap { UnverifiedJWT($0.unicode) }
                #expect(token?.claims["customer_id"] == "cus_demo", place)
                #expect(token?.claims["invoice_id"] == "inv_1", place)
                continue
            }
            // Without a valid proof, it makes no difference whose session it is.
            let others = try await ask(fields, session("cus_other", "oth_1"))
            #expect(others.status == .unauthorized && others.body == response.body, place)
        }
        let right = try fields(way, .right, signer)
        var refusals: Set<[UInt8]> = []
        // Foreign invoices, foreign customers, foreign sessions, mixtures, and ids that do not exist.
        for (customer, invoice) in [
            ("cus_demo", "oth_1"), ("cus_other", "inv_1"), ("cus_other", "oth_1"), ("cus_demo", "none"),
            ("cus_none", "inv_1"), ("cus_demo", "no/such"),
        ] {
            let response = try await ask(right, session(customer, invoice))
            #expect(response.status == .forbidden, "\(way) \(rule) \(customer) \(invoice)")
            refusals.insert(response.body)
        }
        #expect(refusals.count == 1, place)
        for body in [
            session("cus_demo", ".."), #"{"customerId": "cus_demo"}"#, "", "{",
            #"{"customerId": "cus_demo", "invoiceId": 1}"#,
        ] {
            #expect(try await ask(right, body).status == .badRequest, place)
        }
    }

    private func fields(_ way: Way, _ proof: Proof, _ signer: Signer) throws -> [(String, String)] {
        switch way {
        case .bearer, .cookie, .keysAtURL:
            let token: String
            switch proof {
            case .right: token = try signer.token(way)
            case .wrong: token = try signer.token(way, isForeign: true)
            case .missing: return []
            case .malformed: token = String(try signer.token(way).dropLast(20))
            case .expired: token = try signer.token(way, expiry: -60)
            }
            return [way == .cookie ? ("Cookie", "a=b; shop=\(token)") : ("Authorization", "Bearer \(token)")]
        case .forwarded:
            let identity = [("X-User", "anna"), ("X-Customer", "cus_demo"), ("X-Invoices", "inv_1, inv_2")]
            switch proof {
            case .right: return identity + [("X-Proxy-Secret", Files.proxySecret)]
            case .wrong: return identity + [("X-Proxy-Secret", "not-the-proxys-secret")]
            case .missing: return identity
            case .malformed: return identity + [("X-User", "bob"), ("X-Proxy-Secret", Files.proxySecret)]
            case .expired: return identity + [("X-Proxy-Secret", Files.formerProxySecret)]
            }
        case .closure:
            switch proof {
            case .right: return [("Cookie", "session=right")]
            case .wrong: return [("Cookie", "session=unknown")]
            case .missing: return []
            case .malformed: return [("Cookie", "session=\"; ;=,")]
            case .expired: return [("Cookie", "session=expired")]
            }
        }
    }

    // MARK: The brokers

    private func broker(_ way: Way, _ rule: Rule, backend: String, files: Files) async throws -> Broker {
        let authenticator =
            switch way {
            case .bearer: "kind: jwt, keysFile: \"\(files.keys)\", algorithms: [ES256], \(Self.token)"
            case .cookie: "kind: jwt, secretFile: \"\(files.secret)\", algorithms: [HS256], cookie: shop, \(Self.token)"
            case .keysAtURL: "kind: jwt, jwksURL: \"http://\(backend)/jwks\", algorithms: [ES256, RS256], \(Self.token)"
            case .forwarded:
                "kind: forwarded, subjectHeader: X-User, claims: {customer: X-Customer, invoices: X-Invoices}, "
                    + "secretFile: \"\(files.proxy)\", trustedPeers: [127.0.0.0/8]"
            case .closure: "kind: session"
            }
        let policy =
            switch rule {
            case .claim: "kind: claim, customer: customer, invoice: invoices"
            case .callback: "kind: callback, url: \"http://\(backend)/may\", timeout: 20s"
            case .vendorInvoice:
                "kind: all, of: {mine: {kind: claim, customer: customer}, theirs: {kind: vendor-invoice}}"
            case .any:
                "kind: any, of: {listed: {kind: claim, customer: customer, invoice: invoices}, "
                    + "asked: {kind: callback, url: \"http://\(backend)/may\", timeout: 20s}}"
            case .closure: "kind: orders"
            }
        let file = """
            vendor: {environment: sandbox, baseURL: "http://\(backend)"}
            route: {path: /\(way)/\(rule), timeout: 60s}
            tokens: {requestsPerSecond: 1000000}
            quotas: {address: {perMinute: none}, principal: {perMinute: none}}
            transport: {connectTimeout: 20s, timeout: 60s}
            access: {authenticator: {\(authenticator)}, policy: {\(policy)}}
            """
        var registry = Registry.standard
        try registry.register(.curl)
        try registry.register(.jwt)
        try registry.register(
            AuthenticatorPlugin("session", "") { _ in
                ClosureAuthenticator { request in
                    let sessions = ["session=right": true, "session=expired": false]
                    guard sessions[request.head.headerFields[.cookie] ?? ""] == true else { return nil }
                    return Principal(subject: "anna", claims: Self.claims)
                }
            }
        )
        try registry.register(
            PolicyPlugin("orders", "") { _ in
                ClosurePolicy(binds: .session) { principal, request in
                    principal.subject == "anna" && request.inputs[.customer] == "cus_demo"
                        && request.inputs[.invoice]?.unicode.hasPrefix("inv_") == true
                }
            }
        )
        return try await Composer(registry: registry).compose(
            BrokerConfiguration(
                file,
                environment: [
                    "ALTERNATIVE_CLIENT_ID": "sandbox-client", "ALTERNATIVE_CLIENT_SECRET": "sandbox-secret",
                ]
            ),
            logger: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    private static let token = "issuer: id, audience: checkout"
    static let claims: [String: JSONValue] = ["customer": "cus_demo", "invoices": .array(["inv_1", "inv_2"])]

    /// The files that the authenticators read.
    struct Files {
        static let proxySecret = "the-secret-of-the-proxy"
        static let formerProxySecret = "the-former-proxys-secret"
        var keys: String
        var secret: String
        var proxy: String
    }

    private func withFiles(_ body: (Files) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func file(_ name: String, _ content: String) throws -> String {
            let path = folder.appending(path: name).path
            try content.write(toFile: path, atomically: true, encoding: .utf8)
            return path
        }
        let files = Files(
            keys: try file("keys.pem", Signer.key.publicKey.pemRepresentation),
            secret: try file("secret", Signer.secret),
            proxy: try file("proxy", Files.proxySecret + "\n")
        )
        try await body(files)
    }

    private func withServer(_ endpoints: EndpointSet, _ body: (_ authority: String) async throws -> Void) async throws {
        let router = Router(context: BrokerRequestContext.self)
        router.mount(endpoints)
        let (ports, found) = AsyncStream.makeStream(of: Int.self)
        var logger = Logger(label: "test")
        logger.logLevel = .error
        let application = Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in
                found.yield(channel.localAddress?.port ?? 0)
                found.finish()
            },
            logger: logger
        )
        let server = Task { try await application.run() }
        for await port in ports { try await body("127.0.0.1:\(port)") }
        server.cancel()
        _ = await server.result
    }
}

/// A signer of the shop's tokens.
private struct Signer: Sendable {
    static let key = ES256PrivateKey()
    static let secret = String(repeating: "the-secret-of-the-shop", count: 3)
    private let own: any JWTAlgorithm
    private let shared: any JWTAlgorithm
    private let foreign: any JWTAlgorithm
    private let foreignShared: any JWTAlgorithm

    init() async throws {
        let keys = JWTKeyCollection()
        await keys.add(ecdsa: Self.key, kid: "own")
        await keys.add(ecdsa: ES256PrivateKey(), kid: "foreign")
        await keys.add(hmac: HMACKey(from: Self.secret), digestAlgorithm: .sha256, kid: "shared")
        await keys.add(
            hmac: HMACKey(from: String(repeating: "a-guess", count: 6)), digestAlgorithm: .sha256, kid: "guess")
        own = try await keys.getKey(for: "own")
        foreign = try await keys.getKey(for: "foreign")
        shared = try await keys.getKey(for: "shared")
        foreignShared = try await keys.getKey(for: "guess")
    }

    func token(_ way: AccessMatrixTests.Way, isForeign: Bool = false, expiry: Double = 600) throws -> String {
        let key = way == .cookie ? (isForeign ? foreignShared : shared) : (isForeign ? foreign : own)
        var claims = AccessMatrixTests.claims
        claims["iss"] = "id"
        claims["aud"] = "checkout"
        claims["sub"] = "anna"
        claims["exp"] = .number((Date().timeIntervalSince1970 + expiry).rounded(.down))
        let header: JSONValue = ["alg": .string(key.name), "kid": "own"]
        let signed = "\(base64URL(header.serialized)).\(base64URL(JSONValue.object(claims).serialized))"
        return "\(signed).\(base64URL(try key.sign(Array(signed.utf8))))"
    }
}

private func base64URL(_ bytes: [UInt8]) -> String {
    Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
}

/// A server that is the vendor, the issuer of keys, and the adopter's service.
private struct Backend {
    let endpoints: EndpointSet

    init(signer: Signer, note: @escaping @Sendable (String) -> Void) async throws {
        var endpoints = await Sandbox(configuration: .init(requestsPerSecond: 0)).endpoints
        let numbers = Signer.key.parameters
        func coordinate(_ base64: String?) -> JSONValue {
            .string(base64URL(Array(Data(base64Encoded: base64 ?? "") ?? Data())))
        }
        let key: JSONValue = [
            "kty": "EC", "crv": "P-256", "kid": "own", "x": coordinate(numbers?.x), "y": coordinate(numbers?.y),
        ]
        endpoints.add(
            Fixed(path: "/jwks") { _ in
                note("keys")
                return EndpointResponse(status: .ok, body: JSONValue.object(["keys": .array([key])]).serialized)
            }
        )
        endpoints.add(
            Fixed(path: "/may") { request in
                note("callback")
                guard let body = try? await request.body.collect(upTo: 64 << 10),
                    let question = try? JSONValue.parse(body)
                else { return EndpointResponse(status: .badRequest) }
                let isTheirs =
                    question["principal"]?["subject"] == "anna"
                    && question["principal"]?["claims"]?["customer"] == question["customerId"]
                    && question["invoiceId"]?.string?.unicode.hasPrefix("inv_") == true
                return EndpointResponse(status: .ok, body: JSONValue.object(["allow": .bool(isTheirs)]).serialized)
            }
        )
        self.endpoints = endpoints
    }
}

private struct Fixed: Endpoint {
    let path: RoutePath
    let answer: @Sendable (EndpointRequest) async -> EndpointResponse
    func respond(to request: EndpointRequest) async -> EndpointResponse { await answer(request) }
}
#endif

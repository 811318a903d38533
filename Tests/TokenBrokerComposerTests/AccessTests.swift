#if ConfigurationSupport
import Foundation
import HTTPTypes
import Logging
import Testing
import TokenBroker
import TokenBrokerTesting

@testable import TokenBrokerComposer

private let demo = ["vendor.environment": "demo"]

private let forwarded = demo.with([
    "access.authenticator.kind": "forwarded", "access.authenticator.subjectHeader": "X-User",
    "access.authenticator.claims": "{customer: X-Customer, invoices: X-Invoices}",
    "access.authenticator.secretVariable": "PROXY_SECRET",
])

private let environment = credentials.with(["PROXY_SECRET": "a-secret-of-the-proxy"])

private func compose(
    _ values: [String: String], transport: any HTTPTransport = VendorDouble(),
    environment: [String: String] = environment
) async throws(ConfigurationError) -> Broker {
    try await Composer(registry: .everything).compose(
        BrokerConfiguration(yaml(values), name: "broker.yaml", environment: environment), transport: transport,
        logger: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() }
    )
}

private func post(_ fields: [String: String], customer: String = "cus_1", invoice: String = "inv_1") -> EndpointRequest
{
    var head = HTTPRequest(
        method: .post, scheme: "https", authority: "pay.example", path: "/api/checkout-token",
        headerFields: [.contentType: "application/json", .origin: "https://pay.example"]
    )
    for (name, value) in fields {
        if let name = HTTPField.Name(name) { head.headerFields[name] = value }
    }
    let body = #"{"customerId": "\#(customer)", "invoiceId": "\#(invoice)"}"#
    return EndpointRequest(head: head, body: EndpointBody(Array(body.utf8)), peer: PeerAddress(ip: "192.0.2.1"))
}

private let proxied = ["X-User": "anna", "X-Proxy-Secret": "a-secret-of-the-proxy", "X-Customer": "cus_1"]

@Suite struct `Who may have a token` {
    @Test func `the configuration file decides who gets a token`() async throws {
        let broker = try await compose(
            forwarded.with([
                "access.policy.kind": "claim", "access.policy.customer": "customer",
                "access.policy.invoice": "invoices",
            ])
        )
        let mine = proxied.with(["X-Invoices": "inv_0, inv_1"])
        #expect(await broker.endpoints.respond(to: post(mine))?.head.status == .ok)
        #expect(await broker.endpoints.respond(to: post(mine, invoice: "inv_2"))?.head.status == .forbidden)
        #expect(await broker.endpoints.respond(to: post(mine, customer: "cus_2"))?.head.status == .forbidden)
        #expect(await broker.endpoints.respond(to: post(proxied))?.head.status == .forbidden)
        let wrong = mine.with(["X-Proxy-Secret": "guess"])
        #expect(await broker.endpoints.respond(to: post(wrong))?.head.status == .unauthorized)
    }

    @Test func `policies can be combined, and overridden by environment variables`() async throws {
        let values = forwarded.with([
            "access.policy.kind": "all", "access.policy.of.mine.kind": "claim",
            "access.policy.of.mine.customer": "customer", "access.policy.of.theirs.kind": "any",
            "access.policy.of.theirs.of.listed.kind": "claim", "access.policy.of.theirs.of.listed.invoice": "invoices",
            "access.policy.of.theirs.of.vendor.kind": "vendor-invoice",
        ])
        let broker = try await compose(values.with(["access.policy.of.theirs.kind": "all"]), transport: Invoices())
        let listed = proxied.with(["X-Invoices": "inv_1"])
        #expect(await broker.endpoints.respond(to: post(listed))?.head.status == .ok)
        #expect(await broker.endpoints.respond(to: post(proxied))?.head.status == .forbidden)
        let variable = environment.with(["TOKEN_BROKER_ACCESS_POLICY_OF_MINE_CUSTOMER": "invoices"])
        let other = try await compose(
            values.with(["access.policy.of.theirs.kind": "all"]), transport: Invoices(), environment: variable
        )
        #expect(await other.endpoints.respond(to: post(listed))?.head.status == .forbidden)
    }

    /// A missing invoice, a foreign invoice and an invoice that the claims do not name cost the same vendor calls and
    /// get the same response.
    @Test func `missing, foreign and unlisted invoices get the same answer at the same cost`() async throws {
        let vendor = Invoices()
        let broker = try await compose(
            forwarded.with([
                "access.policy.kind": "all", "access.policy.of.mine.kind": "claim",
                "access.policy.of.mine.customer": "customer", "access.policy.of.theirs.kind": "vendor-invoice",
            ]), transport: vendor
        )
        #expect(await broker.endpoints.respond(to: post(proxied))?.head.status == .ok)
        var answers: [EndpointResponse] = []
        for (customer, invoice) in [
            ("cus_1", "inv_none"), ("cus_1", "oth_1"), ("cus_2", "oth_1"), ("cus_2", "inv_none"),
        ] {
            let before = vendor.diary.entries.count
            answers.append(
                try #require(await broker.endpoints.respond(to: post(proxied, customer: customer, invoice: invoice)))
            )
            #expect(vendor.diary.entries.dropFirst(before).count == 1)
            #expect(
                vendor.diary.entries.last == "GET https://public-api.demo.alternativepayments.io/invoices/\(invoice)")
        }
        // They differ only in the random id of the request.
        let heads = try answers.map { answer in
            var head = answer.head
            head.headerFields[try #require(.init("X-Request-ID"))] = nil
            return head
        }
        #expect(heads.allSatisfy { $0 == heads.first })
        #expect(answers.allSatisfy { $0.body == answers.first?.body })
        #expect(answers.first?.head.status == .forbidden)
    }

    /// During an outage, no response reveals anything about an invoice, and a customer's own invoice is not reported as
    /// missing.
    @Test func `every invoice gets the same answer while the vendor is unavailable`() async throws {
        let broker = try await compose(
            forwarded.with([
                "access.policy.kind": "all", "access.policy.of.mine.kind": "claim",
                "access.policy.of.mine.customer": "customer", "access.policy.of.theirs.kind": "vendor-invoice",
            ]),
            transport: InMemoryTransport { request, _ in
                guard request.path?.hasPrefix("/invoices/") == true else {
                    return try await VendorDouble().send(request, body: [], options: .init())
                }
                return TransportResponse(head: HTTPResponse(status: .serviceUnavailable))
            }
        )
        var bodies: Set<[UInt8]> = []
        for (customer, invoice) in [("cus_1", "inv_1"), ("cus_1", "inv_none"), ("cus_2", "oth_1")] {
            let response = await broker.endpoints.respond(to: post(proxied, customer: customer, invoice: invoice))
            #expect(response?.head.status == .serviceUnavailable)
            #expect(response?.head.headerFields[.retryAfter] != nil)
            bodies.insert(response?.body ?? [])
        }
        #expect(bodies.count == 1)
    }
}

/// A ``VendorDouble`` with the invoices `inv_1` of `cus_1` and `oth_1` of `cus_2`.
private struct Invoices: HTTPTransport {
    var diary = Diary()

    func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        let owner =
            switch request.path {
            case "/invoices/inv_1": "cus_1"
            case "/invoices/oth_1": "cus_2"
            default: String?.none
            }
        guard let owner, let path = request.path else {
            return try await VendorDouble(diary: diary).send(request, body: body, options: options)
        }
        diary.note("GET https://\(request.authority ?? "")\(path)")
        let invoice = #"{"id": "\#(path.dropFirst(10))", "customer_id": "\#(owner)"}"#
        return TransportResponse(head: HTTPResponse(status: .ok), body: Array(invoice.utf8))
    }
}

@Suite struct `A policy that leaves the invoice open` {
    private static let claim = ["kind": "claim", "customer": "customer"]

    @Test(arguments: [
        (["kind": "claim", "customer": "customer"], "only that the customer does", "vendor-invoice"),
        (["kind": "vendor-invoice"], "only that it belongs to the customer", "claim"),
        (
            [
                "kind": "any", "of.a.kind": "claim", "of.a.customer": "customer", "of.b.kind": "callback",
                "of.b.url": "https://shop.example/may",
            ], "only that the customer does", "vendor-invoice"
        ),
        (
            [
                "kind": "any", "of.a.kind": "claim", "of.a.customer": "customer", "of.b.kind": "vendor-invoice",
            ], "neither", "under any"
        ),
    ])
    func `a policy that leaves the invoice unbound stops the start`(
        _ policy: [String: String], _ found: String, _ advice: String
    ) async throws {
        let values = forwarded.merging(policy.map { ("access.policy.\($0)", $1) }) { $1 }
        let error = await #expect(throws: ConfigurationError.self) { try await compose(values) }
        let problem = try #require(error?.problems.first)
        #expect(error?.problems.count == 1)
        #expect(problem.key == "access.policy")
        #expect(problem.code == .conflict)
        #expect(problem.place.hasPrefix("broker.yaml:"))
        #expect(problem.message.contains("found one that proves \(found)"))
        #expect(problem.message.contains(advice))
    }

    @Test(arguments: [
        ["kind": "claim", "invoice": "invoices"],
        ["kind": "callback", "url": "https://shop.example/may"],
        ["kind": "all", "of.a.kind": "claim", "of.a.customer": "customer", "of.b.kind": "vendor-invoice"],
        [
            "kind": "any", "of.a.kind": "callback", "of.a.url": "https://shop.example/may", "of.b.kind": "claim",
            "of.b.invoice": "invoices",
        ],
    ])
    func `a policy that binds the invoice is accepted`(_ policy: [String: String]) async throws {
        _ = try await compose(forwarded.merging(policy.map { ("access.policy.\($0)", $1) }) { $1 })
    }
}

@Suite struct `What is wrong with access control` {
    private func problem(_ values: [String: String], sourceLocation: SourceLocation = #_sourceLocation) throws -> String
    {
        let problems = problems(
            forwarded.with(["access.policy.kind": "claim", "access.policy.invoice": "i"]).with(values),
            sourceLocation: sourceLocation
        )
        #expect(problems.count == 1, sourceLocation: sourceLocation)
        return "\(try #require(problems.first?.key)): \(try #require(problems.first?.message))"
    }

    @Test(arguments: [
        (
            "access.authenticator.trustedPeers", "[10.0.0.1/8]",
            "expected a list, each element an IP address, or a block"
        ),
        ("access.authenticator.subjectHeader", "\"X User\"", "expected the name of a header field"),
        (
            "access.authenticator.claims", "{customer: \"X Customer\"}",
            "expected a map from claims to the names of header"
        ),
        ("access.authenticator.claims", "[a]", "expected a map from claims"),
        ("access.authenticator.secretFile", "/run/secret", "expected secretFile or secretVariable, found both"),
        ("access.policy.invoice", "[]", "expected text, found a list"),
        ("access.policy.inwoice", "x", "found an unknown key; did you mean invoice?"),
    ])
    func `an invalid access control value is reported with what was expected`(
        _ key: String, _ value: String, _ message: String
    ) throws {
        #expect(try problem([key: value]).contains(message))
    }

    @Test(arguments: [
        nil, "[0.0.0.0/0]", "[\"::/0\"]", "[0.0.0.0/1, 128.0.0.0/1]", "[\"::ffff:0:0/96\"]", "[\"2000::/3\"]",
        "[10.0.0.1, 0.0.0.0/1, 128.0.0.0/2, 192.0.0.0/3]",
    ])
    func `trusted peers or proxies that cover everyone are refused in the configuration`(peers: String?) throws {
        var values = forwarded.with(["access.policy.kind": "claim", "access.policy.invoice": "i"])
        values["access.authenticator.secretVariable"] = nil
        values["access.authenticator.trustedPeers"] = peers
        let problem = try #require(problems(values).first)
        #expect(problem.key == "access.authenticator.trustedPeers")
        #expect(problem.message.contains("so that not everyone can pose as the proxy"))
        #expect(problem.message.contains("found \(peers == nil ? "none" : "blocks")"))
        #expect(problem.line != nil)
        values["access.authenticator.trustedPeers"] = "[10.0.0.0/8, \"fd00::/8\"]"
        _ = try settings(values)
        guard let peers else { return }
        values["server.trustedProxies"] = peers
        let proxies = try #require(problems(values).first)
        #expect(proxies.key == "server.trustedProxies")
        #expect(proxies.message.contains("expected blocks with the addresses of your proxies, found blocks"))
        #expect(proxies.line != nil)
    }

    @Test(arguments: [
        "Forwarded", "X-Forwarded-For", "x-forwarded-anything", "Cookie", "Host", "X-Real-IP", "Sec-Fetch-Site",
        "Origin",
        "Proxy-Authorization", "Connection", "Transfer-Encoding", "\"*\"", "\"a b\"", "Content-Length",
        "X-Original-URL", "Via",
        "X-Proxy-Secret",
    ])
    func `a header that pages must never send cannot be allowed`(name: String) throws {
        #expect(try problem(["route.allowedHeaders": "[X-CSRF-Token, \(name)]"]).contains("route.allowedHeaders"))
    }

    @Test func `a header that the proxy sets for the authenticator cannot be allowed for pages`() async throws {
        let values = forwarded.with([
            "access.policy.kind": "claim", "access.policy.invoice": "i",
            "route.allowedHeaders": "[\(forwarded["access.authenticator.subjectHeader"] ?? "")]",
        ])
        let error = await #expect(throws: ConfigurationError.self) { try await compose(values) }
        let problem = try #require(error?.problems.first)
        #expect(problem.key == "route.allowedHeaders")
        #expect(problem.line != nil)
        #expect(problem.message.contains("expected no field that the proxy sets for the authenticator, found"))
    }

    @Test func `a claim policy needs a claim, and a callback policy a secure URL`() throws {
        var values = forwarded.with(["access.policy.kind": "claim"])
        #expect(problems(values).first?.key == "access.policy.customer")
        values["access.policy.kind"] = "callback"
        #expect(problems(values).map(\.key) == ["access.policy.url"])
        values["access.policy.url"] = "http://shop.example/may"
        #expect(
            problems(values).first?.message
                == "expected an https URL, or an http URL with a loopback host, found other text")
    }

    @Test(arguments: [
        (["of": "{}"], "access.policy.of", "a name of your choice for each part"),
        (["of": "[a]"], "access.policy.of", "found a list"), ([:], "access.policy.of", "found nothing"),
        (["of.a-b.kind": "claim"], "access.policy.of.a-b", "expected a name of letters and digits"),
        (["of.a.kind": "clam"], "access.policy.of.a.kind", "did you mean claim?"),
        (["of.a.customer": "x"], "access.policy.of.a.kind", "expected one of all, any, callback, claim"),
        (
            ["of.a.kind": "claim", "of.a.custmer": "x", "of.a.invoice": "i"], "access.policy.of.a.custmer",
            "did you mean customer?"
        ),
        (["of.a.kind": "all", "of.a.of.b.kind": "any"], "access.policy.of.a.of.b.of", "found nothing"),
    ])
    func `an error in a combination of policies is reported at its key`(
        _ policy: [String: String], _ key: String, _ message: String
    ) throws {
        let values = forwarded.with(["access.policy.kind": "all"])
            .merging(policy.map { ("access.policy.\($0)", $1) }) { $1 }
        let problem = try #require(problems(values).first)
        #expect(problem.key == key)
        #expect(problem.message.contains(message))
    }

    @Test(arguments: ["", "short", "sentinel-1\nsentinel-2"])
    func `a proxy secret that cannot be used is reported without its value`(_ secret: String) async throws {
        let values = forwarded.with(["access.policy.kind": "claim", "access.policy.invoice": "i"])
        let error = await #expect(throws: ConfigurationError.self) {
            try await compose(values, environment: ["PROXY_SECRET": secret])
        }
        let problem = try #require(error?.problems.first)
        #expect(problem.key == "access.authenticator.secretVariable")
        #expect(problem.message.contains("the variable PROXY_SECRET"))
        #expect(!"\(problem)".contains("sentinel"))
    }
}

#if JWTSupport
@Suite struct `The authenticator jwt` {
    private static let base = demo.with([
        "access.authenticator.kind": "jwt", "access.authenticator.issuer": "\"https://id.example\"",
        "access.authenticator.audience": "checkout", "access.authenticator.algorithms": "[ES256]",
        "access.policy.kind": "claim", "access.policy.invoice": "invoices",
    ])
    private static let key =
        #"{"kty": "EC", "crv": "P-256", "kid": "1", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#

    @Test(arguments: [
        ["keys": #"{"keys": [\#(key)]}"#], ["keys": key], ["jwksURL": "\"https://id.example/jwks\""],
        ["keys": "'{\"keys\": [\(key)]}'", "cookie": "__Host-session", "leeway": "0s", "tenantClaim": "org"],
        ["secretVariable": "PROXY_SECRET", "algorithms": "[HS256]"],
    ])
    func `the jwt authenticator accepts each documented source of keys`(_ values: [String: String]) async throws {
        let variables = ["PROXY_SECRET": String(repeating: "s", count: 32)]
        _ = try await compose(
            Self.base.merging(values.map { ("access.authenticator.\($0)", $1) }) { $1 }, environment: variables
        )
    }

    @Test(arguments: [
        ([:], "jwksURL", "expected one of jwksURL, keysFile, keys, secretFile, secretVariable, found none"),
        (["keysFile": "/k", "jwksURL": "\"https://id.example/\""], "keysFile", "found jwksURL and keysFile"),
        (["jwksURL": "\"http://id.example/\""], "jwksURL", "expected an https URL"),
        (["keysFile": "/k", "algorithms": "[none]"], "algorithms", "found none as element 1"),
        (["keysFile": "/k", "algorithms": "[]"], "algorithms", "with at least one element"),
        (["keysFile": "/k", "algorithms": "[es256]"], "algorithms", "did you mean ES256?"),
        (["secretFile": "/s"], "algorithms", "expected only HS256, HS384 or HS512 with secretFile"),
        (["keys": key, "algorithms": "[ES256, HS256]"], "algorithms", "public keys are not secrets"),
        (["keysFile": "/k", "cookie": "\"a b\""], "cookie", "expected the name of a cookie"),
        (["keysFile": "/k", "leeway": "1h"], "leeway", "expected a duration from 0s to 5m"),
    ])
    func `an invalid setting of the jwt authenticator is reported by key`(
        _ values: [String: String], _ key: String, _ message: String
    ) throws {
        let problem = try #require(
            problems(Self.base.merging(values.map { ("access.authenticator.\($0)", $1) }) { $1 }).first
        )
        #expect(problem.key == "access.authenticator.\(key)")
        #expect(problem.message.contains(message))
    }

    @Test(arguments: [
        (["keys": #"{"keys": []}"#], "it has no signature key"),
        (["keys": #"{"kty": "oct", "k": "c2VudGluZWw"}"#], "a shared secret does not belong here"),
        (["keys": "{a: 1}"], "expected a JWK set"), (["keysFile": "/nowhere.json"], "no such file"),
        (["keys": key, "algorithms": "[RS256]"], "expected a key for RS256, found none"),
        (
            ["secretVariable": "PROXY_SECRET", "algorithms": "[HS256]"],
            "expected at least 32 bytes in a secret, found fewer"
        ),
    ])
    func `the jwt authenticator does not start with unusable keys`(
        _ values: [String: String], _ message: String
    ) async throws {
        let error = await #expect(throws: ConfigurationError.self) {
            try await compose(Self.base.merging(values.map { ("access.authenticator.\($0)", $1) }) { $1 })
        }
        let problem = try #require(error?.problems.first)
        let named = ["keysFile", "secretVariable"].first { values[$0] != nil }.map { ".\($0)" } ?? ""
        #expect(problem.key == "access.authenticator\(named)")
        #expect(problem.message.contains(message))
    }
}
#else
@Suite struct `The authenticator jwt` {
    @Test func `the jwt authenticator without its trait is reported with the trait that it needs`() throws {
        let values = demo.with([
            "access.authenticator.kind": "jwt", "access.authenticator.issuer": "x", "access.policy.kind": "claim",
            "access.policy.invoice": "i",
        ])
        let problems = problems(values)
        #expect(problems.map(\.key) == ["access.authenticator.kind"])
        #expect(problems.first?.message.contains("JWTSupport") == true)
    }
}
#endif
#endif

#if ConfigurationSupport && JWTSupport
import Foundation
import HTTPTypes
import InMemoryLogging
import InMemoryTracing
import Logging
import Metrics
import MetricsTestKit
import Testing
import TokenBroker
import TokenBrokerCrypto
import TokenBrokerJWT
import TokenBrokerTesting
import Tracing

@testable import TokenBrokerComposer

/// The secrets that must not appear anywhere. All begin alike, so that a part of one is found as well.
private enum Sentinel {
    static let clientID = "sentinel-client-id", clientSecret = "sentinel-client-secret",
        accessToken = "sentinel-access-token"
    static let auditKey = "sentinel-audit-key-with-which-principals-are-hashed", principal = "sentinel-principal"
    static let proof = "sentinel-proof", cookie = "sentinel-cookie", vendorText = "sentinel-vendor-text"
    static let shared = "sentinel-shared-secret-that-is-long-enough-to-be-a-key-for-every-algorithm"

    /// Returns whether a text contains a sentinel: literally, in base64 at any offset, in hexadecimal, or as an array
    /// of bytes.
    static func isIn(_ text: String) -> Bool {
        let marker = Array("sentinel".utf8)
        let encoded = (0..<3).map { offset in
            // The first and the last base64 characters depend on the neighbouring bytes.
            Data([UInt8](repeating: 0, count: offset) + marker).base64EncodedString().dropFirst(
                offset == 0 ? 0 : offset + 1
            ).prefix(8)
        }
        let hexadecimal = marker.map { String($0, radix: 16) }.joined()
        let numbers = text.split { !$0.isNumber }.map(String.init).joined(separator: " ")
        return text.contains("sentinel") || encoded.contains { text.contains($0) }
            || text.lowercased().contains(hexadecimal)
            || " \(numbers) ".contains(" \(marker.map(String.init).joined(separator: " ")) ")
    }
}

/// Returns every textual form of a value.
private func texts(of value: Any) -> String {
    var text = "\(value)\n\(String(reflecting: value))\n\(Optional(value) as Any)\n\([value])\n"
    text += Mirror(reflecting: value).children.map { "\($0)\n" }.joined()
    dump(value, to: &text)
    if let error = value as? any Error { text += "\(error.localizedDescription)\n" }
    return text
}

/// A vendor whose responses are full of text that must not be passed on.
private struct LooseLippedVendor: HTTPTransport, CustomReflectable {
    /// The response at step 1, and the one at step 2, instead of a token.
    var first: (Int, String)?
    var second: (Int, String)?

    static let failures: [(Int, String)] = [
        (200, ""), (200, "<html>\(Sentinel.vendorText)</html>"), (200, #"{"error": "\#(Sentinel.vendorText)"}"#),
        (200, #"{"access_token": 7, "token": ["\#(Sentinel.vendorText)"], "token_type": "\#(Sentinel.vendorText)"}"#),
        (
            200,
            #"{"access_token": "\#(Sentinel.accessToken)", "token_type": "\#(Sentinel.vendorText)", "expires_in": -1}"#
        ),
        (302, ""), (400, #"{"code": "\#(Sentinel.vendorText)", "message": "\#(Sentinel.vendorText)"}"#),
        (401, Sentinel.vendorText), (403, #"{"error": {"message": "\#(Sentinel.vendorText)"}}"#),
        (404, Sentinel.vendorText),
        (404, #"{"code": "\#(Sentinel.vendorText)", "message": ""}"#),
        (422, #"{"errors": ["\#(Sentinel.vendorText)"]}"#),
        (429, Sentinel.vendorText), (500, Sentinel.vendorText), (503, "{"),
    ]

    func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        var (status, text) =
            request.path == "/oauth/token"
            ? first ?? (200, #"{"access_token": "\#(Sentinel.accessToken)", "expires_in": 3600, "scope": "sentinel"}"#)
            : second ?? (200, #"{"token": "\#(Self.checkoutToken)", "expires_at": "2099-01-01T00:00:00Z"}"#)
        if status == 0 { (status, text) = (500, "") }
        var head = HTTPResponse(status: .init(code: status, reasonPhrase: "sentinel"))
        head.headerFields = [
            .setCookie: Sentinel.cookie, .location: "https://\(Sentinel.vendorText).example",
            .retryAfter: Sentinel.vendorText,
            .wwwAuthenticate: #"Bearer error="\#(Sentinel.vendorText)""#,
        ]
        return TransportResponse(head: head, body: Array(text.utf8))
    }

    /// A mirror without children: this double is not part of what is tested.
    var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }

    /// A checkout token for `cus_1` and `inv_1`.
    static let checkoutToken: String = {
        let claims = #"{"customer_id": "cus_1", "invoice_id": "inv_1", "exp": 4102444800, "note": "sentinel"}"#
        return "e30." + base64URL(claims) + "." + base64URL("sentinel-signature")
    }()
}

private func base64URL(_ text: String) -> String {
    Data(text.utf8).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
}

@Suite struct `Leaks` {
    private static let environment = [
        "ALTERNATIVE_CLIENT_ID": Sentinel.clientID, "ALTERNATIVE_CLIENT_SECRET": Sentinel.clientSecret,
        "SHARED": Sentinel.shared, "AUDIT_KEY": Sentinel.auditKey,
    ]
    private static let access: [[String: String]] = [
        ["access.mode": "open"],
        [
            "access.authenticator.kind": "forwarded", "access.authenticator.subjectHeader": "X-User",
            "access.authenticator.claims": "{customer: X-Customer, invoices: X-Invoices}",
            "access.authenticator.secretVariable": "SHARED", "access.policy.kind": "claim",
            "access.policy.customer": "customer", "access.policy.invoice": "invoices",
        ],
        [
            "access.authenticator.kind": "jwt", "access.authenticator.issuer": "https://id.example",
            "access.authenticator.audience": "shop", "access.authenticator.algorithms": "[HS256]",
            "access.authenticator.secretVariable": "SHARED", "access.authenticator.cookie": "session",
            "access.policy.kind": "callback", "access.policy.url": "https://shop.example/may",
            "access.policy.secretVariable": "SHARED",
        ],
    ]

    /// Requests that are allowed, and one for every reason to refuse a request.
    private static let requests: [EndpointRequest] = {
        var requests: [EndpointRequest] = []
        let session = #"{"customerId": "cus_1", "invoiceId": "inv_1", "replaces": "\#(Sentinel.accessToken)"}"#
        let forged =
            base64URL(#"{"alg": "HS256", "kid": "sentinel"}"#) + "." + base64URL(#"{"sub": "sentinel"}"#)
            + ".c2VudGluZWw"
        for (method, path, body) in [
            (HTTPRequest.Method.post, "/api/checkout-token", session),
            (.post, "/api/checkout-token", #"{"customerId": "sentinel", "invoiceId": 7}"#),
            (.post, "/api/checkout-token", #"{"sentinel": "sentinel", "sentinel": 1}"#),
            (.post, "/api/checkout-token", "sentinel"),
            (.post, "/api/checkout-token", String(repeating: "sentinel", count: 10_000)),
            (.put, "/api/checkout-token?sentinel", session), (.options, "/api/checkout-token", ""),
            (.get, "/readyz?sentinel", ""),
        ] {
            for (authority, peer, fields) in [
                ("localhost", "127.0.0.1", [:]), ("localhost", "192.0.2.1", ["Cookie": "session=\(forged)"]),
                ("pay.example", "192.0.2.1", ["Authorization": "Bearer \(forged)"]),
                ("pay.example", "192.0.2.1", ["Authorization": "Basic \(Sentinel.proof)", "Cookie": Sentinel.cookie]),
                (
                    "pay.example", "192.0.2.1",
                    [
                        "X-User": Sentinel.principal, "X-Proxy-Secret": Sentinel.shared, "X-Customer": "cus_1",
                        "X-Invoices": "inv_1",
                    ]
                ),
                (
                    "pay.example", "192.0.2.1",
                    ["X-User": Sentinel.principal, "X-Proxy-Secret": Sentinel.proof, "X-Forwarded-For": "sentinel"]
                ),
                // Only the scheme, host and port of an origin are logged.
                ("pay.example", "192.0.2.1", ["Origin": "https://sentinel@evil.example"]),
                ("pay.example", "192.0.2.1", ["Origin": "https://evil.example/sentinel"]),
                ("pay.example", "192.0.2.1", ["Content-Type": "sentinel/sentinel"]),
            ] as [(String, String, [String: String])] {
                var head = HTTPRequest(method: method, scheme: "https", authority: authority, path: path)
                head.headerFields = [.contentType: "application/json"]
                if fields["Origin"] == nil { head.headerFields[.origin] = "https://\(authority)" }
                for (name, value) in fields { if let name = HTTPField.Name(name) { head.headerFields[name] = value } }
                requests.append(
                    EndpointRequest(head: head, body: EndpointBody(Array(body.utf8)), peer: PeerAddress(ip: peer)))
            }
        }
        return requests
    }()

    /// Sends every request with every access configuration and every vendor response.
    ///
    /// The test searches the trace log, metrics, spans, responses, thrown errors, and the textual forms of every part.
    @Test(arguments: access.indices)
    func `no secret is in any log, metric, span, answer, error or description`(access index: Int) async throws {
        let (logger, log) = recordingLogger()
        let (metrics, tracer) = (TestMetrics(), InMemoryTracer())
        let failures = LooseLippedVendor.failures
        let vendors =
            [LooseLippedVendor()] + failures.map { LooseLippedVendor(first: $0) }
            + failures.map { LooseLippedVendor(second: $0) }
        var printed = ""
        var statuses: Set<Int> = []
        try await withMetricsFactory(metrics) {
            try await withTracer(tracer) {
                try await withThrowingTaskGroup(of: (String, Set<Int>).self) { group in
                    for vendor in vendors {
                        group.addTask { try await everythingPrinted(with: vendor, Self.access[index], logger) }
                    }
                    for try await (text, answered) in group {
                        printed += text
                        statuses.formUnion(answered)
                    }
                }
            }
        }
        printed += told(by: metrics, tracer)
        if index == 1 { try expectPseudonyms(in: log) }
        for entry in log.entries { printed += "\(entry.message) \(entry.metadata)\n" }
        #expect(!log.entries.isEmpty)
        #expect(statuses.isSuperset(of: [400, 401, 405]) || index == 2)
        if index < 2 { #expect(statuses.isSuperset(of: [200, 422, 500, 503])) }
        let isLeak = Sentinel.isIn(printed)
        #expect(!isLeak)
        if isLeak {
            for line in printed.split(separator: "\n") where Sentinel.isIn(String(line)) {
                Issue.record("\(line.prefix(500))")
            }
        }
        // No token may appear either, although its encoding hides the sentinels.
        #expect(!printed.contains(LooseLippedVendor.checkoutToken.prefix(20)))
    }

    /// Returns every label, dimension and attribute. They must not name a customer, invoice or principal either,
    /// although the log may.
    private func told(by metrics: TestMetrics, _ tracer: InMemoryTracer) -> String {
        let labels =
            metrics.counters.map { ($0.label, $0.dimensions) } + metrics.meters.map { ($0.label, $0.dimensions) }
            + metrics.timers.map { ($0.label, $0.dimensions) } + metrics.recorders.map { ($0.label, $0.dimensions) }
        var told = "\(labels)\n"
        dump(tracer.finishedSpans, to: &told)
        #expect(
            Set(labels.map { $0.0.replacing("token_broker_", with: "") }) == [
                "breaker_open", "cache_entries", "cache_evictions_total", "cache_lookups_total",
                "clock_difference_seconds", "credentials_refused",
                "rate_limit_queue_length", "rate_limit_throttled_total", "rate_limit_wait_seconds",
                "request_duration_seconds", "requests_in_flight", "requests_total", "token_expiry_seconds",
                "token_fetch_duration_seconds", "token_fetches_total", "token_retries_total",
                "vendor_call_duration_seconds", "vendor_calls_total",
            ]
        )
        #expect(Set(tracer.finishedSpans.map(\.operationName)) == ["token.fetch", "vendor.call"])
        for id in ["cus_1", "inv_1"] { #expect(!told.contains(id)) }
        return told
    }

    /// Expects that the log names the principal only as a hash with the configured key.
    private func expectPseudonyms(in log: InMemoryLogHandler) throws {
        let key = try AuditSection.Settings(key: .variable("AUDIT_KEY"), hash: HMACSHA256())
            .pseudonym(environment: Self.environment)
        let pseudonyms = Set(log.entries.compactMap { $0.metadata["principal"]?.description })
        #expect(pseudonyms == [key(Principal(subject: Sentinel.principal))])
    }

    /// Uses a key that is too short, and a key in place of the name of its variable.
    @Test(arguments: [["audit.keyVariable": "SHORT"], ["audit.keyVariable": "sentinel-key"]])
    func `an unusable audit key is not in the error that reports it`(values: [String: String]) async throws {
        let (logger, log) = recordingLogger()
        let configuration = try BrokerConfiguration(
            yaml(minimal.with(values)), name: "broker.yaml", environment: ["SHORT": "sentinel-short"]
        )
        let error = await #expect(throws: ConfigurationError.self) {
            try await Composer(registry: .everything).compose(
                configuration, transport: LooseLippedVendor(), logger: logger)
        }
        let printed =
            texts(of: try #require(error)) + texts(of: configuration)
            + log.entries.map { "\($0.message) \($0.metadata)\n" }.joined()
        #expect(!Sentinel.isIn(printed), "\(printed)")
    }

    private static let misplaced: [[String: String]] = {
        let demo = ["vendor.environment": "demo"]
        let policy = ["access.policy.kind": "claim", "access.policy.invoice": "invoices"]
        let forwarded = demo.with(policy).with([
            "access.authenticator.kind": "forwarded", "access.authenticator.subjectHeader": "X-User",
        ])
        let jwt = demo.with(policy).with([
            "access.authenticator.kind": "jwt", "access.authenticator.issuer": "i",
            "access.authenticator.audience": "a",
        ])
        let callback = forwarded.with([
            "access.authenticator.trustedPeers": "[10.0.0.1]", "access.policy.kind": "callback",
            "access.policy.url": "https://shop.example/may",
        ]).filter { $0.key != "access.policy.invoice" }
        return [("sentinel-4242-secret", "File"), ("s3nt1nelsentinel4242", "Variable")].flatMap { text, kind in
            [
                forwarded.with(["access.authenticator.secret\(kind)": text]),
                jwt.with(["access.authenticator.secret\(kind)": text, "access.authenticator.algorithms": "[HS256]"]),
                callback.with(["access.policy.secret\(kind)": text]), minimal.with(["audit.key\(kind)": text]),
            ]
        } + [
            jwt.with([
                "access.authenticator.keysFile": "sentinel-4242-secret", "access.authenticator.algorithms": "[RS256]",
            ]), minimal.with(["transport.caFile": "sentinel-4242-secret"]),
            minimal.with(["transport.clientCertificate": "sentinel/4242+secret=="]),
            minimal.with([
                "transport.clientCertificate": "/a.pem",
                "transport.clientKeyPassphraseVariable": "s3nt1nelsentinel4242",
            ]),
            minimal.with([
                "transport.proxy": "http://p.example:1", "transport.proxyCredentialsVariable": "s3nt1nelsentinel4242",
            ]),
        ]
    }()

    @Test(arguments: misplaced)
    func `a secret given where its location belongs stops the start and is not shown`(values: [String: String])
        async throws
    {
        let (logger, log) = recordingLogger()
        let configuration = try BrokerConfiguration(yaml(values), name: "broker.yaml", environment: Self.environment)
        let error = await #expect(throws: ConfigurationError.self) {
            try await Composer(registry: .everything).compose(configuration, logger: logger)
        }
        let printed =
            texts(of: try #require(error)) + log.entries.map { "\($0.message) \($0.metadata)\n" }.joined()
        #expect(!printed.contains("4242"), "\(printed)")
        #expect(printed.contains("configured") || printed.contains("cannot be read"))
    }

    @Test(arguments: [
        ["credentials.environment.clientSecret": "s3nt1nelsentinel4242"],
        ["credentials.environment.clientID": "s3nt1nelsentinel4242"],
        [
            "credentials.sources": "[vault]", "credentials.vault.address": "https://v.example",
            "credentials.vault.path": "p",
            "credentials.vault.tokenFile": "sentinel-4242-secret",
        ],
        [
            "credentials.sources": "[vault]", "credentials.vault.address": "https://v.example",
            "credentials.vault.path": "p",
            "credentials.vault.tokenVariable": "s3nt1nelsentinel4242",
        ],
    ])
    func `a secret given where its name belongs is not in the error that loading it throws`(
        values: [String: String]
    ) async throws {
        let (logger, log) = recordingLogger()
        let configuration = try BrokerConfiguration(
            yaml(minimal.with(values)), name: "broker.yaml", environment: Self.environment)
        let broker = try await Composer(registry: .everything).compose(
            configuration, transport: LooseLippedVendor(), logger: logger)
        let error = await #expect(throws: CredentialError.self) {
            try await broker.credentials.credentials(for: "alternative-payments")
        }
        let printed =
            texts(of: try #require(error)) + log.entries.map { "\($0.message) \($0.metadata)\n" }.joined()
        #expect(!printed.contains("4242"), "\(printed)")
        await broker.shutdown()
    }

    private func everythingPrinted(
        with vendor: LooseLippedVendor, _ access: [String: String], _ logger: Logger
    ) async throws -> (String, Set<Int>) {
        let values = [
            "vendor.environment": "demo", "tokens.requestsPerSecond": "1000000", "audit.keyVariable": "AUDIT_KEY",
        ]
        .with(access)
        let configuration = try BrokerConfiguration(yaml(values), name: "broker.yaml", environment: Self.environment)
        let broker = try await Composer(registry: .everything).compose(configuration, transport: vendor, logger: logger)
        var printed = texts(of: configuration)
        var statuses: Set<Int> = []
        // Requests that are refused before any vendor call need only one run.
        let isFirst = vendor.first == nil && vendor.second == nil
        for request in isFirst ? Self.requests : Array(Self.requests.prefix(8)) {
            guard let answer = await broker.endpoints.respond(to: request) else { continue }
            statuses.insert(answer.head.status.code)
            if isFirst { printed += texts(of: request) + texts(of: answer) }
            printed += answer.head.headerFields.map { "\($0)" }.joined() + "\n"
            if answer.head.status != .ok { printed += String(decoding: answer.body, as: UTF8.self) + "\n" }
        }
        for (provider, request) in [
            (broker.accessTokens, TokenRequest()),
            (broker.checkoutTokens, TokenRequest(customer: "cus_1", invoice: "inv_1")),
        ] {
            do throws(TokenError) {
                printed += texts(of: try await provider.token(for: request))
            } catch {
                printed += texts(of: error) + texts(of: error.cause as Any)
            }
            if isFirst { printed += texts(of: provider) }
        }
        guard isFirst else {
            await broker.shutdown()
            return (printed, statuses)
        }
        printed += texts(of: broker) + texts(of: broker.credentials) + texts(of: broker.endpoints)
        for endpoint in broker.endpoints.endpoints { printed += texts(of: endpoint) }
        printed += texts(of: try await broker.credentials.credentials(for: "alternative-payments"))
        await broker.shutdown()
        return (printed, statuses)
    }

    @Test func `the search for leaked secrets finds encoded and nested ones`() {
        #expect(Sentinel.isIn("Basic " + Data("a:sentinel".utf8).base64EncodedString()))
        for length in 0..<6 {
            #expect(
                Sentinel.isIn(Data((String(repeating: "x", count: length) + "sentinel-1").utf8).base64EncodedString()))
        }
        #expect(Sentinel.isIn(texts(of: Array("a sentinel".utf8))))
        #expect(Sentinel.isIn(texts(of: HTTPRequest(method: .get, scheme: "https", authority: "a", path: "/sentinel"))))
        struct Holder { var token: String }
        #expect(Sentinel.isIn(texts(of: Holder(token: "sentinel"))))
        #expect(!Sentinel.isIn("a sentence"))
    }
}
#endif

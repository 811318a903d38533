#if ConfigurationSupport
import FoundationEssentials
import Testing
import TokenBroker

@testable import TokenBrokerComposer

/// A key with accepted and refused values.
struct KeyCase: Sendable, CustomTestStringConvertible {
    var key: String
    var variable: String
    /// The text in a file, and the value that it gives.
    var written: String
    var value: String
    /// The text in a variable, and the value that it gives.
    var inEnvironment: String
    var overridden: String
    /// The values that are refused, and what the error reports as found.
    var refused: [String: String]
    /// What the error reports as expected.
    var expected: String
    /// Other keys that this one needs.
    var besides: [String: String] = [:]
    var read: @Sendable (Settings) -> String

    var testDescription: String { key }
}

private func quotaCase(
    _ name: String, _ inVariable: String, _ quota: @escaping @Sendable (RequestLimits) -> Quota?
) -> KeyCase {
    KeyCase(
        key: "quotas.\(name).perMinute", variable: "TOKEN_BROKER_QUOTAS_\(inVariable)_PER_MINUTE", written: "60",
        value: "60",
        inEnvironment: "none", overridden: "none", refused: ["0": "0", "1.5": "1.5", "nine": "nine"],
        expected: "a whole number from 1 to 1000000000, or none",
        read: { settings in quota(settings.limits).map { "\($0.perMinute)" } ?? "none" }
    )
}

let keyCases: [KeyCase] = [
    KeyCase(
        key: "server.host", variable: "TOKEN_BROKER_SERVER_HOST", written: "localhost", value: "localhost",
        inEnvironment: "127.0.0.2", overridden: "127.0.0.2",
        refused: [
            "12": "a number", "\"\"": "empty text", "[a]": "a list", "a b": "other text", "{}": "a map",
            "\"localhost:80\"": "other text", "\"[::1]\"": "other text",
        ],
        expected: "a host name or an IP address", read: { $0.server.host }
    ),
    KeyCase(
        key: "server.port", variable: "TOKEN_BROKER_SERVER_PORT", written: "8443", value: "8443",
        inEnvironment: "0",
        overridden: "0",
        refused: [
            "65536": "65536", "-1": "-1", "\"80\"": "\"80\"", "80.5": "80.5", "yes": "yes",
            "true": "true", "": "nothing", "99999999999999999999": "99999999999999999999",
        ],
        expected: "a whole number from 0 to 65535", read: { "\($0.server.port)" }
    ),
    KeyCase(
        key: "server.shutdownTimeout", variable: "TOKEN_BROKER_SERVER_SHUTDOWN_TIMEOUT", written: "1m",
        value: "1m",
        inEnvironment: "0s", overridden: "0s", refused: ["10": "10", "11m": "11m", "soon": "soon"],
        expected: "a duration from 0s to 10m", read: { $0.server.shutdownTimeout.configured }
    ),
    KeyCase(
        key: "server.shutdownDelay", variable: "TOKEN_BROKER_SERVER_SHUTDOWN_DELAY", written: "5s", value: "5s",
        inEnvironment: "1m", overridden: "1m", refused: ["5": "5", "11m": "11m", "-1s": "-1s"],
        expected: "a duration from 0s to 10m", read: { $0.server.shutdownDelay.configured }
    ),
    KeyCase(
        key: "metrics.port", variable: "TOKEN_BROKER_METRICS_PORT", written: "9464", value: "9464",
        inEnvironment: "0", overridden: "0", refused: ["65536": "65536", "-1": "-1", "yes": "yes"],
        expected: "a whole number from 0 to 65535", read: { "\($0.metrics?.port ?? -1)" }
    ),
    KeyCase(
        key: "server.headTimeout", variable: "TOKEN_BROKER_SERVER_HEAD_TIMEOUT", written: "5s", value: "5s",
        inEnvironment: "500ms", overridden: "500ms", refused: ["0s": "0s", "10": "10", "6m": "6m"],
        expected: "a duration from 100ms to 5m", read: { $0.server.headTimeout.configured }
    ),
    KeyCase(
        key: "server.idleTimeout", variable: "TOKEN_BROKER_SERVER_IDLE_TIMEOUT", written: "2m", value: "2m",
        inEnvironment: "1s", overridden: "1s", refused: ["0s": "0s", "2h": "2h"],
        expected: "a duration from 100ms to 1h", read: { $0.server.idleTimeout.configured }
    ),
    KeyCase(
        key: "server.headerBytes", variable: "TOKEN_BROKER_SERVER_HEADER_BYTES", written: "8192", value: "8192",
        inEnvironment: "65536", overridden: "65536", refused: ["1000": "1000", "16k": "16k"],
        expected: "a whole number from 1024 to 1048576", read: { "\($0.server.headerBytes)" }
    ),
    KeyCase(
        key: "server.connections", variable: "TOKEN_BROKER_SERVER_CONNECTIONS", written: "10", value: "10",
        inEnvironment: "20", overridden: "20", refused: ["0": "0", "many": "many"],
        expected: "a whole number from 1 to 1000000", read: { "\($0.server.connections)" }
    ),
    KeyCase(
        key: "server.connectionsPerAddress", variable: "TOKEN_BROKER_SERVER_CONNECTIONS_PER_ADDRESS", written: "10",
        value: "10", inEnvironment: "20", overridden: "20", refused: ["0": "0", "many": "many"],
        expected: "a whole number from 1 to 1000000", read: { "\($0.server.connectionsPerAddress)" }
    ),
    KeyCase(
        key: "server.trustedProxies", variable: "TOKEN_BROKER_SERVER_TRUSTED_PROXIES",
        written: "[10.0.0.0/8, \"::1\"]", value: "2", inEnvironment: "192.0.2.1", overridden: "1",
        refused: [
            "10.0.0.0/8": "other text", "[10.0.0.1/8]": "other text as element 1",
            "[10.0.0.0/8, proxy]": "other text as element 2",
            "[7]": "a number as element 1",
        ],
        expected: "a list, each element an IP address, or a block such as 10.0.0.0/8",
        read: { "\($0.limits.trustedProxies.count)" }
    ),
    KeyCase(
        key: "route.concurrentRequests", variable: "TOKEN_BROKER_ROUTE_CONCURRENT_REQUESTS", written: "5", value: "5",
        inEnvironment: "6", overridden: "6", refused: ["0": "0", "none": "none"],
        expected: "a whole number from 1 to 1000000", read: { "\($0.limits.concurrentRequests)" }
    ),
    quotaCase("address", "ADDRESS") { $0.perAddress },
    quotaCase("principal", "PRINCIPAL") { $0.perPrincipal },
    quotaCase("replacement", "REPLACEMENT") { $0.replacementsPerPrincipal },
    KeyCase(
        key: "quotas.principal.burst", variable: "TOKEN_BROKER_QUOTAS_PRINCIPAL_BURST", written: "7", value: "7",
        inEnvironment: "8", overridden: "8", refused: ["0": "0", "none": "none"],
        expected: "a whole number from 1 to 1000000000", besides: ["quotas.principal.perMinute": "60"],
        read: { "\($0.limits.perPrincipal?.burst ?? 0)" }
    ),
    KeyCase(
        key: "quotas.trackedCallers", variable: "TOKEN_BROKER_QUOTAS_TRACKED_CALLERS", written: "1000", value: "1000",
        inEnvironment: "2000", overridden: "2000", refused: ["0": "0"],
        expected: "a whole number from 1 to 10000000", read: { "\($0.limits.trackedCallers)" }
    ),
    KeyCase(
        key: "audit.keyVariable", variable: "TOKEN_BROKER_AUDIT_KEY_VARIABLE", written: "AUDIT_KEY", value: "AUDIT_KEY",
        inEnvironment: "OTHER", overridden: "OTHER", refused: ["a b": "other text", "7": "a number"],
        expected: "the name of an environment variable, not its value",
        read: { if case .variable(let name)? = $0.audit?.key { name } else { "" } }
    ),
    KeyCase(
        key: "vendor.profile", variable: "TOKEN_BROKER_VENDOR_PROFILE", written: "alternative-payments",
        value: "alternative-payments", inEnvironment: "alternative-payments", overridden: "alternative-payments",
        refused: [
            "alternativepayments": "alternativepayments; did you mean alternative-payments?", "stripe": "stripe",
        ],
        expected: "one of alternative-payments", read: { $0.vendor.vendor.profile.id }
    ),
    KeyCase(
        key: "vendor.environment", variable: "TOKEN_BROKER_VENDOR_ENVIRONMENT", written: "demo", value: "demo",
        inEnvironment: "demo", overridden: "demo",
        refused: ["dmeo": "dmeo; did you mean demo?", "3": "3", "live": "live", "li ve": "other text", "": "nothing"],
        expected: "one of demo, production, sandbox", read: { $0.vendor.environment }
    ),
    KeyCase(
        key: "vendor.baseURL", variable: "TOKEN_BROKER_VENDOR_BASE_URL", written: "https://proxy.example/v9",
        value: "proxy.example", inEnvironment: "http://127.0.0.1:4000", overridden: "127.0.0.1:4000",
        refused: [
            "http://vendor.example": "other text: only https", "vendor.example": "other text: it has no scheme",
            "7": "a number",
            "ftp://localhost": "other text", "https://user:pw@vendor.example": "other text",
            "https://": "other text",
            "https://vendor.example?x=y": "other text",
        ],
        expected: "https://host[:port][/path], or http to a loopback host", read: { $0.vendor.vendor.authority }
    ),
    KeyCase(
        key: "vendor.basicEncoding", variable: "TOKEN_BROKER_VENDOR_BASIC_ENCODING", written: "raw", value: "raw",
        inEnvironment: "form", overridden: "form",
        refused: ["from": "from; did you mean form?", "1": "1"],
        expected: "form or raw", read: { $0.vendor.vendor.basicEncoding.rawValue }
    ),
    KeyCase(
        key: "vendor.clientAuthentication", variable: "TOKEN_BROKER_VENDOR_CLIENT_AUTHENTICATION",
        written: "client_secret_post", value: "client_secret_post", inEnvironment: "tls_client_auth",
        overridden: "tls_client_auth",
        refused: [
            "client_secret_psot": "client_secret_psot; did you mean client_secret_post?", "none": "none", "1": "1",
        ],
        expected: "client_secret_basic, client_secret_post, private_key_jwt or tls_client_auth",
        read: { $0.vendor.vendor.clientAuthentication.rawValue }
    ),
    KeyCase(
        key: "credentials.sources", variable: "TOKEN_BROKER_CREDENTIALS_SOURCES", written: "[file, environment]",
        value: "file environment", inEnvironment: "environment, file", overridden: "environment file",
        refused: [
            "environment": "other text", "[]": "a list", "[environment, environment]": "a list",
            "[environment, flie]": "flie as element 2; did you mean file?",
            "[environment, 4]": "4 as element 2",
        ],
        expected: "a list, each element one of ", besides: ["credentials.file.path": "/x"],
        read: { $0.credentials.map { $0.section[1] }.joined(separator: " ") }
    ),
    KeyCase(
        key: "transport.kind", variable: "TOKEN_BROKER_TRANSPORT_KIND", written: "curl", value: "transport",
        inEnvironment: "curl", overridden: "transport",
        refused: ["culr": "culr; did you mean curl?", "[]": "a list"],
        expected: "one of curl", read: { $0.transport.transport?.section.joined() ?? "" }
    ),
    KeyCase(
        key: "transport.timeout", variable: "TOKEN_BROKER_TRANSPORT_TIMEOUT", written: "250ms", value: "250ms",
        inEnvironment: "5m", overridden: "5m",
        refused: ["0s": "0s", "6m": "6m", "1d": "1d", "5": "5", "1.5s": "1.5s"],
        expected: "a duration from 1ms to 5m, such as 250ms, 10s, 2m or 1h", read: { $0.transport.timeout.configured }
    ),
    KeyCase(
        key: "route.path", variable: "TOKEN_BROKER_ROUTE_PATH", written: "/token", value: "/token",
        inEnvironment: "/a/b.c~d", overridden: "/a/b.c~d",
        refused: [
            "token": "other text", "\"/a b\"": "other text", "\"/a\\u0001\"": "other text", "/a//b": "other text",
            "/a/../b": "other text", "/a?b": "other text", "/{id}": "other text", "/a%20b": "other text",
        ],
        expected: "a path such as /api/checkout-token", read: { $0.route.path }
    ),
    KeyCase(
        key: "route.timeout", variable: "TOKEN_BROKER_ROUTE_TIMEOUT", written: "1s", value: "1s",
        inEnvironment: "2s",
        overridden: "2s", refused: ["0s": "0s", "-1s": "-1s", "1h": "1h"],
        expected: "a duration from 1ms to 5m",
        read: { $0.route.timeout.configured }
    ),
    KeyCase(
        key: "route.allowedOrigins", variable: "TOKEN_BROKER_ROUTE_ALLOWED_ORIGINS",
        written: "[\"https://shop.example\", \"http://localhost:8080\"]",
        value: "https://shop.example http://localhost:8080", inEnvironment: "https://a.example, http://[::1]:8443",
        overridden: "https://a.example http://[::1]:8443",
        refused: [
            "https://shop.example": "other text", "[\"*\"]": "\"*\" as element 1",
            "[\"null\"]": "\"null\" as element 1",
            "[\"https://ok.example\", \"https://*.example\"]": "\"https://*.example\" as element 2",
            "[\"https://shop.example/\"]": "\"https://shop.example/\" as element 1; did you mean https://shop.example?",
            "[https://Shop.example/a]": "https://Shop.example/a as element 1; did you mean https://shop.example?",
            "[\"https://shop.example:443\"]":
                "\"https://shop.example:443\" as element 1; did you mean https://shop.example?",
            "[shop.example]": "shop.example as element 1",
            "[\"https://::1\"]": "\"https://::1\" as element 1", "[\"https://[::1]x\"]": "other text as element 1",
            "[\"https://u@shop.example\"]": "other text as element 1",
            "[\"ftp://shop.example\"]": "\"ftp://shop.example\" as element 1",
        ],
        expected: "a list, each element an exact origin", read: { $0.route.allowedOrigins.joined(separator: " ") }
    ),
    KeyCase(
        key: "route.openapiPath", variable: "TOKEN_BROKER_ROUTE_OPENAPI_PATH", written: "/openapi.json",
        value: "/openapi.json", inEnvironment: "none", overridden: "-",
        refused: ["openapi.json": "other text", "/a//b": "other text"],
        expected: "a path such as /openapi.json, or none", read: { $0.route.openAPIPath ?? "-" }
    ),
    KeyCase(
        key: "health.livePath", variable: "TOKEN_BROKER_HEALTH_LIVE_PATH", written: "/alive", value: "/alive",
        inEnvironment: "none", overridden: "-", refused: ["alive": "other text", "false": "true or false"],
        expected: "a path such as /healthz, or none", read: { $0.health.livePath ?? "-" }
    ),
    KeyCase(
        key: "health.readyPath", variable: "TOKEN_BROKER_HEALTH_READY_PATH", written: "none", value: "-",
        inEnvironment: "/ready", overridden: "/ready", refused: ["ready": "other text"],
        expected: "a path such as /readyz, or none", read: { $0.health.readyPath ?? "-" }
    ),
    KeyCase(
        key: "tokens.reuse", variable: "TOKEN_BROKER_TOKENS_REUSE", written: "false", value: "false",
        inEnvironment: "true",
        overridden: "true", refused: ["no": "no", "0": "0", "\"true\"": "\"true\""],
        expected: "true or false", read: { "\($0.tokens.reuse)" }
    ),
    KeyCase(
        key: "tokens.minimumRemaining", variable: "TOKEN_BROKER_TOKENS_MINIMUM_REMAINING", written: "90s",
        value: "90s",
        inEnvironment: "0s", overridden: "0s", refused: ["2h": "2h", "120": "120"],
        expected: "a duration from 0s to 1h",
        read: { $0.tokens.minimumRemaining.configured }
    ),
]

/// Refused values of keys whose accepted values only show in a part that is built from them.
let refusedOfPlugins: [(key: String, refused: [String: String], expected: String)] = [
    ("access.mode", ["closed": "closed", "true": "true"], "one of open"),
    (
        "tokens.requestsPerSecond", ["0": "0", "1000001": "1000001", "1.5": "1.5"],
        "a whole number from 1 to 1000000"
    ),
    ("tokens.burst", ["0": "0", "many": "many"], "a whole number from 1 to 1000000"),
    ("transport.connectTimeout", ["0s": "0s", "2m": "2m", "3": "3"], "a duration from 1ms to 1m"),
    ("transport.caFile", ["3": "a number", "[]": "a list"], "text"),
    (
        "transport.proxy",
        [
            "proxy.example:3128": "other text", "\"http://user:hunter2@proxy:1\"": "other text",
            "\"http://proxy\"": "other text",
        ],
        "http://host:port"
    ),
    ("transport.proxyCredentialsVariable", ["user:hunter2": "other text"], "the name of an environment variable"),
    ("transport.clientKeyPassphraseVariable", ["hunter 2": "other text"], "the name of an environment variable"),
    (
        "credentials.environment.clientID", ["a-b": "other text", "1A": "other text"],
        "the name of an environment variable"
    ),
    (
        "credentials.environment.clientSecret", ["hunter 2": "other text", "12": "a number"],
        "the name of an environment variable"
    ),
]

@Suite struct `Every key` {
    @Test(arguments: keyCases)
    func `every key is read from the file`(_ key: KeyCase) throws {
        let settings = try settings(minimal.with(key.besides).with([key.key: key.written]))
        #expect(key.read(settings) == key.value)
    }

    @Test(arguments: keyCases)
    func `every key is overridden by its variable`(_ key: KeyCase) throws {
        let values = minimal.with(key.besides).with([key.key: key.written])
        let settings = try settings(values, environment: [key.variable: key.inEnvironment])
        #expect(key.read(settings) == key.overridden)
    }

    @Test(arguments: keyCases)
    func `every key can be set by its variable alone`(_ key: KeyCase) throws {
        var values = minimal.with(key.besides)
        values[key.key] = nil
        let settings = try settings(values, environment: [key.variable: key.inEnvironment])
        #expect(key.read(settings) == key.overridden)
    }

    @Test(arguments: keyCases)
    func `an invalid value of a key is refused with place, key, expected and found`(_ key: KeyCase) throws {
        for (written, found) in key.refused {
            try expectRefusal(of: key.key, written, expected: key.expected, found: found, besides: key.besides)
        }
    }

    @Test(arguments: refusedOfPlugins)
    func `an invalid value of a plug-in's key is refused in the same way`(
        _ key: String, _ refused: [String: String], _ expected: String
    ) throws {
        for (written, found) in refused { try expectRefusal(of: key, written, expected: expected, found: found) }
    }

    private func expectRefusal(
        of key: String, _ written: String, expected: String, found: String, besides: [String: String] = [:]
    ) throws {
        let values = minimal.with(besides).with([key: written])
        let lines = yaml(values).split(separator: "\n")
        let name = try #require(key.split(separator: ".").last)
        let line = try #require(lines.firstIndex { $0.hasPrefix(" ") && $0.hasSuffix("\(name): \(written)") })
        let problems = problems(values)
        let problem = try #require(problems.first { $0.key == key }, "\(written)")
        #expect(problem.place == "broker.yaml:\(line + 1)")
        #expect(problem.message.contains("expected \(expected)"), "\(problem)")
        #expect(problem.message.contains("found \(found)"), "\(problem)")
        #expect(problem.description.hasPrefix("broker.yaml:\(line + 1): \(key): expected "))
    }

    @Test(arguments: keyCases)
    func `an invalid value of a variable is refused with the variable's name`(_ key: KeyCase) throws {
        let problems = problems(minimal.with(key.besides), environment: [key.variable: "\u{1}"])
        let problem = try #require(problems.first { $0.key == key.key })
        #expect(problem.place == key.variable)
    }

    @Test(arguments: keyCases)
    func `a misspelled key is refused with the nearest known key`(_ key: KeyCase) throws {
        let misspelt = key.key + "s"
        let name = try #require(key.key.split(separator: ".").last)
        let problem = try #require(problems(minimal.with([misspelt: "x"])).first { $0.key == misspelt })
        #expect(problem.code == .unknownKey)
        #expect(problem.message.contains("expected one of "))
        #expect(problem.message.contains("did you mean \(name)?"))
    }

    @Test func `every key has a variable of its own`() {
        #expect(Set(keyCases.map(\.variable)).count == keyCases.count)
    }

    @Test func `every key has its documented default`() throws {
        let settings = try settings(minimal)
        #expect(settings.server == ServerSettings())
        #expect(settings.server.host == "127.0.0.1" && settings.server.port == 8080)
        #expect(settings.server.shutdownTimeout == .seconds(10) && settings.server.headTimeout == .seconds(10))
        #expect(settings.server.idleTimeout == .seconds(75) && settings.server.headerBytes == 16_384)
        #expect(settings.server.connections == 2_000 && settings.server.connectionsPerAddress == 500)
        #expect(settings.vendor.vendor.profile.id == "alternative-payments")
        #expect(settings.vendor.vendor.authority == "public-api.demo.alternativepayments.io")
        #expect(settings.vendor.vendor.basicEncoding == .form)
        #expect(settings.vendor.vendor.clientAuthentication == .clientSecretBasic)
        #expect(settings.credentials.map(\.section) == [["credentials", "environment"]])
        #expect(settings.transport.timeout == .seconds(10))
        #expect(settings.route.path == "/api/checkout-token")
        #expect(settings.route.timeout == .seconds(8))
        #expect(settings.route.allowedOrigins == [])
        #expect(settings.health.livePath == "/healthz")
        #expect(settings.health.readyPath == "/readyz")
        #expect(settings.tokens.reuse)
        #expect(settings.tokens.minimumRemaining == .seconds(120))
    }
}

@Suite struct `A configuration` {
    @Test func `a configuration reports all its problems at once, in the order of the file`() {
        let problems = problems([
            "access.mode": "opne", "server.port": "x", "tokens.burts": "3", "vendor.environment": "demo",
        ])
        #expect(problems.map(\.key) == ["access.mode", "server.port", "tokens.burts"])
    }

    @Test func `a key in the wrong section is answered with its right place`() throws {
        let problem = try #require(problems(minimal.with(["server.timeout": "8s"])).first)
        #expect(problem.message.contains("did you mean route.timeout?"))
    }

    @Test(arguments: [
        ("server.headDeadline", "server.headTimeout", "SERVER_HEAD"),
        ("server.shutdownDeadline", "server.shutdownTimeout", "SERVER_SHUTDOWN"),
        ("route.deadline", "route.timeout", "ROUTE"),
    ])
    func `a renamed key is answered with its new name`(
        _ former: String, _ name: String, _ variable: String
    ) throws {
        let inFile = problems(minimal.with([former: "5s"]))
        #expect(inFile.map(\.key) == [former])
        #expect(inFile.first?.message == "this key is now \(name)")
        #expect(inFile.first?.place.hasPrefix("broker.yaml:") == true)
        let inEnvironment = problems(minimal, environment: ["TOKEN_BROKER_\(variable)_DEADLINE": "5s"])
        #expect(inEnvironment.map(\.place) == ["TOKEN_BROKER_\(variable)_DEADLINE"])
        #expect(inEnvironment.first?.message.contains("set TOKEN_BROKER_\(variable)_TIMEOUT") == true)
        #expect(try warnings(minimal.with([name: "5s"])) == [])
    }

    @Test(arguments: ["connect_timeout", "connecttimeout", "connect-timeout", "ConnectTimeout"])
    func `another spelling of a key is answered with the right one`(_ name: String) throws {
        let problem = try #require(problems(minimal.with(["transport.\(name)": "3s"])).first)
        #expect(problem.message.contains("did you mean connectTimeout?"))
    }

    @Test func `a misspelled key for a variable's name is not mistaken for a secret`() throws {
        let problem = try #require(
            problems(minimal.with(["credentials.environment.client_secret": "MY_SECRET"])).first)
        #expect(problem.code == .unknownKey)
        #expect(problem.message.contains("did you mean clientSecret?"))
    }

    @Test(arguments: ["3", "[a]", "text"])
    func `a section that is not a map is refused with the keys that it can have`(_ written: String) throws {
        var values = minimal
        values["server"] = written
        let problem = try #require(problems(values).first { $0.key == "server" })
        let keys = "expected a map with the keys connections, connectionsPerAddress, headTimeout, headerBytes, host, "
        #expect(problem.message.contains(keys))
    }

    @Test func `a section may be empty`() throws {
        #expect(try settings(minimal.with(["server": "", "tokens": "~"])).server.port == 8080)
    }

    @Test func `an empty configuration is answered with the keys that have no default`() {
        let problems = problems([:])
        #expect(problems.map(\.key) == ["vendor.environment", "access"])
        #expect(problems.allSatisfy { $0.code == .missing && $0.place == "broker.yaml" })
        #expect(problems.first?.message.contains("TOKEN_BROKER_VENDOR_ENVIRONMENT") == true)
    }

    @Test func `a complete configuration is accepted`() throws {
        let text = """
            server:      {host: 127.0.0.1, port: 8080}
            vendor:      {profile: alternative-payments, environment: demo}
            credentials: {sources: [environment, file],
                          environment: {clientID: ALTERNATIVE_CLIENT_ID, clientSecret: ALTERNATIVE_CLIENT_SECRET},
                          file: {path: /run/secrets/alternative-payments.json}}
            transport:   {kind: curl, connectTimeout: 3s, timeout: 10s, caFile: /etc/ssl/ca.pem}
            route:       {path: /api/checkout-token, timeout: 8s, allowedOrigins: ["https://shop.example"]}
            access:      {mode: open}
            tokens:      {reuse: true, minimumRemaining: 2m, requestsPerSecond: 5, burst: 5}
            """
        let reader = ConfigurationReader(try BrokerConfiguration(text, environment: [:]))
        let settings = try #require(Settings(reader, .everything), "\(reader.problems)")
        #expect(settings.route.allowedOrigins == ["https://shop.example"])
    }
}

@Suite struct `What does not go together` {
    @Test func `a sandbox environment needs a base URL`() throws {
        let problem = try #require(problems(minimal.with(["vendor.environment": "sandbox"])).first)
        #expect(problem.key == "vendor.baseURL")
        #expect(problem.code == .missing)
        #expect(
            try settings(minimal.with(["vendor.environment": "sandbox", "vendor.baseURL": "http://localhost:1"]))
                .vendor.environment == "sandbox")
    }

    @Test func `two routes cannot have the same path`() throws {
        let problem = try #require(
            problems(minimal.with(["health.livePath": "/x", "health.readyPath": "/x"])).first)
        #expect(problem.key == "health.readyPath")
        #expect(problem.code == .conflict)
        #expect(problem.message.contains("health.livePath"))
        let other = try #require(problems(minimal.with(["route.path": "/healthz"])).first)
        #expect(other.key == "health.livePath")
        let document = try #require(problems(minimal.with(["route.openapiPath": "/api/checkout-token"])).first)
        #expect(document.key == "route.openapiPath")
    }

    @Test func `a configuration needs an authenticator and a policy, or open mode`() throws {
        let problem = try #require(problems(["vendor.environment": "demo"]).first)
        #expect(problem.key == "access")
        #expect(problem.message.contains("authenticators: forwarded, jwt; policies: all, any, callback, claim"))
        #expect(problem.message.contains("access: {mode: open}"))
    }

    @Test func `an authenticator without a policy is refused`() throws {
        var registry = Registry.everything
        try registry.register(AuthenticatorPlugin("nobody", "") { _ in ClosureAuthenticator { _ in nil } })
        let values = ["vendor.environment": "demo", "access.authenticator.kind": "nobody"]
        let problem = try #require(problems(values, registry: registry).first)
        #expect(problem.message.contains("found no policy"))
        #expect(problem.message.contains("authenticators: forwarded, jwt, nobody"))
    }

    @Test func `open mode with an authenticator is refused`() throws {
        var registry = Registry.everything
        try registry.register(AuthenticatorPlugin("nobody", "") { _ in ClosureAuthenticator { _ in nil } })
        let problem = try #require(
            problems(minimal.with(["access.authenticator.kind": "nobody"]), registry: registry).first
        )
        #expect(problem.key == "access.mode")
        #expect(problem.code == .conflict)
    }

    @Test(arguments: [
        ["vendor.environment": "production"],
        ["vendor.environment": "sandbox", "vendor.baseURL": "https://Public-API.alternativepayments.io/"],
        ["vendor.environment": "sandbox", "vendor.baseURL": "HTTPS://PUBLIC-API.alternativepayments.io:443/"],
        ["vendor.environment": "demo", "vendor.baseURL": "https://public-api.alternativepayments.io./"],
        ["vendor.environment": "demo", "vendor.baseURL": "https://public-api.alternativepayments.io:8443"],
        ["vendor.environment": "demo", "vendor.baseURL": "https://public-api.alternativepayments.io:00443/v2/x"],
        ["vendor.environment": "production", "vendor.baseURL": "http://localhost:1"],
    ])
    func `open mode is refused in production, however its address is written`(_ values: [String: String]) throws {
        let problem = try #require(problems(minimal.with(values)).first)
        #expect(problem.key == "access.mode")
        #expect(problem.code == .conflict)
    }

    @Test(arguments: [
        "https://u@public-api.alternativepayments.io", "https://public%2dapi.alternativepayments.io",
        "https://public-api\u{3002}alternativepayments.io", "https://public-api.alternativepayments.io\\@localhost",
        "https://public-api..alternativepayments.io", "https://public-api.alternativepayments.i\u{2134}",
        "http://evil.com/.localhost", "http://a b.localhost", "http://[evil.localhost]",
    ])
    func `a base URL whose host can be read in two ways is refused`(_ url: String) throws {
        let problem = try #require(
            problems(minimal.with(["vendor.baseURL": "\"\(url.replacing("\\", with: "\\\\"))\""])).first)
        #expect(problem.key == "vendor.baseURL")
    }

    @Test(arguments: [
        "\"127.0.0.1:9999\"", "\"localhost:80\"", "\"[::1]\"", "a..b", "\"a b\"", "127.1", "\"::1%lo\"",
        "evil.com/.localhost",
    ])
    func `a host to listen on that is not a valid host is refused`(_ host: String) throws {
        #expect(problems(minimal.with(["server.host": host])).map(\.key) == ["server.host"])
    }

    @Test(arguments: ["127.0.0.1", "localhost", "LOCALHOST", "\"::1\"", "127.0.0.2"])
    func `open mode is accepted on loopback hosts`(_ host: String) throws {
        _ = try settings(minimal.with(["server.host": host]))
    }

    @Test(arguments: ["0.0.0.0", "192.168.1.5", "shop.example", "127.0.0.1.example"])
    func `open mode is refused on a host that others can reach`(_ host: String) throws {
        let problem = try #require(problems(minimal.with(["server.host": host])).first)
        #expect(problem.key == "access.mode")
        #expect(problem.message.contains("server.host"))
    }
}

@Suite struct `Secrets` {
    // The sign keeps it out of errors even where a choice, a number, a duration, a flag or an origin is expected.
    private let sentinel = "sentinel+4242=secret"

    @Test(arguments: [
        "credentials.client_secret", "credentials.clientSecret", "vendor.clientSecret",
        "credentials.file.client_secret",
        "vendor.apiKey", "server.password", "client_secret", "credentials.client_id", "transport.bearerToken",
    ])
    func `a secret in the configuration file is refused and not shown`(_ key: String) throws {
        let values = minimal.with([key: sentinel, "credentials.sources": "[file]", "credentials.file.path": "/x"])
        let problems = problems(values)
        let problem = try #require(problems.first { $0.key == key })
        #expect(problem.code == .secret)
        #expect(problem.message.contains("credentials"))
        #expect(!"\(ConfigurationError(problems))".contains(sentinel))
    }

    @Test func `a secret written under any key by mistake is not shown`() throws {
        let keys =
            keyCases.map(\.key) + refusedOfPlugins.map(\.key) + [
                "server", "access", "nothing.such", "credentials.file",
            ]
        for key in keys {
            for written in [sentinel, "\"\(sentinel)\"", "[\(sentinel)]", "{\(sentinel): 1}", "{a: \(sentinel)}"] {
                let values = minimal.filter { !"\($0.key).".hasPrefix("\(key).") }.with([key: written])
                // Some keys accept any text.
                guard let error = errors(yaml(values)) else { continue }
                // In place of a key's name, the text is shown as a name.
                if written.hasPrefix("{\(sentinel)") { continue }
                #expect(
                    !"\(error) \(String(reflecting: error.problems.map(\.message)))".contains(sentinel), "\(key)")
            }
        }
    }

    @Test func `a secret in any variable by mistake is not shown`() throws {
        for key in keyCases {
            guard let error = errors(yaml(minimal.with(key.besides)), [key.variable: "\(sentinel) \u{1}"]) else {
                continue
            }
            #expect(!"\(error)".contains(sentinel), "\(key.key)")
        }
    }

    @Test func `a secret is not shown when the space after its key is missing`() throws {
        for text in [
            "{client_secret:\(sentinel)}", "vendor: {client_secret:\(sentinel), a: b}", "client_secret:\(sentinel)",
        ] {
            #expect(!"\(try #require(errors(text)))".contains(sentinel))
        }
    }

    @Test func `a printed configuration does not show its values`() throws {
        let configuration = try BrokerConfiguration("a: \(sentinel)", environment: ["A": sentinel])
        var dumped = ""
        dump(configuration, to: &dumped)
        #expect(!"\(configuration) \(String(reflecting: configuration)) \(dumped)".contains(sentinel))
    }

    private func errors(_ text: String, _ environment: [String: String] = [:]) -> ConfigurationError? {
        do throws(ConfigurationError) {
            let reader = ConfigurationReader(try BrokerConfiguration(text, environment: environment))
            return Settings(reader, .everything) == nil ? ConfigurationError(reader.problems) : nil
        } catch {
            return error
        }
    }
}

@Suite struct `Variables` {
    @Test func `a variable that overrides nothing causes a warning without its value`() throws {
        let warnings = try warnings(
            minimal,
            environment: [
                "TOKEN_BROKER_SERVER_PROT": "sentinel", "TOKEN_BROKER_PORT": "tcp://10.0.0.1:80", "HOME": "/",
            ]
        )
        #expect(warnings.count == 2)
        #expect(
            warnings.contains {
                $0.contains("TOKEN_BROKER_SERVER_PROT") && $0.contains("TOKEN_BROKER_SERVER_PORT?")
            })
        #expect(!warnings.joined().contains("sentinel"))
    }

    @Test func `a known variable causes no warning`() throws {
        let environment = [
            "TOKEN_BROKER_CONFIG": "x", "TOKEN_BROKER_SERVER_PORT": "1",
            "TOKEN_BROKER_CREDENTIALS_ENVIRONMENT_CLIENT_ID": "A", "TOKEN_BROKER_TRANSPORT_CA_FILE": "/x",
            "TOKEN_BROKER_TRANSPORT_CONNECT_TIMEOUT": "1s",
            "TOKEN_BROKER_CREDENTIALS_ENVIRONMENT_CLIENT_SECRET": "B",
        ]
        #expect(try warnings(minimal, environment: environment) == [])
    }

    @Test func `an empty variable empties a list`() throws {
        let values = minimal.with(["route.allowedOrigins": "[\"https://a.example\"]"])
        #expect(
            try settings(values, environment: ["TOKEN_BROKER_ROUTE_ALLOWED_ORIGINS": ""]).route.allowedOrigins == []
        )
    }
}

@Suite struct `The rate limit of calls` {
    private func limit(_ values: [String: String]) throws -> [Int]? {
        try settings(minimal.with(values)).tokens.rateLimit.map { [$0.requestsPerSecond, $0.burst] }
    }

    @Test func `the rate limit is the profile's unless configured`() throws {
        #expect(try limit([:]) == [5, 5])
        #expect(try limit(["tokens.requestsPerSecond": "1000000"]) == [1_000_000, 1_000_000])
        #expect(try limit(["tokens.burst": "2"]) == [5, 2])
        #expect(try limit(["tokens.requestsPerSecond": "20", "tokens.burst": "20"]) == [20, 20])
    }

    @Test func `the burst cannot exceed the rate`() throws {
        let error = #expect(throws: ConfigurationError.self) { try limit(["tokens.burst": "6"]) }
        #expect(error?.description.contains("tokens.burst") == true)
        #expect(error?.description.contains("at most requestsPerSecond, which is 5, found 6") == true)
    }
}

@Suite struct `Quotas` {
    private var registry: Registry {
        var registry = Registry.everything
        registry.replace(AuthenticatorPlugin("nobody", "") { _ in ClosureAuthenticator { _ in nil } })
        registry.replace(PolicyPlugin("nothing", "") { _ in ClosurePolicy(binds: .session) { _, _ in false } })
        return registry
    }
    private let closed = [
        "vendor.environment": "demo", "access.authenticator.kind": "nobody", "access.policy.kind": "nothing",
    ]

    @Test func `quotas apply unless they are turned off`() throws {
        let limits = try settings(closed, registry: registry).limits
        #expect(limits.perAddress == RequestLimits().perAddress)
        #expect(limits.perPrincipal == RequestLimits().perPrincipal)
        #expect(limits.replacementsPerPrincipal == RequestLimits().replacementsPerPrincipal)
        let without = try settings(closed.with(["quotas.address.perMinute": "none"]), registry: registry).limits
        #expect(without.perAddress == nil)
        #expect(without.perPrincipal != nil)
    }

    @Test func `quotas do not apply in open mode unless they are configured`() throws {
        let limits = try settings(minimal).limits
        #expect(limits.perAddress == nil)
        #expect(limits.perPrincipal == nil)
        let written = try settings(minimal.with(["quotas.principal.perMinute": "5"])).limits
        #expect(written.perPrincipal == Quota(perMinute: 5, burst: 10))
    }
}

@Suite struct `The key of the audit` {
    private func pseudonym(_ values: [String: String], _ environment: [String: String] = [:]) throws -> String? {
        let key = try #require(try settings(minimal.with(values)).audit)
        return try key.pseudonym(environment: environment)(Principal(subject: "alice", tenant: "shop"))
    }

    #if CryptoSupport
    @Test func `the audit key gives the HMAC that openssl computes`() throws {
        let key = "0123456789abcdef"
        // The first 32 digits of: printf 'shop\0alice' | openssl dgst -sha256 -hmac 0123456789abcdef
        let expected = "36ab67a016e104318611ece22076e017"
        #expect(try pseudonym(["audit.keyVariable": "K"], ["K": key]) == expected)
        let file = FileManager.default.temporaryDirectory.appending(path: "key-\(UInt64.random(in: 0 ... .max))")
        try Data((key + "\n").utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        #expect(try pseudonym(["audit.keyFile": file.path]) == expected)
    }

    @Test func `an audit key that is missing or too short is refused`() async throws {
        for (values, environment, reason) in [
            (
                ["audit.keyVariable": "K"], [:],
                "audit.keyVariable: it cannot be used: the variable K: expected a secret, found nothing"
            ),
            (["audit.keyVariable": "K"], ["K": "sentinel"], "expected at least 16 bytes in a secret, found fewer"),
            (["audit.keyFile": "/nowhere"], [:], "audit.keyFile: it cannot be used: file /nowhere: no such file"),
        ] as [([String: String], [String: String], String)] {
            let error = await #expect(throws: ConfigurationError.self) {
                try await Composer(registry: .everything).compose(
                    try BrokerConfiguration(yaml(minimal.with(values)), environment: environment),
                    transport: VendorDouble(), logger: recordingLogger().0
                )
            }
            let text = "\(try #require(error))"
            #expect(text.contains(reason), "\(text)")
            #expect(!text.contains("sentinel"))
        }
    }
    #endif

    @Test func `the audit key comes from one place only`() throws {
        let problem = try #require(
            problems(minimal.with(["audit.keyFile": "/x", "audit.keyVariable": "X"])).first)
        #expect(problem.key == "audit.keyFile")
        #expect(problem.code == .conflict)
    }
}

@Suite struct `What has no effect` {
    @Test func `settings of an unlisted credential source cause a warning`() throws {
        let warnings = try warnings(minimal.with(["credentials.file.path": "/x"]))
        #expect(warnings.count == 1)
        #expect(warnings.first?.contains("credentials.file") == true)
    }
}

extension [String: String] {
    func with(_ others: [String: String]) -> Self { merging(others) { $1 } }
}
#endif

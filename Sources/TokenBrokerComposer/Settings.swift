#if ConfigurationSupport
import HTTPTypes
import TokenBroker

/// What a valid configuration says: values, and how to build each part that it chooses. Nothing is built yet.
struct Settings: Sendable {
    var server: ServerSettings
    var vendor: Vendor
    var environment: String
    /// With `private_key_jwt`.
    var signer: Choice<AssertionSignerPlugin.Build>?
    var assertionAudience: String?
    var timeout: Duration
    var transport: Choice<TransportPlugin.Build>
    var credentials: [Choice<CredentialPlugin.Build>]
    var route: Route
    var livePath: String?
    var readyPath: String?
    var access: Access
    var limits: LimitSettings
    var reuse: Bool
    var minimumRemaining: Duration
    /// `nil` without a limit.
    var pace: (requestsPerSecond: Int, burst: Int)?

    struct Route: Sendable {
        var path: String
        var timeout: Duration
        var allowedOrigins: [String]
        var allowedHeaders: [HTTPField.Name]
        var openAPIPath: String?
    }

    enum Access: Sendable {
        case open
        case closed(Choice<AuthenticatorPlugin.Build>, Choice<PolicyPlugin.Build>)
    }

    /// A part to build, and the section that describes it.
    struct Choice<Build: Sendable>: Sendable {
        var section: [String]
        var build: Build
    }

    /// Reads everything, whatever is wrong with some of it, so that all problems are told at once.
    /// - Returns: `nil` if there were problems; `reader` knows them.
    init?(_ reader: ConfigurationReader, _ registry: Registry) {
        let server = Self.server(reader)
        let vendor = Self.vendor(reader, registry)
        let assertion = Self.assertion(reader, registry, vendor?.vendor)
        let timeout = reader.read("transport", keys: Keys.timeout)
        let transport = Self.transport(reader, registry)
        let credentials = Self.credentials(reader, registry)
        let route = Self.route(reader)
        let health = Self.health(reader, route)
        let access = Self.access(reader, registry)
        let tokens = Self.tokens(reader, vendor?.vendor.profile)
        var isOpen = false
        if case .open? = access { isOpen = true }
        if isOpen { Self.checkOpenMode(reader, server, vendor) }
        let limits = LimitSettings(reader, isOpen: isOpen)
        reader.finish()
        guard reader.problems.isEmpty, let server, let vendor, let timeout, let transport, let credentials,
            let route,
            let health, let access, let limits, let tokens
        else { return nil }
        self.server = server
        self.server.trustedProxies = limits.limits.trustedProxies
        (self.vendor, self.environment) = vendor
        (self.signer, self.assertionAudience) = assertion
        self.timeout = timeout
        self.transport = transport
        self.credentials = credentials
        self.route = route
        (self.livePath, self.readyPath) = health
        self.access = access
        self.limits = limits
        (self.reuse, self.minimumRemaining, self.pace) = tokens
    }

    // MARK: Section by section

    private static func server(_ reader: ConfigurationReader) -> ServerSettings? {
        guard
            let (
                host, port, shutdownTimeout, headTimeout, idleTimeout, headerBytes, connections, perAddress
            ) = reader.read(
                "server", keys: Keys.host, Keys.port, Keys.shutdownTimeout, Keys.headTimeout, Keys.idleTimeout,
                Keys.headerBytes, Keys.connections, Keys.connectionsPerAddress)
        else { return nil }
        return ServerSettings(
            host: host, port: port, shutdownTimeout: shutdownTimeout, headTimeout: headTimeout,
            idleTimeout: idleTimeout, headerBytes: headerBytes, connections: connections,
            connectionsPerAddress: perAddress ?? max(1, connections / 4)
        )
    }

    private static func vendor(
        _ reader: ConfigurationReader, _ registry: Registry
    ) -> (vendor: Vendor, environment: String)? {
        let id = reader.read("vendor", keys: Keys.profile(registry.profiles.keys.sorted()))
        let profile = id.flatMap { registry.profiles[$0] }
        let values = reader.read(
            "vendor", keys: Keys.environment(profile?.environments.keys.sorted()), Keys.baseURL,
            Keys.clientAuthentication, Keys.basicEncoding
        )
        guard let profile, let (environment, configured, authentication, basicEncoding) = values else { return nil }
        guard let baseURL = configured ?? profile.environments[environment] ?? nil else {
            reader.note(
                .missing, ["vendor", "baseURL"],
                message: "expected \(Keys.baseURL.type), found nothing, and the environment \(environment) has no "
                    + "address of its own"
            )
            return nil
        }
        do throws(ServerURL.Invalid) {
            let vendor = try Vendor(
                profile: profile, baseURL: baseURL, clientAuthentication: authentication, basicEncoding: basicEncoding
            )
            return (vendor, environment)
        } catch {
            let message = "expected \(Keys.baseURL.type); found other text: \(error.reason)"
            reader.note(.invalid, ["vendor", configured == nil ? "environment" : "baseURL"], message: message)
            return nil
        }
    }

    private static func assertion(
        _ reader: ConfigurationReader, _ registry: Registry, _ vendor: Vendor?
    ) -> (signer: Choice<AssertionSignerPlugin.Build>?, audience: String?) {
        let section = ["vendor", "assertion"]
        let values = reader.read(
            "vendor", "assertion", keys: Keys.signer(registry.assertionSigners), Keys.assertionAudience
        )
        guard let vendor, vendor.clientAuthentication == .privateKeyJWT, let (kind, audience) = values else {
            if vendor != nil, values != nil, reader.isSet(section) {
                reader.warn("vendor.assertion has no effect, since vendor.clientAuthentication is not private_key_jwt")
            }
            reader.skip(section)
            return (nil, nil)
        }
        let signer = choice(kind, registry.assertionSigners, registry, reader, section)
        if signer == nil, let trait = registry.assertionSigners[kind]?.trait {
            reader.note(
                .invalid, ["vendor", "clientAuthentication"],
                message: "expected a way that this program was built with, found private_key_jwt, whose signer \(kind) "
                    + "needs the trait \(trait)"
            )
        }
        return (signer, audience)
    }

    private static func transport(_ reader: ConfigurationReader, _ registry: Registry) -> Choice<
        TransportPlugin.Build
    >? {
        let kind = reader.read(
            "transport", keys: Keys.kind(registry.transports, default: "curl", "What reaches other servers."))
        return choice(kind, registry.transports, registry, reader, ["transport"])
    }

    private static func credentials(
        _ reader: ConfigurationReader, _ registry: Registry
    ) -> [Choice<CredentialPlugin.Build>]? {
        let sources = reader.read("credentials", keys: Keys.sources(registry.credentialSources))
        for id in registry.credentialSources.keys.sorted() where sources?.contains(id) != true {
            if sources != nil, reader.isSet(["credentials", id]) {
                reader.warn("credentials.\(id) has no effect, since credentials.sources does not list \(id)")
            }
            reader.skip(["credentials", id])
        }
        // Every source's keys are read before the first failure ends it.
        let choices = sources?.map { choice($0, registry.credentialSources, registry, reader, ["credentials", $0]) }
        guard let choices, !choices.contains(where: { $0 == nil }) else { return nil }
        return choices.compactMap { $0 }
    }

    private static func route(_ reader: ConfigurationReader) -> Route? {
        guard
            let (path, timeout, origins, headers, openAPIPath) = reader.read(
                "route", keys: Keys.path, Keys.routeTimeout, Keys.allowedOrigins, Keys.allowedHeaders, Keys.openAPIPath)
        else { return nil }
        return Route(
            path: path, timeout: timeout, allowedOrigins: origins, allowedHeaders: headers, openAPIPath: openAPIPath
        )
    }

    private static func health(_ reader: ConfigurationReader, _ route: Route?) -> (live: String?, ready: String?)? {
        guard let (live, ready) = reader.read("health", keys: Keys.livePath, Keys.readyPath) else { return nil }
        let paths = [
            (["route", "path"], route?.path), (["route", "openapiPath"], route?.openAPIPath),
            (["health", "livePath"], live), (["health", "readyPath"], ready),
        ]
        for (index, (key, path)) in paths.enumerated() where path != nil {
            guard let (other, _) = paths[..<index].first(where: { $0.1 == path }) else { continue }
            reader.note(
                .conflict, key,
                message: "expected another path than that of \(other.joined(separator: ".")), found the same"
            )
        }
        return (live, ready)
    }

    private static func tokens(
        _ reader: ConfigurationReader, _ profile: VendorProfile?
    ) -> (reuse: Bool, minimumRemaining: Duration, pace: (requestsPerSecond: Int, burst: Int)?)? {
        let values = reader.read(
            "tokens", keys: Keys.reuse, Keys.minimumRemaining, Keys.requestsPerSecond, Keys.burst
        )
        guard let (reuse, minimumRemaining, configured, burst) = values else { return nil }
        guard let requestsPerSecond = configured ?? profile?.requestsPerSecond else {
            if burst != nil { reader.warn("tokens.burst has no effect without tokens.requestsPerSecond") }
            return (reuse, minimumRemaining, nil)
        }
        if let burst, burst > requestsPerSecond {
            reader.note(
                .conflict, ["tokens", "burst"],
                message: "expected at most requestsPerSecond, which is \(requestsPerSecond), found \(burst)"
            )
        }
        return (reuse, minimumRemaining, (requestsPerSecond, burst ?? requestsPerSecond))
    }

    private static func access(_ reader: ConfigurationReader, _ registry: Registry) -> Access? {
        let mode = reader.read("access", keys: Keys.mode)
        let authenticatorKind = reader.read(
            "access", "authenticator",
            keys: Keys.optionalKind(registry.authenticators, "Who asks? Your program may register its own.")
        )
        let policyKind = reader.read(
            "access", "policy",
            keys: Keys.optionalKind(registry.policies, "May they? Your program may register its own."))
        guard let mode, let authenticatorKind, let policyKind else {
            reader.skip(["access", "authenticator"])
            reader.skip(["access", "policy"])
            return nil
        }
        let authenticator = authenticatorKind.flatMap {
            choice($0, registry.authenticators, registry, reader, ["access", "authenticator"])
        }
        let policy = policyKind.flatMap {
            choice($0, registry.policies, registry, reader, ["access", "policy"])
        }
        switch (mode, authenticatorKind, policyKind) {
        case (nil, .some, .some):
            guard let authenticator, let policy else { return nil }
            return .closed(authenticator, policy)
        case (.some, nil, nil):
            return .open
        case (.some, _, _):
            reader.note(
                .conflict, ["access", "mode"],
                message:
                    "expected either \"mode: open\" or an authenticator and a policy, found both; leave one out"
            )
        case (nil, _, _):
            let missing =
                switch (authenticatorKind, policyKind) {
                case (nil, nil): "neither"
                case (nil, _): "no authenticator"
                default: "no policy"
                }
            reader.note(
                .missing, ["access"],
                message:
                    "expected an authenticator and a policy, found \(missing); without both anybody could have "
                    + "a token for any invoice. Either choose both by \"kind\", from those that the program "
                    + "registers (authenticators: \(list(available(registry.authenticators))); policies: "
                    + "\(list(available(registry.policies)))); or, on your own machine and not in production, write "
                    + "\"access: {mode: open}\", which gives a token to whoever asks from this machine"
            )
        }
        return nil
    }

    /// Open mode is for one's own machine.
    private static func checkOpenMode(
        _ reader: ConfigurationReader, _ server: ServerSettings?, _ vendor: (vendor: Vendor, environment: String)?
    ) {
        if let vendor {
            // By host, whatever its spelling, port and path: another of them may lead to the same accounts.
            let production = vendor.vendor.profile.environments["production"] ?? nil
            let isProduction = try? production.map { try Vendor(profile: vendor.vendor.profile, baseURL: $0) }
                .map { Authority($0.authority)?.host == Authority(vendor.vendor.authority)?.host }
            if vendor.environment == "production" || isProduction == true {
                reader.note(
                    .conflict, ["access", "mode"],
                    message:
                        "expected no open mode in production, found \"mode: open\" with the vendor's production; "
                        + "choose an authenticator and a policy, or another environment"
                )
            }
        }
        if let server, Host(bare: server.host)?.isLoopback != true {
            reader.note(
                .conflict, ["access", "mode"],
                message: "expected server.host to be this machine only, such as 127.0.0.1, since open mode answers "
                    + "nobody else; found another host"
            )
        }
    }

    /// The plug-in of that id, its keys read.
    static func choice<Context, Part>(
        _ id: String?, _ plugins: [String: Plugin<Context, Part>], _ registry: Registry,
        _ reader: ConfigurationReader, _ section: [String]
    ) -> Choice<Plugin<Context, Part>.Build>? {
        guard let id, let read = plugins[id]?.read else {
            // What it reads is not known either.
            reader.skip(section)
            return nil
        }
        return read(reader, section, registry).map { Choice(section: section, build: $0) }
    }

    private static func list(_ ids: [String]) -> String {
        ids.isEmpty ? "none yet" : ids.joined(separator: ", ")
    }
}

/// The keys that do not belong to a plug-in.
private enum Keys {
    static let host = ConfigurationKey(
        "host", .text.filter("a host name or an IP address, without port or brackets") { Host(bare: $0) != nil },
        default: "127.0.0.1",
        "Where the server listens."
    )
    static let port = ConfigurationKey(
        "port", .integer(0...65535), default: 8080, "Where the server listens; 0 for any free port."
    )
    static let shutdownTimeout = ConfigurationKey(
        "shutdownTimeout", .duration(.zero ... .seconds(600)), default: .seconds(10), formerly: "shutdownDeadline",
        "How long requests in flight may take when the server is told to stop."
    )
    static let headTimeout = ConfigurationKey(
        "headTimeout", .duration(.milliseconds(100) ... .seconds(300)), default: .seconds(10), formerly: "headDeadline",
        "How long the head of a request may take to arrive, from the connection or its first byte on."
    )
    static let idleTimeout = ConfigurationKey(
        "idleTimeout", .duration(.milliseconds(100) ... .seconds(3600)), default: .seconds(75),
        "How long a connection is kept open between requests. Longer than that of a proxy in front."
    )
    static let headerBytes = ConfigurationKey(
        "headerBytes", .integer(1024...1_048_576), default: 16_384,
        "How large the header fields of a request may be, all together; there may be 100 of them."
    )
    static let connections = ConfigurationKey(
        "connections", .integer(1...1_000_000), default: 2_000,
        "How many connections are open at once; further ones wait to be accepted."
    )
    static let connectionsPerAddress = ConfigurationKey(
        "connectionsPerAddress", .optional(.integer(1...1_000_000)), default: nil,
        "How many of them may be one address's (IPv6: its first 64 bits), trusted proxies excepted; further ones are closed. "
            + "Otherwise a quarter of `server.connections`."
    )

    static func profile(_ ids: [String]) -> ConfigurationKey<String> {
        ConfigurationKey("profile", .choice(ids), default: "alternative-payments", "The vendor.")
    }
    /// - Parameter names: `nil` if the profile is not known, and so its environments are not either.
    static func environment(_ names: [String]?) -> ConfigurationKey<String> {
        ConfigurationKey("environment", names.map { .choice($0) } ?? .text, "Which of the vendor's environments.")
    }
    static let baseURL = ConfigurationKey(
        "baseURL", .optional(.text.filter(baseURLDescription) { _ in true }), default: nil,
        "Instead of the environment's address; `sandbox` has none of its own."
    )
    private static let baseURLDescription = "https://host[:port][/path], or http to a loopback host"
    static let basicEncoding = ConfigurationKey(
        "basicEncoding", .optional(basicEncodingType), default: nil,
        "How id and secret are encoded in Basic authentication: `form` (RFC 6749, section 2.3.1), or `raw` for servers that do not decode; otherwise as the profile says."
    )
    private static let basicEncodingType = ConfigurationType.choice(
        VendorProfile.BasicEncoding.allCases.map(\.rawValue)
    )
    .map("form or raw", text: { $0.rawValue }, { VendorProfile.BasicEncoding(rawValue: $0) })

    static let clientAuthentication = ConfigurationKey(
        "clientAuthentication", .optional(clientAuthenticationType), default: nil,
        "How the client proves itself (RFC 7591): id and secret as `client_secret_basic` or `client_secret_post`; "
            + "`private_key_jwt`, where the secret is a private key as PEM; `tls_client_auth`, with the transport's "
            + "certificate and no secret. Otherwise as the profile says."
    )
    private static let clientAuthenticationType = ConfigurationType.choice(
        VendorProfile.ClientAuthentication.allCases.map(\.rawValue)
    )
    .map(
        "client_secret_basic, client_secret_post, private_key_jwt or tls_client_auth", text: { $0.rawValue },
        { VendorProfile.ClientAuthentication(rawValue: $0) }
    )
    static func signer(_ plugins: [String: AssertionSignerPlugin]) -> ConfigurationKey<String> {
        kind(plugins, default: "pem", "What signs with `private_key_jwt`.")
    }
    static let assertionAudience = ConfigurationKey(
        "audience", .optional(.text), default: nil,
        "What the vendor wants to be called in an assertion; otherwise the URL of its token endpoint."
    )

    static let timeout = ConfigurationKey(
        "timeout", .duration(.milliseconds(1) ... .seconds(300)), default: .seconds(10), "For one call, altogether."
    )
    static func kind<Context, Part>(
        _ plugins: [String: Plugin<Context, Part>], default id: String, _ summary: String
    ) -> ConfigurationKey<String> {
        ConfigurationKey("kind", .id(of: plugins), default: id, summary)
    }
    static func optionalKind<Context, Part>(
        _ plugins: [String: Plugin<Context, Part>], _ summary: String
    ) -> ConfigurationKey<String?> {
        ConfigurationKey("kind", .optional(.id(of: plugins)), default: nil, summary)
    }
    static func sources(_ plugins: [String: CredentialPlugin]) -> ConfigurationKey<[String]> {
        let type = ConfigurationType.list(of: .id(of: plugins))
        return ConfigurationKey(
            "sources",
            type.filter("\(type), with at least one element, and none twice") {
                !$0.isEmpty && Set($0).count == $0.count
            },
            default: ["environment"],
            "Where to look for the client id and secret, in this order: the first that has a pair counts, a broken one stops."
        )
    }

    static let path = ConfigurationKey(
        "path", .text.filter("a path such as /api/checkout-token") { isPath($0) }, default: "/api/checkout-token",
        "Where pages ask for a token."
    )
    static let routeTimeout = ConfigurationKey(
        "timeout", .duration(.milliseconds(1) ... .seconds(300)), default: .seconds(8), formerly: "deadline",
        "Every answer is given within it."
    )
    static let allowedOrigins = ConfigurationKey(
        "allowedOrigins",
        .list(of: .origin), default: [], "Other sites whose pages may ask."
    )

    static let allowedHeaders = ConfigurationKey(
        "allowedHeaders", .list(of: pageField), default: [],
        "Fields that pages of those sites may send besides `Authorization`, `Content-Type`, `baggage`, `sentry-trace`, "
            + "`traceparent` and `tracestate`."
    )
    private static let pageField: ConfigurationType<HTTPField.Name> = ConfigurationType.text.map(
        "the name of a field that pages set themselves, none that browsers or proxies set", text: { $0.rawName }
    ) { text in
        HTTPField.Name(text).flatMap { $0.mayComeFromPages ? $0 : nil }
    }
    static let openAPIPath = ConfigurationKey(
        "openapiPath", pathOrNone("/openapi.json"), default: nil,
        "Where the OpenAPI document of these routes is to be had."
    )
    static let livePath = ConfigurationKey(
        "livePath", pathOrNone("/healthz"), default: "/healthz", "Where to ask whether the process is alive."
    )
    static let readyPath = ConfigurationKey(
        "readyPath", pathOrNone("/readyz"), default: "/readyz", "Where to ask whether it can serve."
    )
    private static func pathOrNone(_ example: String) -> ConfigurationType<String?> {
        let type = ConfigurationType.text.filter("a path such as \(example), or none") { $0 == "none" || isPath($0) }
        return type.map(type.description, text: { $0 ?? "none" }, { .some($0 == "none" ? nil : $0) })
    }

    static let mode = ConfigurationKey(
        "mode", .optional(.choice(["open"])), default: nil,
        "`open`: without authenticator and policy, on your own machine."
    )

    static let reuse = ConfigurationKey(
        "reuse", .flag, default: true, "Whether answers may share a checkout token.")
    static let minimumRemaining = ConfigurationKey(
        "minimumRemaining", .duration(.zero ... .seconds(3600)), default: .seconds(120),
        "The life that a token has at least when it is handed out, if the vendor's live that long."
    )
    static let requestsPerSecond = ConfigurationKey(
        "requestsPerSecond", .optional(.integer(1...1_000_000)), default: nil,
        "How many calls to the vendor may start within any second; otherwise the profile's, which is 5."
    )
    static let burst = ConfigurationKey(
        "burst", .optional(.integer(1...1_000_000)), default: nil,
        "How many of them may start back to back, at most `requestsPerSecond`; otherwise all."
    )
}

/// A path that means the same to everybody: letters, digits and `-._~` between slashes, no empty or dot segments
/// but a last empty one.
private func isPath(_ text: String) -> Bool {
    let segments = text.split(separator: "/", omittingEmptySubsequences: false)
    return text.utf8.count <= 200 && segments.count > 1 && segments.first == ""
        && segments.dropFirst().dropLast().allSatisfy { !$0.isEmpty }
        && segments.allSatisfy { $0 != "." && $0 != ".." }
        && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-._~/".contains($0)) }
}
#endif

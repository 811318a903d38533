#if ConfigurationSupport
import CurlTransport
import HTTPTypes
import TokenBroker
import TokenBrokerJWT
import TokenBrokerSubprocess

extension Registry {
    /// What comes with the package, as far as its traits are on: `token-broker plugins` lists it.
    public static let standard: Registry = {
        var registry = Registry()
        registry.register(curl)
        registry.register(environment)
        registry.register(file)
        registry.register(directory)
        registry.register(vault)
        registry.register(command)
        registry.register(pem)
        registry.register(.alternativePayments)
        registry.register(jwt)
        registry.register(forwarded)
        registry.register(claim)
        registry.register(callback)
        registry.register(vendorInvoice)
        registry.register(combination("all", "Every one of the policies has to say yes.") { AllOf($0) })
        registry.register(combination("any", "One of the policies has to say yes.") { AnyOf($0) })
        return registry
    }()

    private static let curl = TransportPlugin(
        "curl", "HTTP/1.1 and HTTP/2 with libcurl.",
        keys: ConfigurationKey(
            "connectTimeout", .duration(.milliseconds(1) ... .seconds(60)), default: .seconds(3),
            "For establishing a connection, name resolution and TLS included."
        ),
        ConfigurationKey(
            "connectionLifetime", .duration(.seconds(1) ... .seconds(86_400)), default: .seconds(300),
            "How old a connection may be to take another request. A server whose name has moved is found within it."
        ),
        ConfigurationKey(
            "caFile", .optional(.text), default: nil,
            "A PEM file with the certificate authorities to trust, instead of the system's."
        ),
        ConfigurationKey(
            "clientCertificate", .optional(.text), default: nil,
            "A PEM file with the certificate to show to servers that ask who the client is."
        ),
        ConfigurationKey(
            "clientKey", .optional(.text), default: nil,
            "A PEM file with the certificate's private key; otherwise it is in the file of the certificate."
        ),
        variableName("clientKeyPassphraseVariable", "The variable that holds the passphrase of an encrypted key."),
        ConfigurationKey(
            "proxy", .optional(.text.filter("http://host:port") { CurlTransport.Proxy.isURL($0) }), default: nil,
            "An HTTP proxy to tunnel through to other hosts."
        ),
        variableName(
            "proxyCredentialsVariable", "The variable that holds the proxy's user and password, as user:password."),
        ConfigurationKey(
            "unixSocket", .optional(.text), default: nil,
            "A Unix-domain socket to connect to, instead of the hosts that are asked."
        )
    ) {
        context, connectTimeout, connectionLifetime, caFile, certificate, key, passphraseVariable, proxy, proxyVariable,
        unixSocket in
        func secret(_ name: String, namedBy key: String) throws(TransportError) -> String {
            guard let value = context.environment[name], !value.isEmpty else {
                throw TransportError(.other, message: "\(key): \(ConfiguredNames.variable(name)) is not set")
            }
            context.logger.warnOfQuotes(in: name, value)
            return value
        }
        var configuration = CurlTransport.Configuration(
            connectTimeout: connectTimeout, timeout: context.timeout, connectionLifetime: connectionLifetime,
            caFile: caFile, unixSocket: unixSocket
        )
        if let certificate {
            configuration.clientCertificate = .init(certificateFile: certificate, keyFile: key ?? certificate)
            if let passphraseVariable {
                configuration.clientCertificate?.passphrase = Secret(
                    try secret(passphraseVariable, namedBy: "clientKeyPassphraseVariable")
                )
            }
        } else if key != nil || passphraseVariable != nil {
            throw TransportError(.other, message: "clientKey and its passphrase need a clientCertificate")
        }
        if let proxy {
            configuration.proxy = .init(url: proxy)
            if let proxyVariable {
                let pair = try secret(proxyVariable, namedBy: "proxyCredentialsVariable")
                guard let colon = pair.firstIndex(of: ":") else {
                    throw TransportError(
                        .other, message: "\(ConfiguredNames.variable(proxyVariable)) is not user:password")
                }
                configuration.proxy?.user = String(pair[..<colon])
                configuration.proxy?.password = Secret(String(pair[pair.index(after: colon)...]))
            }
        } else if proxyVariable != nil {
            throw TransportError(.other, message: "proxyCredentialsVariable needs a proxy")
        }
        return try CurlTransport(configuration: configuration)
    }

    private static let environment = CredentialPlugin(
        "environment", "The pair from two environment variables.",
        keys: variableName("clientID", "The variable that holds the client id; otherwise the profile's."),
        variableName("clientSecret", "The variable that holds the client secret; otherwise the profile's.")
    ) { context, clientID, clientSecret in
        let names = context.names(clientID, clientSecret, or: context.profile.credentialVariables)
        return EnvironmentCredentials(
            clientID: names.clientID, clientSecret: names.clientSecret, environment: context.environment,
            logger: context.logger
        )
    }

    private static let file = CredentialPlugin(
        "file",
        "The pair from a file: JSON `{\"client_id\", \"client_secret\"}`, an array of such objects in order of preference, or `NAME=value` lines.",
        keys: ConfigurationKey("path", .text, "The file. One that does not exist is passed over.")
    ) { context, path in
        FileCredentials(
            path: path, names: context.names(or: context.profile.credentialVariables), logger: context.logger
        )
    }

    private static let directory = CredentialPlugin(
        "directory",
        "The pair from two files of a directory, read anew each time: secrets mounted by Docker or Kubernetes, or systemd's.",
        keys: ConfigurationKey(
            "path", .optional(.text), default: nil,
            "The directory; otherwise the one that systemd names in `$CREDENTIALS_DIRECTORY`. One that does not exist is passed over."
        ),
        fileName("clientID", default: "client_id", "The file with the client id."),
        fileName("clientSecret", default: "client_secret", "The file with the client secret."),
        fileName("secondClientID", default: "client_id_2", "That of a second pair; without it the first client id."),
        fileName("secondClientSecret", default: "client_secret_2", "That of a second pair, which need not be there.")
    ) { context, path, clientID, clientSecret, secondClientID, secondClientSecret in
        // Nothing is absent, as when systemd passes no credentials.
        guard let path = path ?? context.environment["CREDENTIALS_DIRECTORY"], !path.isEmpty else {
            return NoDirectory()
        }
        return DirectoryCredentials(
            path: path, names: context.names(clientID, clientSecret),
            secondNames: context.names(secondClientID, secondClientSecret), logger: context.logger
        )
    }

    private static let vault = CredentialPlugin(
        "vault", "The pair from a secret in HashiCorp Vault's key/value engine, version 2.",
        keys: ConfigurationKey("address", .url, "Vault's."),
        ConfigurationKey("mount", vaultPath, default: "secret", "Where the engine is mounted."),
        ConfigurationKey("path", vaultPath, "The secret below the mount, without `data/`."),
        ConfigurationKey("clientID", .text, default: "client_id", "The field with the client id."),
        ConfigurationKey("clientSecret", .text, default: "client_secret", "The field with the client secret."),
        ConfigurationKey(
            "versions", .integer(1...2), default: 1, "With 2, the version before the newest is a second pair."),
        ConfigurationKey("namespace", .optional(.text), default: nil, "Of Vault Enterprise."),
        ConfigurationKey("tokenFile", .optional(.text), default: nil, "A file with a token for Vault, read each time."),
        variableName(
            "tokenVariable",
            "The variable with a token for Vault, while `tokenFile` names none; otherwise `VAULT_TOKEN`."),
        ConfigurationKey(
            "timeout", .duration(.milliseconds(1) ... .seconds(60)), default: .seconds(5), "For one call."),
        refresh(.seconds(10), "How long what was read counts.")
    ) {
        context, address, mount, path, clientID, clientSecret, versions, namespace, tokenFile, tokenVariable, timeout,
        refresh in
        VaultCredentials(
            address: address, mount: mount, path: path, names: context.names(clientID, clientSecret),
            versions: versions, namespace: namespace,
            token: tokenFile.map { .file($0) }
                ?? .variable(tokenVariable ?? "VAULT_TOKEN", environment: context.environment),
            transport: context.transport, timeout: timeout, refresh: refresh, clock: context.clock,
            logger: context.logger
        )
    }

    private static let vaultPath = ConfigurationType.text.filter("a path without empty and dot segments") { path in
        path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { !["", ".", ".."].contains($0) }
    }

    #if CommandSupport
    private static let command = CredentialPlugin(
        "command", commandSummary, trait: "CommandSupport",
        keys: ConfigurationKey(
            "run",
            ConfigurationType.list(of: .text).filter("a list: the absolute path of a program, and its arguments") {
                $0.first?.hasPrefix("/") == true
            },
            "What to run, without a shell."
        ),
        ConfigurationKey(
            "passEnvironment", .list(of: variableNameType), default: [],
            "Names of variables that it gets besides `PATH`, `HOME` and `LANG`."
        ),
        ConfigurationKey(
            "timeout", .duration(.milliseconds(1) ... .seconds(60)), default: .seconds(10),
            "For one run; then it is killed."
        ),
        refresh(.seconds(30), "How long what was printed counts, if it does not say that it expires before.")
    ) { context, run, passEnvironment, timeout, refresh in
        CommandCredentials(
            run, environment: context.environment.filter { (["HOME"] + passEnvironment).contains($0.key) },
            needsSecret: context.needsSecret, timeout: timeout, refresh: refresh, clock: context.clock,
            wallClock: context.wallClock, logger: context.logger
        )
    }
    #else
    private static let command = CredentialPlugin("command", commandSummary, missingTrait: "CommandSupport")
    #endif
    private static let commandSummary =
        "The pair from what a program prints: JSON as in a `file`, optionally with `expires_at`."

    #if JWTSupport
    private static let pem = AssertionSignerPlugin(
        "pem", pemSummary, trait: "JWTSupport",
        keys: ConfigurationKey(
            "algorithm", .optional(algorithm),
            default: nil, "Otherwise what the key suggests: RS256 for RSA, ES256 for P-256, EdDSA for Ed25519."
        ),
        ConfigurationKey("keyID", .optional(.text), default: nil, "The `kid` in the header of an assertion.")
    ) { _, algorithm, keyID in
        PEMAssertionSigner(algorithm: algorithm, keyID: keyID)
    }

    private static let algorithm = ConfigurationType.choice(PEMAssertionSigner.Algorithm.allCases.map(\.rawValue))
        .map("RS256, PS256, ES256 or EdDSA", text: { $0.rawValue }, { PEMAssertionSigner.Algorithm(rawValue: $0) })
    #else
    private static let pem = AssertionSignerPlugin("pem", pemSummary, missingTrait: "JWTSupport")
    #endif
    private static let pemSummary = "Signs with the private key that stands, as PEM, where the client secret would."

    private static func fileName(
        _ name: String, default value: String, _ summary: String
    ) -> ConfigurationKey<String> {
        let type = ConfigurationType.text.filter("the name of a file, without a path") {
            !$0.contains("/") && $0 != "." && $0 != ".."
        }
        return ConfigurationKey(name, type, default: value, summary)
    }

    private static func refresh(_ value: Duration, _ summary: String) -> ConfigurationKey<Duration> {
        ConfigurationKey("refresh", .duration(.seconds(1) ... .seconds(3600)), default: value, summary)
    }

    // MARK: Who asks

    private static let jwtSummary = "A signed JSON Web Token, as bearer token or in a cookie."
    #if JWTSupport
    private static let jwt = AuthenticatorPlugin(
        "jwt", jwtSummary, trait: "JWTSupport",
        keys: ConfigurationKey("issuer", .text, "What iss has to be."),
        ConfigurationKey("audience", .text, "What aud has to be or to contain."),
        ConfigurationKey("algorithms", algorithms, "How a token may be signed."),
        ConfigurationKey("jwksURL", .optional(.url), default: nil, "Where the issuer publishes its keys."),
        ConfigurationKey(
            "jwksMaximumAge", .duration(.seconds(60) ... .seconds(86_400)), default: .seconds(3600),
            "How long keys from jwksURL count that cannot be fetched again."
        ),
        ConfigurationKey(
            "keysFile", .optional(.text), default: nil,
            "A JWK set, or public keys and certificates in PEM form; read anew when it changes."
        ),
        ConfigurationKey("keys", .optional(.object), default: nil, "A JWK set of public keys, written out."),
        tokenSecretFile, tokenSecretVariable,
        ConfigurationKey("cookie", .optional(cookieName), default: nil, "The cookie it may stand in."),
        ConfigurationKey(
            "leeway", .duration(.zero ... .seconds(300)), default: .seconds(30),
            "By how much the issuer's clock may differ."
        ),
        ConfigurationKey("subjectClaim", .text, default: "sub", "The claim that names who asks."),
        ConfigurationKey("tenantClaim", .optional(.text), default: nil, "The claim that names the tenant."),
        check: { _, _, algorithms, jwksURL, _, keysFile, keys, secretFile, secretVariable, _, _, _, _ in
            let sources = [
                jwksURL.map { _ in "jwksURL" }, keysFile.map { _ in "keysFile" }, keys.map { _ in "keys" },
                secretFile.map { _ in "secretFile" }, secretVariable.map { _ in "secretVariable" },
            ].compactMap(\.self)
            guard sources.count == 1, let source = sources.first else {
                let found = sources.isEmpty ? "none" : sources.joined(separator: " and ")
                return KeyConflict(
                    sources.dropFirst().first ?? "jwksURL",
                    "expected one of jwksURL, keysFile, keys, secretFile, secretVariable, found \(found)"
                )
            }
            let isSecret = source.hasPrefix("secret")
            guard source != "keysFile", algorithms.contains(where: { ($0.minimumSecretBytes != nil) != isSecret })
            else { return nil }
            return KeyConflict(
                "algorithms",
                isSecret
                    ? "expected only HS256, HS384 or HS512 with \(source), found another"
                    : "expected no HS algorithm with \(source), since public keys are no secrets, found one"
            )
        }
    ) {
        context, issuer, audience, algorithms, jwksURL, jwksMaximumAge, keysFile, keys, secretFile, secretVariable,
        cookie,
        leeway, subjectClaim, tenantClaim in
        let source: JWTKeys
        if let jwksURL {
            source = .url(
                jwksURL, transport: context.transport, maximumAge: jwksMaximumAge, clock: context.clock,
                logger: context.logger
            )
        } else if let keysFile {
            source = .file(keysFile, logger: context.logger)
        } else if let keys {
            source = try await .jwkSet(keys)
        } else {
            let minimumBytes = algorithms.compactMap(\.minimumSecretBytes).max() ?? 32
            guard let secrets = try secrets(secretFile, secretVariable, context, minimumBytes: minimumBytes) else {
                // One of the five is there, as was checked.
                throw CredentialError(.incomplete, source: "jwt", message: "expected keys, found none")
            }
            source = .secrets(secrets)
        }
        let expected = JWTAuthenticator.Expectations(
            issuer: issuer, audience: audience, algorithms: Set(algorithms), leeway: leeway,
            subjectClaim: subjectClaim, tenantClaim: tenantClaim, cookie: cookie
        )
        return try await authenticator(expected, source, isKeysFile: keysFile != nil, context)
    }

    private static func authenticator(
        _ expected: JWTAuthenticator.Expectations, _ keys: JWTKeys, isKeysFile: Bool, _ context: AccessContext
    ) async throws -> JWTAuthenticator {
        do throws(CredentialError) {
            return try await JWTAuthenticator(expected, keys: keys, wallClock: context.wallClock)
        } catch {
            if isKeysFile { throw KeyFailure("keysFile", error) }
            throw error
        }
    }

    private static let tokenSecretMinimum = "at least 32 bytes for HS256, 48 for HS384 and 64 for HS512"
    private static let tokenSecretFile = secretFile(minimum: tokenSecretMinimum)
    private static let tokenSecretVariable = secretVariable(minimum: tokenSecretMinimum)

    private static let algorithms: ConfigurationType<[SigningAlgorithm]> = {
        let names = ConfigurationType.list(of: .choice(SigningAlgorithm.names))
        return names.map("\(names), with at least one element", text: { names.text($0.map(\.rawValue)) }) {
            $0.isEmpty ? nil : $0.compactMap(SigningAlgorithm.init(name:))
        }
    }()

    private static let cookieName = ConfigurationType.text.filter("the name of a cookie") { HTTPField.Name($0) != nil }
    #else
    private static let jwt = AuthenticatorPlugin("jwt", jwtSummary, missingTrait: "JWTSupport")
    #endif

    private static let forwarded = AuthenticatorPlugin(
        "forwarded", "What a reverse proxy says in header fields, if it proves to be the proxy.",
        keys: ConfigurationKey("subjectHeader", fieldName, "The field that names who asks."),
        ConfigurationKey("tenantHeader", .optional(fieldName), default: nil, "The field that names the tenant."),
        ConfigurationKey(
            "claims", claimFields, default: [:],
            "Claims for the policies and the fields they come from; commas in a field make a list."
        ),
        ConfigurationKey(
            "secretHeader", fieldName, default: proxySecret,
            "The field in which the proxy sends the secret."
        ),
        secretFile, secretVariable,
        ConfigurationKey(
            "trustedPeers", .list(of: .addressBlock), default: [], "Where the proxy's connections come from."
        ),
        check: { _, _, _, _, secretFile, secretVariable, trustedPeers in
            if secretFile == nil, secretVariable == nil, trustedPeers.isEmpty || trustedPeers.areEverybody {
                return KeyConflict(
                    "trustedPeers",
                    "expected secretFile, secretVariable or trustedPeers, so that not everybody can claim to be the proxy, "
                        + (trustedPeers.isEmpty ? "found none" : "found blocks that practically everybody is in")
                )
            }
            return twoSecrets(secretFile, secretVariable)
        }
    ) { context, subject, tenant, claims, secretHeader, secretFile, secretVariable, trustedPeers in
        ForwardedAuthenticator(
            subject: subject, tenant: tenant, claims: claims, secretField: secretHeader,
            secrets: try secrets(secretFile, secretVariable, context), peers: trustedPeers
        )
    }

    private static let proxySecret = HTTPField.Name("X-Proxy-Secret") ?? .authorization

    private static let fieldName = ConfigurationType.text.map(
        "the name of a header field", text: { $0.rawName }, { HTTPField.Name($0) }
    )

    private static let claimFields = ConfigurationType.object.map(
        "a map from claims to the names of header fields", text: { _ in "{}" }
    ) { object -> [String: HTTPField.Name]? in
        guard case .object(let members) = object else { return nil }
        var fields: [String: HTTPField.Name] = [:]
        for (claim, field) in members { fields[claim.unicode] = field.string.flatMap { HTTPField.Name($0.unicode) } }
        return fields.count == members.count ? fields : nil
    }

    // MARK: Whether they may

    private static let claim = PolicyPlugin(
        "claim", "A claim of whoever asks names the customer, the invoice, or both.",
        keys: ConfigurationKey(
            "customer", .optional(.text), default: nil, "The claim with their customer or customers."),
        ConfigurationKey("invoice", .optional(.text), default: nil, "The claim with their invoice or invoices."),
        check: { customer, invoice in
            customer == nil && invoice == nil
                ? KeyConflict("customer", "expected the name of a claim for customer, invoice or both, found neither")
                : nil
        }
    ) { _, customer, invoice in ClaimPolicy(customer: customer, invoice: invoice) }

    private static let callback = PolicyPlugin(
        "callback", "A service of your own decides.",
        keys: ConfigurationKey("url", .url, "Where to ask, with POST."),
        ConfigurationKey(
            "timeout", .duration(.milliseconds(1) ... .seconds(60)), default: .seconds(2), "For one call."
        ),
        ConfigurationKey(
            "cacheFor", .duration(.zero ... .seconds(60)), default: .seconds(5), "How long an answer holds."
        ),
        secretFile, secretVariable,
        check: { _, _, _, secretFile, secretVariable in twoSecrets(secretFile, secretVariable) }
    ) { context, url, timeout, cacheFor, secretFile, secretVariable in
        CallbackPolicy(
            url: url, transport: context.transport, secrets: try secrets(secretFile, secretVariable, context),
            timeout: timeout, logger: context.logger
        ).caching(for: cacheFor, clock: context.clock)
    }

    private static let vendorInvoice = PolicyPlugin(
        "vendor-invoice", "The vendor says that the invoice is the customer's.",
        keys: ConfigurationKey(
            "cacheFor", .duration(.zero ... .seconds(600)), default: .seconds(30), "How long an answer holds."
        )
    ) { context, cacheFor in
        let policy = VendorInvoicePolicy(
            vendor: context.vendor, accessTokens: context.accessTokens, transport: context.transport,
            timeout: context.timeout, clock: context.clock, wallClock: context.wallClock, logger: context.logger
        )
        guard let policy else {
            throw TokenError(
                .misconfigured, message: "the profile \(context.vendor.profile.id) has no way to look an invoice up"
            )
        }
        return policy.caching(for: cacheFor, clock: context.clock)
    }

    private static func combination(
        _ id: String, _ summary: String, _ combine: @escaping @Sendable ([any AccessPolicy]) -> any AccessPolicy
    ) -> PolicyPlugin {
        let of = KeyDocumentation(
            name: "of", type: "a map with a policy under each name", defaultText: nil, summary: "The policies."
        )
        return PolicyPlugin(id, summary, keys: [of]) { reader, section, registry in
            let section = section + ["of"]
            guard let names = reader.names(in: section) else { return nil }
            let kinds = ConfigurationKey("kind", .id(of: registry.policies), "Which plug-in.")
            let members = names.map { name in
                Settings.choice(
                    reader.read(plugin: section + [name], keys: kinds), registry.policies, registry, reader,
                    section + [name]
                )
            }
            guard !members.contains(where: { $0 == nil }) else { return nil }
            return { context in
                var policies: [any AccessPolicy] = []
                do {
                    for member in members.compactMap(\.self) { policies.append(try await member.build(context)) }
                } catch {
                    await shutDown(policies)
                    guard var failure = error as? KeyFailure else { throw error }
                    failure.path = ["of", names[policies.count]] + failure.path
                    throw failure
                }
                return combine(policies)
            }
        }
    }

    // MARK: Secrets that are shared with others

    private static let secretFile = secretFile(minimum: "at least 16 bytes")
    private static let secretVariable = secretVariable(minimum: "at least 16 bytes")

    private static func secretFile(minimum: String) -> ConfigurationKey<String?> {
        ConfigurationKey(
            "secretFile", .optional(.text), default: nil,
            "The file with the secret, \(minimum); up to four lines while it is being replaced."
        )
    }

    private static func secretVariable(minimum: String) -> ConfigurationKey<String?> {
        variableName("secretVariable", "The variable that holds the secret, \(minimum).")
    }

    /// `nil` if there is none. One that cannot be used stops the start.
    private static func secrets(
        _ file: String?, _ variable: String?, _ context: AccessContext, minimumBytes: Int = 16
    ) throws -> SharedSecrets? {
        let secrets =
            file.map { SharedSecrets(file: $0, minimumBytes: minimumBytes, logger: context.logger) }
            ?? variable.map {
                SharedSecrets(
                    variable: $0, in: context.environment, minimumBytes: minimumBytes, logger: context.logger
                )
            }
        _ = try KeyFailure.attributing(to: file != nil ? "secretFile" : "secretVariable") { try secrets?.load() }
        return secrets
    }

    private static func twoSecrets(_ file: String?, _ variable: String?) -> KeyConflict? {
        file == nil || variable == nil
            ? nil : KeyConflict("secretVariable", "expected secretFile or secretVariable, found both")
    }

    private static func variableName(_ name: String, _ summary: String) -> ConfigurationKey<String?> {
        ConfigurationKey(name, .optional(variableNameType), default: nil, summary)
    }

    private static let variableNameType = ConfigurationType.text.filter(
        "the name of an environment variable, not its value"
    ) { text in
        text.first?.isNumber == false && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
    }
}

extension CredentialContext {
    /// The names of the halves that are needed, as configured or else from `names`.
    func names(
        _ clientID: String? = nil, _ clientSecret: String? = nil, or names: CredentialNames? = nil
    ) -> CredentialNames {
        CredentialNames(
            clientID: clientID ?? names?.clientID ?? "client_id",
            clientSecret: needsSecret ? clientSecret ?? names?.clientSecret ?? "client_secret" : nil
        )
    }
}

/// Stands for the directory that systemd did not pass.
private struct NoDirectory: CredentialSource, CredentialPlaces {
    let places = ["the directory that CREDENTIALS_DIRECTORY names, which is not set"]
    func credentials(for account: Account) async throws(CredentialError) -> [Credential] { [] }
}
#endif

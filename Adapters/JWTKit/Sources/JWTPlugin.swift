#if JWTSupport && ConfigurationSupport
import HTTPTypes
public import TokenBroker
public import TokenBrokerComposer

extension AuthenticatorPlugin {
    /// The `jwt` authenticator, which accepts a signed JSON Web Token.
    public static var jwt: Self {
        Self(
            "jwt", "A signed JSON Web Token, as a bearer token or in a cookie.", trait: "JWTSupport",
            keys: JWTPluginKeys(),
            check: JWTPluginKeys.check
        ) { context, values in
            let source: JWTKeys
            if let url = values.jwksURL {
                source = .url(
                    url, transport: context.transport, maximumAge: values.jwksMaximumAge, clock: context.clock,
                    logger: context.logger
                )
            } else if let file = values.keysFile {
                source = .file(file, logger: context.logger)
            } else if let keys = values.keys {
                source = try await .jwkSet(keys)
            } else {
                let minimumBytes = values.algorithms.compactMap(\.minimumSecretBytes).max() ?? 32
                let secrets = try SharedSecretKeys.secrets(
                    values.secretFile, values.secretVariable, context, minimumBytes: minimumBytes)
                guard let secrets else {
                    // Unreachable, because the check requires one of the five.
                    throw ConfigurationError.Problem(.missing, "expected keys, found none")
                }
                source = .secrets(secrets)
            }
            let expected = JWTAuthenticator.Expectations(
                issuer: values.issuer, audience: values.audience, algorithms: Set(values.algorithms),
                leeway: values.leeway, subjectClaim: values.subjectClaim, tenantClaim: values.tenantClaim,
                cookie: values.cookie
            )
            do throws(CredentialError) {
                return try await JWTAuthenticator(expected, keys: source, wallClock: context.wallClock)
            } catch {
                guard values.keysFile != nil else { throw error }
                throw ConfigurationError.Problem.unusable("keysFile", error)
            }
        }
    }
}

private struct JWTPluginKeys: ConfigurationKeys {
    let issuer = ConfigurationKey("issuer", .text, "The issuer that `iss` must equal.")
    let audience = ConfigurationKey("audience", .text, "The audience that `aud` must equal or contain.")
    let algorithms = ConfigurationKey("algorithms", algorithmList, "The accepted signature algorithms.")
    let jwksURL = ConfigurationKey("jwksURL", .optional(.url), default: nil, "The URL of the issuer's JWK set.")
    let jwksMaximumAge = ConfigurationKey(
        "jwksMaximumAge", .duration(.seconds(60) ... .seconds(86_400)), default: .seconds(3600),
        "How long keys from `jwksURL` are used while they cannot be fetched again."
    )
    let keysFile = ConfigurationKey(
        "keysFile", .optional(.text), default: nil,
        "A file with a JWK set, or with public keys and certificates in PEM form. Read again when it changes."
    )
    let keys = ConfigurationKey("keys", .optional(.object), default: nil, "A JWK set of public keys, given inline.")
    let secretFile = SharedSecretKeys.file(minimum: minimum)
    let secretVariable = SharedSecretKeys.variable(minimum: minimum)
    let cookie = ConfigurationKey("cookie", .optional(cookieName), default: nil, "The cookie that may carry the token.")
    let leeway = ConfigurationKey(
        "leeway", .duration(.zero ... .seconds(300)), default: .seconds(30),
        "How far the issuer's clock may differ."
    )
    let subjectClaim = ConfigurationKey("subjectClaim", .text, default: "sub", "The claim that names the caller.")
    let tenantClaim = ConfigurationKey(
        "tenantClaim", .optional(.text), default: nil, "The claim that names the tenant.")

    private static let minimum = "at least 32 bytes for HS256, 48 for HS384 and 64 for HS512"

    private static let algorithmList: ConfigurationType<[SigningAlgorithm]> = {
        let names = ConfigurationType.list(of: .choice(SigningAlgorithm.names))
        return names.map(
            "\(names), with at least one element", text: { "[\($0.map(\.rawValue).joined(separator: ", "))]" }
        ) {
            $0.isEmpty ? nil : $0.compactMap(SigningAlgorithm.init(name:))
        }
    }()

    private static let cookieName = ConfigurationType.text.filter("the name of a cookie") { HTTPField.Name($0) != nil }

    @Sendable static func check(_ values: ConfigurationValues<Self>) throws(ConfigurationError.Problem) {
        let sources = [
            values.jwksURL.map { _ in "jwksURL" }, values.keysFile.map { _ in "keysFile" },
            values.keys.map { _ in "keys" }, values.secretFile.map { _ in "secretFile" },
            values.secretVariable.map { _ in "secretVariable" },
        ].compactMap(\.self)
        guard sources.count == 1, let source = sources.first else {
            let found = sources.isEmpty ? "none" : sources.joined(separator: " and ")
            throw ConfigurationError.Problem(
                .conflict, key: sources.dropFirst().first ?? "jwksURL",
                "expected one of jwksURL, keysFile, keys, secretFile, secretVariable, found \(found)"
            )
        }
        let isSecret = source.hasPrefix("secret")
        guard source != "keysFile", values.algorithms.contains(where: { ($0.minimumSecretBytes != nil) != isSecret })
        else { return }
        throw ConfigurationError.Problem(
            .conflict, key: "algorithms",
            isSecret
                ? "expected only HS256, HS384 or HS512 with \(source), found another algorithm"
                : "expected no HS algorithm with \(source), because public keys are not secrets, found one"
        )
    }
}
#endif

#if ConfigurationSupport
import TokenBroker

/// The section `vendor`: the payment vendor, its address, and how the client authenticates there.
enum VendorSection {
    static let path = ["vendor"]

    struct ProfileKeys: ConfigurationKeys {
        let profile: ConfigurationKey<String>

        init(_ registry: Registry) {
            profile = ConfigurationKey(
                "profile", .choice(registry.profiles.keys.sorted()), default: "alternative-payments", "The vendor.")
        }
    }

    struct Keys: ConfigurationKeys {
        let environment: ConfigurationKey<String>
        let baseURL = ConfigurationKey(
            "baseURL", .optional(.text.filter("https://host[:port][/path], or http to a loopback host") { _ in true }),
            default: nil,
            "The base URL of the vendor's API, instead of the environment's. Required for `sandbox`, which has none."
        )
        let clientAuthentication = ConfigurationKey(
            "clientAuthentication", .optional(clientAuthenticationType), default: nil,
            "How the client authenticates (RFC 7591): `client_secret_basic` or `client_secret_post`, with id and "
                + "secret; `private_key_jwt`, where the secret is a private key in PEM form; `tls_client_auth`, with "
                + "the transport's certificate and no secret. By default as in the vendor profile."
        )
        let basicEncoding = ConfigurationKey(
            "basicEncoding", .optional(basicEncodingType), default: nil,
            "How id and secret are encoded in Basic authentication: `form` (RFC 6749, section 2.3.1), or `raw` for "
                + "servers that do not decode them. By default as in the vendor profile."
        )

        /// - Parameter profile: The vendor profile; `nil` if it is unknown, and with it the environments.
        init(_ profile: VendorProfile? = nil) {
            environment = ConfigurationKey(
                "environment", (profile?.environments.keys.sorted()).map { .choice($0) } ?? .text,
                "The vendor's environment."
            )
        }

        private static let basicEncodingType = ConfigurationType.choice(
            VendorProfile.BasicEncoding.allCases.map(\.rawValue)
        )
        .map("form or raw", text: { $0.rawValue }, { VendorProfile.BasicEncoding(rawValue: $0) })
        private static let clientAuthenticationType = ConfigurationType.choice(
            VendorProfile.ClientAuthentication.allCases.map(\.rawValue)
        )
        .map(
            "client_secret_basic, client_secret_post, private_key_jwt or tls_client_auth", text: { $0.rawValue },
            { VendorProfile.ClientAuthentication(rawValue: $0) }
        )
    }

    struct Settings: Sendable {
        var vendor: Vendor
        var environment: String
        /// The client assertions, for `private_key_jwt`.
        var assertions: AssertionSection.Settings?
    }

    static func read(_ reader: ConfigurationReader, _ registry: Registry) -> Settings? {
        let profile = (reader.read(ProfileKeys(registry), in: path)?.profile).flatMap { registry.profiles[$0] }
        let values = reader.read(Keys(profile), in: path)
        guard let profile, let values, let vendor = vendor(profile, values, reader) else {
            reader.skip(AssertionSection.path)
            return nil
        }
        return Settings(
            vendor: vendor, environment: values.environment, assertions: AssertionSection.read(reader, registry, vendor)
        )
    }

    private static func vendor(
        _ profile: VendorProfile, _ values: ConfigurationValues<Keys>, _ reader: ConfigurationReader
    ) -> Vendor? {
        let expected = "https://host[:port][/path], or http to a loopback host"
        guard let baseURL = values.baseURL ?? profile.environments[values.environment] ?? nil else {
            reader.note(
                .missing, path + ["baseURL"],
                message:
                    "expected \(expected), found nothing, and the environment \(values.environment) has no address "
                    + "of its own"
            )
            return nil
        }
        do throws(ServerURL.Invalid) {
            return try Vendor(
                profile: profile, baseURL: baseURL, clientAuthentication: values.clientAuthentication,
                basicEncoding: values.basicEncoding
            )
        } catch {
            reader.note(
                .invalid, path + [values.baseURL == nil ? "environment" : "baseURL"],
                message: "expected \(expected); found other text: \(error.reason)"
            )
            return nil
        }
    }
}

/// The section `vendor.assertion`, which applies to `private_key_jwt` only.
enum AssertionSection {
    static let path = ["vendor", "assertion"]

    struct Keys: ConfigurationKeys {
        let kind: ConfigurationKey<String>
        let audience = ConfigurationKey(
            "audience", .optional(.text), default: nil,
            "The audience of client assertions; by default the URL of the vendor's token endpoint."
        )

        init(_ registry: Registry) {
            kind = ConfigurationKey(
                "kind", .id(of: registry.assertionSigners), default: "pem",
                "The signer of client assertions, for `private_key_jwt`."
            )
        }
    }

    struct Settings: Sendable {
        var signer: Choice<AssertionSignerPlugin.Build>
        var audience: String?
    }

    static func read(_ reader: ConfigurationReader, _ registry: Registry, _ vendor: Vendor) -> Settings? {
        guard vendor.clientAuthentication == .privateKeyJWT else {
            if reader.isSet(path) {
                reader.warn("vendor.assertion has no effect, since vendor.clientAuthentication is not private_key_jwt")
            }
            reader.skip(path)
            return nil
        }
        guard let values = reader.read(Keys(registry), in: path) else {
            reader.skip(path)
            return nil
        }
        if let remedy = registry.assertionSigners[values.kind]?.remedy {
            reader.skip(path)
            reader.note(
                .invalid, ["vendor", "clientAuthentication"],
                message:
                    "expected a method whose signer is registered, found private_key_jwt; its signer \(remedy)"
            )
            return nil
        }
        guard let signer = reader.choice(values.kind, registry.assertionSigners, registry, in: path) else { return nil }
        return Settings(signer: signer, audience: values.audience)
    }
}
#endif

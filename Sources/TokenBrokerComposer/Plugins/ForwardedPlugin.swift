#if ConfigurationSupport
import HTTPTypes
public import TokenBroker

extension AuthenticatorPlugin {
    /// The authenticator `forwarded`: a reverse proxy names the caller in header fields.
    public static var forwarded: Self {
        Self(
            "forwarded", "The caller named in header fields by a reverse proxy that authenticates itself.",
            keys: ForwardedKeys(),
            check: { (values) throws(ConfigurationError.Problem) in try ForwardedKeys.check(values) }
        ) { context, values in
            ForwardedAuthenticator(
                subject: values.subjectHeader, tenant: values.tenantHeader, claims: values.claims,
                secretField: values.secretHeader,
                secrets: try SharedSecretKeys.secrets(values.secretFile, values.secretVariable, context),
                peers: values.trustedPeers
            )
        }
    }
}

private struct ForwardedKeys: ConfigurationKeys {
    let subjectHeader = ConfigurationKey("subjectHeader", field, "The header field that names the caller.")
    let tenantHeader = ConfigurationKey(
        "tenantHeader", .optional(field), default: nil, "The header field that names the tenant.")
    let claims = ConfigurationKey(
        "claims", claimFields, default: [:],
        "The claims for the policies, and the header field of each; commas in a field separate the elements of a list."
    )
    let secretHeader = ConfigurationKey(
        "secretHeader", field, default: HTTPField.Name("X-Proxy-Secret") ?? .authorization,
        "The header field in which the proxy sends the secret."
    )
    let secretFile = SharedSecretKeys.file()
    let secretVariable = SharedSecretKeys.variable()
    let trustedPeers = ConfigurationKey(
        "trustedPeers", .list(of: .addressBlock), default: [], "The addresses from which the proxy connects.")

    private static let field = ConfigurationType.text.map(
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

    static func check(_ values: ConfigurationValues<Self>) throws(ConfigurationError.Problem) {
        let peers = values.trustedPeers
        if values.secretFile == nil, values.secretVariable == nil, peers.isEmpty || peers.areEverybody {
            throw ConfigurationError.Problem(
                .conflict, key: "trustedPeers",
                "expected secretFile, secretVariable or trustedPeers, so that not everyone can pose as the proxy; "
                    + (peers.isEmpty ? "found none" : "found blocks that cover practically every address")
            )
        }
        try SharedSecretKeys.check(values.secretFile, values.secretVariable)
    }
}
#endif

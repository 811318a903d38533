#if ConfigurationSupport
import TokenBroker

/// The section `access`: who asks, and may they.
enum AccessSection {
    static let path = ["access"]

    struct Keys: ConfigurationKeys {
        let mode = ConfigurationKey(
            "mode", .optional(.choice(["open"])), default: nil,
            "`open`: without authenticator and policy, on your own machine."
        )
    }

    struct AuthenticatorKeys: ConfigurationKeys {
        let kind: ConfigurationKey<String?>
        init(_ registry: Registry) {
            kind = ConfigurationKey(
                "kind", .optional(.id(of: registry.authenticators)), default: nil,
                "Who asks? Your program may register its own."
            )
        }
    }

    struct PolicyKeys: ConfigurationKeys {
        let kind: ConfigurationKey<String?>
        init(_ registry: Registry) {
            kind = ConfigurationKey(
                "kind", .optional(.id(of: registry.policies)), default: nil,
                "May they? Your program may register its own."
            )
        }
    }

    enum Settings: Sendable {
        case open
        case closed(Choice<AuthenticatorPlugin.Build>, Choice<PolicyPlugin.Build>)
    }

    static func read(_ reader: ConfigurationReader, _ registry: Registry) -> Settings? {
        let (authenticatorPath, policyPath) = (path + ["authenticator"], path + ["policy"])
        let mode = reader.read(Keys(), in: path)
        let authenticatorValues = reader.read(AuthenticatorKeys(registry), in: authenticatorPath)
        let policyValues = reader.read(PolicyKeys(registry), in: policyPath)
        guard let mode, let authenticatorValues, let policyValues else {
            reader.skip(authenticatorPath)
            reader.skip(policyPath)
            return nil
        }
        let (authenticatorKind, policyKind) = (authenticatorValues.kind, policyValues.kind)
        let authenticator = authenticatorKind.flatMap {
            reader.choice($0, registry.authenticators, registry, in: authenticatorPath)
        }
        let policy = policyKind.flatMap { reader.choice($0, registry.policies, registry, in: policyPath) }
        switch (mode.mode, authenticatorKind, policyKind) {
        case (nil, .some, .some):
            guard let authenticator, let policy else { return nil }
            return .closed(authenticator, policy)
        case (.some, nil, nil):
            return .open
        case (.some, _, _):
            reader.note(
                .conflict, path + ["mode"],
                message: "expected either \"mode: open\" or an authenticator and a policy, found both; leave one out"
            )
        case (nil, _, _):
            let missing =
                switch (authenticatorKind, policyKind) {
                case (nil, nil): "neither"
                case (nil, _): "no authenticator"
                default: "no policy"
                }
            reader.note(
                .missing, path,
                message: "expected an authenticator and a policy, found \(missing); without both anybody could have "
                    + "a token for any invoice. Either choose both by \"kind\", from those that the program "
                    + "registers (authenticators: \(list(available(registry.authenticators))); policies: "
                    + "\(list(available(registry.policies)))); or, on your own machine and not in production, write "
                    + "\"access: {mode: open}\", which gives a token to whoever asks from this machine"
            )
        }
        return nil
    }

    /// Open mode is for one's own machine.
    static func checkOpenMode(
        _ reader: ConfigurationReader, _ server: ServerSettings?, _ vendor: VendorSection.Settings?
    ) {
        if let vendor, vendor.vendor.isProduction(vendor.environment) {
            reader.note(
                .conflict, path + ["mode"],
                message: "expected no open mode in production, found \"mode: open\" with the vendor's production; "
                    + "choose an authenticator and a policy, or another environment"
            )
        }
        if let server, Host(bare: server.host)?.isLoopback != true {
            reader.note(
                .conflict, path + ["mode"],
                message: "expected server.host to be this machine only, such as 127.0.0.1, since open mode answers "
                    + "nobody else; found another host"
            )
        }
    }

    private static func list(_ ids: [String]) -> String { ids.isEmpty ? "none yet" : ids.joined(separator: ", ") }
}
#endif

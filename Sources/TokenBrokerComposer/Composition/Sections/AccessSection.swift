#if ConfigurationSupport
import TokenBroker

/// The section `access`: how callers are authenticated and authorized.
enum AccessSection {
    static let path = ["access"]

    struct Keys: ConfigurationKeys {
        let mode = ConfigurationKey(
            "mode", .optional(.choice(["open"])), default: nil,
            "`open` runs without authenticator and policy, on your own machine only."
        )
    }

    struct AuthenticatorKeys: ConfigurationKeys {
        let kind: ConfigurationKey<String?>
        init(_ registry: Registry) {
            kind = ConfigurationKey(
                "kind", .optional(.id(of: registry.authenticators)), default: nil,
                "The authenticator, which identifies the caller. Your program can register its own."
            )
        }
    }

    struct PolicyKeys: ConfigurationKeys {
        let kind: ConfigurationKey<String?>
        init(_ registry: Registry) {
            kind = ConfigurationKey(
                "kind", .optional(.id(of: registry.policies)), default: nil,
                "The policy, which decides whether the caller may get a token. Your program can register its own."
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
                message: "expected an authenticator and a policy, found \(missing); without both, anyone could get "
                    + "a token for any invoice. Either choose both by \"kind\", from those that the program "
                    + "registers (authenticators: \(list(available(registry.authenticators))); policies: "
                    + "\(list(available(registry.policies)))); or, on your own machine and not in production, write "
                    + "\"access: {mode: open}\", which gives a token to every caller on this machine"
            )
        }
        return nil
    }

    /// Records a problem if open mode is used in production or could be reached from other machines.
    static func checkOpenMode(
        _ reader: ConfigurationReader, _ server: ServerSettings?, _ vendor: VendorSection.Settings?
    ) {
        if let vendor, vendor.vendor.isProduction(vendor.environment) {
            reader.note(
                .conflict, path + ["mode"],
                message: "expected no open mode in production, found \"mode: open\"; "
                    + "choose an authenticator and a policy, or another environment"
            )
        }
        if let server, Host(bare: server.host)?.isLoopback != true {
            reader.note(
                .conflict, path + ["mode"],
                message: "expected a loopback host in server.host, such as 127.0.0.1, because open mode answers only "
                    + "this machine; found another host"
            )
        }
    }

    private static func list(_ ids: [String]) -> String { ids.isEmpty ? "none yet" : ids.joined(separator: ", ") }
}
#endif

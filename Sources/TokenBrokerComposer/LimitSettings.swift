#if ConfigurationSupport
import Logging
import TokenBroker

#if JWTSupport
import Crypto
#endif

/// What the sections `quotas` and `audit` say, and `server.trustedProxies` and `route.concurrentRequests`.
struct LimitSettings: Sendable {
    var limits: RequestLimits
    var auditKey: AuditKey?

    enum AuditKey: Sendable {
        case file(String)
        case variable(String)
    }

    /// - Parameter isOpen: In open mode everybody is the same caller, so that only quotas count that are written out.
    init?(_ reader: ConfigurationReader, isOpen: Bool) {
        let trustedProxies = reader.read("server", keys: Keys.trustedProxies)
        if trustedProxies?.areEverybody == true {
            reader.note(
                .conflict, ["server", "trustedProxies"],
                message:
                    "expected blocks with the addresses of your proxies, found ones that practically everybody is in, "
                    + "so that anybody could say whose address a request comes from"
            )
        }
        let concurrentRequests = reader.read("route", keys: Keys.concurrentRequests)
        let defaults = RequestLimits()
        let address = Self.quota("address", Keys.address, defaults.perAddress, reader, isOpen)
        let principal = Self.quota("principal", Keys.principal, defaults.perPrincipal, reader, isOpen)
        let replacement = Self.quota(
            "replacement", Keys.replacement, defaults.replacementsPerPrincipal, reader, isOpen
        )
        let trackedCallers = reader.read("quotas", keys: Keys.trackedCallers)
        let auditKey = Self.auditKey(reader)
        guard let trustedProxies, let concurrentRequests, let address, let principal, let replacement,
            let trackedCallers, let auditKey
        else { return nil }
        limits = defaults
        limits.trustedProxies = trustedProxies
        limits.concurrentRequests = concurrentRequests
        (limits.perAddress, limits.perPrincipal, limits.replacementsPerPrincipal) = (address, principal, replacement)
        limits.trackedCallers = trackedCallers
        self.auditKey = auditKey
    }

    /// - Returns: Inner `nil` for no limit, outer `nil` after a problem.
    private static func quota(
        _ name: String, _ summary: String, _ defaultValue: Quota?, _ reader: ConfigurationReader, _ isOpen: Bool
    ) -> Quota?? {
        guard
            let values = reader.read(
                "quotas", name, keys: Keys.perMinute(defaultValue, summary), Keys.burst(defaultValue))
        else { return nil }
        let (perMinute, burst) = values
        let isWritten = reader.isSet(["quotas", name, "perMinute"])
        if isOpen, !isWritten { return .some(nil) }
        return .some(perMinute.map { Quota(perMinute: $0, burst: burst) })
    }

    private static func auditKey(_ reader: ConfigurationReader) -> AuditKey?? {
        guard let (file, variable) = reader.read("audit", keys: Keys.keyFile, Keys.keyVariable) else { return nil }
        if file != nil, variable != nil {
            reader.note(.conflict, ["audit", "keyFile"], message: "expected keyFile or keyVariable, found both")
        }
        #if !JWTSupport
        if file != nil || variable != nil {
            reader.note(
                .conflict, ["audit", file != nil ? "keyFile" : "keyVariable"],
                message: "expected no key, since hashing with one needs the trait JWTSupport; found one"
            )
        }
        #endif
        return .some(file.map(AuditKey.file) ?? variable.map(AuditKey.variable))
    }

    private enum Keys {
        static let trustedProxies = ConfigurationKey(
            "trustedProxies",
            .list(of: .addressBlock), default: [],
            "The proxies in front, believed in `Forwarded`, `X-Forwarded-For` and `X-Forwarded-Host` about whose address a request comes from and "
                + "which host it asked."
        )
        static let concurrentRequests = ConfigurationKey(
            "concurrentRequests", .integer(1...1_000_000), default: RequestLimits().concurrentRequests,
            "How many requests may be under way at once; further ones are told to come back."
        )

        static let address = "Requests a minute from one client address (IPv6: its first 64 bits), or `none`."
        static let principal = "Requests a minute of one principal, or `none`."
        static let replacement =
            "Requests with `replaces` a minute of one principal, or `none`; they count as requests too."
        static func perMinute(_ quota: Quota?, _ summary: String) -> ConfigurationKey<Int?> {
            ConfigurationKey(
                "perMinute", .orNone(.integer(1...1_000_000_000)), default: quota?.perMinute,
                summary + " In open mode only if set."
            )
        }
        static func burst(_ quota: Quota?) -> ConfigurationKey<Int> {
            ConfigurationKey(
                "burst", .integer(1...1_000_000_000), default: quota?.burst ?? 1,
                "How many of them at once after a pause."
            )
        }
        static let trackedCallers = ConfigurationKey(
            "trackedCallers", .integer(1...10_000_000), default: RequestLimits().trackedCallers,
            "How many addresses, and how many principals, are kept in mind, at some 100 bytes each."
        )

        static let keyFile = ConfigurationKey(
            "keyFile", .optional(.text), default: nil,
            "A file with the key with which the log hashes principals (HMAC-SHA256), at least 16 bytes; otherwise a random "
                + "one in each process."
        )
        static let keyVariable = ConfigurationKey(
            "keyVariable",
            .optional(
                .text.filter("the name of an environment variable, not its value") { text in
                    text.first?.isNumber == false
                        && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
                }
            ),
            default: nil, "The same from the environment variable of this name."
        )
    }
}

extension ConfigurationType {
    /// The same, or the word `none`.
    static func orNone<Wrapped: Sendable>(
        _ type: ConfigurationType<Wrapped>
    ) -> Self where Value == Wrapped? {
        Self("\(type), or none", text: { $0.map(type.text) ?? "none" }) { (input) throws(Rejection) in
            if input.text == "none" { return nil }
            return try type.read(input)
        }
    }
}

extension LimitSettings.AuditKey {
    /// What the log calls a principal: the first 128 bits of a hash of its tenant and subject.
    func pseudonym(
        environment: [String: String], logger: Logger? = nil
    ) throws -> @Sendable (Principal) -> String {
        let secrets =
            switch self {
            case .file(let path): SharedSecrets(file: path, logger: logger)
            case .variable(let name): SharedSecrets(variable: name, in: environment, logger: logger)
            }
        let secret = try KeyFailure.attributing(to: nil) { try secrets.load().first } ?? Secret("")
        #if JWTSupport
        let key = SymmetricKey(data: Array(secret.reveal().utf8))
        return { principal in
            var hash = HMAC<SHA256>(key: key)
            for part in [principal.tenant, "\0", principal.subject] { hash.update(data: Array(part.utf8)) }
            return hash.finalize().prefix(16).map { byte in
                let digits = String(byte, radix: 16)
                return byte < 16 ? "0" + digits : digits
            }
            .joined()
        }
        #else
        // The settings have refused the key.
        throw CredentialError(.malformed, source: "audit", message: "the trait JWTSupport is off")
        #endif
    }

    /// Where it stands in the configuration.
    var section: [String] {
        switch self {
        case .file: ["audit", "keyFile"]
        case .variable: ["audit", "keyVariable"]
        }
    }
}
#endif

#if JWTSupport
public import Logging
public import TokenBroker

/// Where a ``JWTAuthenticator`` has the keys from that it verifies tokens with.
public struct JWTKeys: Sendable {
    let source: any KeySource

    /// A file: a JWK set, a JWK, or public keys and certificates in PEM form. It is read when it has changed and
    /// rested for half a second. Until then, and while it is missing or cannot be used, what it last had counts.
    /// - Parameters:
    ///   - path: Of a regular file of at most 256 KiB.
    ///   - logger: For what is wrong with it.
    public static func file(_ path: String, logger: Logger? = nil) -> JWTKeys {
        JWTKeys(source: FileKeys(path: path, logger: logger))
    }

    /// Secrets that are shared with whoever signs, for the HS algorithms.
    public static func secrets(_ secrets: SharedSecrets) -> JWTKeys { JWTKeys(source: SecretKeys(secrets: secrets)) }

    /// A JWK set of public keys.
    /// - Throws: ``CredentialError`` unless every key can be used.
    public static func jwkSet(_ set: JSONValue) async throws(CredentialError) -> JWTKeys {
        var problems: [String] = []
        let keys: KeySet
        do throws(VerificationKey.Unusable) {
            keys = try await KeySet(jwks: set, allowsSecrets: false) { problems.append("key \($0 + 1): \($1)") }
        } catch {
            throw CredentialError(.malformed, source: "the configured JWK set", message: error.reason)
        }
        guard problems.isEmpty, !keys.keys.isEmpty else {
            throw CredentialError(
                .malformed, source: "the configured JWK set", message: problems.first ?? "it has no key for signatures"
            )
        }
        return JWTKeys(source: keys)
    }

    /// A JWK set at a URL. It is fetched when it is first needed, again in the background from a quarter of
    /// `maximumAge` on, and, at most every 30 seconds, when a token names a key that is not in it.
    /// - Parameters:
    ///   - url: Where the issuer publishes its keys (`jwks_uri`).
    ///   - transport: Carries the calls.
    ///   - maximumAge: Keys that could not be confirmed for this long are not used.
    ///   - clock: Measures it.
    ///   - logger: For what goes wrong.
    public static func url(
        _ url: ServerURL, transport: any HTTPTransport, maximumAge: Duration = .seconds(3600),
        clock: some Clock<Duration> = ContinuousClock(), logger: Logger? = nil
    ) -> JWTKeys {
        JWTKeys(
            source: RemoteKeys(
                url: url, transport: transport, maximumAge: maximumAge, alarm: Alarm(clock), logger: logger
            )
        )
    }
}

protocol KeySource: Sendable {
    /// The keys that `token` may have been signed with; empty if it is none of ours.
    /// - Throws: When it cannot be told.
    func candidates(for token: CompactToken) async throws -> [VerificationKey]

    /// The keys as they are now, so that what is wrong with them is told at the start; `nil` if that would take a call.
    func keysAtStart() async throws(CredentialError) -> KeySet?
}

extension KeySet: KeySource {
    func keysAtStart() async throws(CredentialError) -> KeySet? { self }
}

private struct SecretKeys: KeySource {
    let secrets: SharedSecrets

    func candidates(for token: CompactToken) async throws -> [VerificationKey] {
        try await load().candidates(for: token)
    }

    func keysAtStart() async throws(CredentialError) -> KeySet? { try await load() }

    private func load() async throws(CredentialError) -> KeySet {
        var keys = KeySet()
        for secret in try await secrets.current() {
            do throws(VerificationKey.Unusable) {
                keys.keys.append(try await VerificationKey(secret: Array(secret.reveal().utf8)))
            } catch {
                throw CredentialError(.malformed, source: "a secret for tokens", message: error.reason)
            }
        }
        return keys
    }
}

private struct FileKeys: KeySource {
    private let file: RestingFile<KeySet>
    private let source: String
    private let logger: Logger?

    init(path: String, logger: Logger?) {
        self.file = RestingFile(path: path, maximumBytes: 256 << 10, logger: logger)
        self.source = ConfiguredNames.file(path)
        self.logger = logger
    }

    func candidates(for token: CompactToken) async throws -> [VerificationKey] {
        try await load().candidates(for: token)
    }

    func keysAtStart() async throws(CredentialError) -> KeySet? { try await load() }

    private func load() async throws(CredentialError) -> KeySet {
        try await file.value { (bytes) async throws(CredentialError) in
            let keys: KeySet
            do throws(VerificationKey.Unusable) {
                keys = try await parse(bytes)
            } catch {
                throw CredentialError(.malformed, source: source, message: error.reason)
            }
            guard !keys.keys.isEmpty else {
                throw CredentialError(
                    .incomplete, source: source, message: "it has no key for signatures that can be used")
            }
            return keys
        }
    }

    private func parse(_ bytes: [UInt8]) async throws(VerificationKey.Unusable) -> KeySet {
        if let json = try? JSONValue.parse(bytes) {
            return try await KeySet(jwks: json, allowsSecrets: true) { index, reason in
                logger?.warning(
                    "a key for tokens is passed over", metadata: ["key": "\(index + 1)", "reason": "\(reason)"]
                )
            }
        }
        let text = String(validating: bytes, as: UTF8.self) ?? ""
        guard text.contains("-----BEGIN ") else {
            throw VerificationKey.Unusable(reason: "expected a JWK set in JSON, or public keys in PEM form")
        }
        return try await KeySet(pem: text)
    }
}
#endif

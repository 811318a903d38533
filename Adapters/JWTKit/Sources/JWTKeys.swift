#if JWTSupport
public import Logging
public import TokenBroker

/// The source of the keys that a ``JWTAuthenticator`` verifies tokens with.
public struct JWTKeys: Sendable {
    let source: any KeySource

    /// Returns keys that are read from a file: a JWK set, a JWK, or public keys and certificates in PEM form.
    ///
    /// The file is read again once it has changed and then stayed unchanged for half a second. Until then, and while it
    /// is missing or unusable, its last valid content stays in use.
    ///
    /// - Parameters:
    ///   - path: The path of a regular file of at most 256 KiB.
    ///   - logger: Logs problems with the file.
    public static func file(_ path: String, logger: Logger? = nil) -> JWTKeys {
        JWTKeys(source: FileKeys(path: path, logger: logger))
    }

    /// Secrets that are shared with the signer, for the HS algorithms.
    public static func secrets(_ secrets: SharedSecrets) -> JWTKeys { JWTKeys(source: SecretKeys(secrets: secrets)) }

    /// Keys from a JWK set of public keys.
    ///
    /// - Throws: `CredentialError` unless every key can be used.
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
                .malformed, source: "the configured JWK set", message: problems.first ?? "it has no signature key"
            )
        }
        return JWTKeys(source: keys)
    }

    /// Keys from a JWK set at a URL.
    ///
    /// The set is fetched when it is first needed, and refreshed in the background once it is older than a quarter of
    /// `maximumAge`. It is also fetched, at most every 30 seconds, when a token names a key that is not in it.
    ///
    /// - Parameters:
    ///   - url: The URL where the issuer publishes its keys (`jwks_uri`).
    ///   - transport: The transport for the requests.
    ///   - maximumAge: How long keys are used after the last successful fetch.
    ///   - clock: Measures the age of the keys.
    ///   - logger: Logs failed fetches and unusable keys.
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
    /// Returns the keys that `token` may have been signed with; empty if there is none.
    ///
    /// - Throws: An error if the keys are currently unknown.
    func candidates(for token: CompactToken) async throws -> [VerificationKey]

    /// Returns the current keys, so that problems with them are reported at startup; `nil` if that would take a network
    /// call.
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
                throw CredentialError(.malformed, source: "a token verification secret", message: error.reason)
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
                    .incomplete, source: source, message: "it has no usable signature key")
            }
            return keys
        }
    }

    private func parse(_ bytes: [UInt8]) async throws(VerificationKey.Unusable) -> KeySet {
        if let json = try? JSONValue.parse(bytes) {
            return try await KeySet(jwks: json, allowsSecrets: true) { index, reason in
                logger?.warning(
                    "a token verification key is skipped", metadata: ["key": "\(index + 1)", "reason": "\(reason)"]
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

import FoundationEssentials
import HTTPTypes
public import Logging

/// Reads credentials from a secret in HashiCorp Vault's key/value engine, version 2, using a token.
///
/// The newest version of the secret is used. With ``Configuration/versions`` set to 2, the previous version is a second
/// credential during a rotation, unless it is deleted or destroyed.
///
/// The result is cached for ``Configuration/refresh``. If the secret does not exist, the source has no credentials. A
/// refused token, a sealed or unreachable Vault, and a secret without a client id or secret are errors until a first
/// read has succeeded. After that, the last credentials stay in use.
public struct VaultCredentials: CredentialSource, CredentialPlaces {
    /// The secret in Vault, which does not exist.
    public let places: [String]
    private let cache: CredentialCache

    /// The place of the token for Vault.
    public struct VaultToken: Sendable {
        fileprivate enum Place {
            case file(path: String)
            case variable(name: String, value: Secret?)
        }
        fileprivate var place: Place

        /// A file that contains only the token. It is read each time, so it may be replaced, as Vault Agent does.
        public static func file(_ path: String) -> Self { Self(place: .file(path: path)) }

        /// An environment variable, read once, now.
        ///
        /// - Parameters:
        ///   - name: The name of the variable.
        ///   - environment: The variables to use; `nil` for those of the process.
        public static func variable(_ name: String, environment: [String: String]? = nil) -> Self {
            let environment = environment ?? ProcessInfo.processInfo.environment
            return Self(
                place: .variable(
                    name: name,
                    value: environment[name].map { Secret(String(withoutByteOrderMark($0).trimmingWhiteSpace)) }))
        }
    }

    /// The location of the secret, and how to request it from Vault.
    public struct Configuration: Sendable {
        /// Vault's base URL: `https://host[:port]`.
        public var address: ServerURL
        /// The path at which the engine is mounted.
        public var mount = "secret"
        /// The path of the secret below the mount, without `data/`.
        public var path: String
        /// The names of the secret's fields.
        public var names = CredentialNames(clientID: "client_id", clientSecret: "client_secret")
        /// The number of the secret's versions to use: one, or two during a rotation.
        public var versions = 1
        /// The Vault Enterprise namespace.
        public var namespace: String?
        /// The token for Vault.
        public var token: VaultToken
        /// The timeout of one call.
        public var timeout: Duration = .seconds(5)
        /// How long credentials are used before they are read again.
        public var refresh: Duration = .seconds(10)

        /// Creates a configuration with default values for everything else.
        ///
        /// - Parameters:
        ///   - address: Vault's base URL.
        ///   - path: The path of the secret below the mount, without `data/`.
        ///   - token: The place of the token for Vault.
        public init(address: ServerURL, path: String, token: VaultToken) {
            self.address = address
            self.path = path
            self.token = token
        }
    }

    /// Creates a source for a secret in Vault.
    ///
    /// - Parameters:
    ///   - configuration: The location of the secret, and how to request it.
    ///   - transport: Sends the requests to Vault.
    ///   - clock: Measures the age of the cached credentials.
    ///   - logger: Receives warnings about failed reads and about a token file that is accessible to group or others.
    public init(
        configuration: Configuration, transport: any HTTPTransport, clock: some Clock<Duration> = ContinuousClock(),
        logger: Logger? = nil
    ) {
        let secret = VaultSecret(configuration: configuration, transport: transport, logger: logger)
        places = ["\(secret.source), which does not exist"]
        cache = CredentialCache(source: secret.source, refresh: configuration.refresh, clock: clock, logger: logger) {
            () async throws(CredentialError) in CredentialCache.Reading(try await secret.read())
        }
    }

    /// Returns the cached credentials, or reads them, whichever the account.
    public func credentials(for account: Account) async throws(CredentialError) -> [Credential] {
        try await cache.credentials()
    }
}

private struct VaultSecret: Sendable {
    let configuration: VaultCredentials.Configuration
    let transport: any HTTPTransport
    let logger: Logger?
    let warned = Once()

    var source: String { "Vault secret \(configuration.mount)/\(configuration.path)" }

    func read() async throws(CredentialError) -> [Credential] {
        let token = try load()
        guard let (newest, version) = try await read(version: nil, token) else { return [] }
        guard configuration.versions > 1, let version, version > 1,
            let (former, _) = try await read(version: version - 1, token), former != newest
        else { return [newest] }
        return [newest, former]
    }

    /// Returns one version of the secret; `nil` if the secret or that version does not exist.
    private func read(
        version: Int?, _ token: Secret
    ) async throws(CredentialError) -> (Credential, version: Int?)? {
        let encoded = [configuration.mount, "data", configuration.path].map(percentEncodedPath).joined(separator: "/")
        let query = version.map { "?version=\($0)" } ?? ""
        var fields: HTTPFields = [.accept: "application/json"]
        // `X-Vault-Request` is Vault's protection against server-side request forgery, which it may require.
        let own = [
            ("X-Vault-Token", token.reveal()), ("X-Vault-Request", "true"),
            ("X-Vault-Namespace", configuration.namespace),
        ]
        for case (let name, let value?) in own {
            if let name = HTTPField.Name(name) { fields[name] = value }
        }
        let response: TransportResponse
        do {
            response = try await transport.send(
                HTTPRequest(
                    method: .get, scheme: configuration.address.scheme, authority: configuration.address.authority,
                    path: "/v1/\(encoded)\(query)", headerFields: fields
                ), body: [],
                options: TransportOptions(timeout: configuration.timeout)
            )
        } catch {
            throw CredentialError(.unreadable, source: source, message: "the request to Vault failed: \(error)")
        }
        switch response.status.code {
        case 200: break
        case 404: return nil
        case 403: throw CredentialError(.unreadable, source: source, message: "Vault refuses the token (403)")
        case 503: throw CredentialError(.unreadable, source: source, message: "Vault is sealed or down (503)")
        case let status:
            throw CredentialError(.unreadable, source: source, message: "Vault responded with status \(status)")
        }
        guard let data = try? JSONValue.parse(response.body)["data"], case .object(let members)? = data["data"] else {
            throw CredentialError(
                .malformed, source: source,
                message: "expected a key/value engine, version 2, at the mount \(configuration.mount)"
            )
        }
        let number = data["metadata"]?["version"]?.number.flatMap { Int(exactly: $0) }
        return (try pair(in: members, configuration.names, source: source), number)
    }

    private func load() throws(CredentialError) -> Secret {
        switch configuration.token.place {
        case .variable(let name, let value):
            guard let value, !value.isEmpty else {
                throw CredentialError(
                    .incomplete, source: source,
                    message: "\(ConfiguredNames.variable(name)) is not set; it must hold the token")
            }
            return value
        case .file(let path):
            let source = ConfiguredNames.file(path)
            let found = try SmallFile(path: path, maximumBytes: 64 << 10, source: source, isAtRest: true)
            guard let file = found else {
                throw CredentialError(.unreadable, source: source, message: "the Vault token file does not exist")
            }
            if file.isReadableByOthers, warned.first() {
                logger?.warning(
                    "the Vault token file is accessible to group or others; set its mode to 600",
                    metadata: ["path": "\(path)"]
                )
            }
            let text = String(validating: file.bytes, as: UTF8.self)?.trimmingWhiteSpace ?? ""
            guard !text.isEmpty, text.utf8.allSatisfy({ 0x21...0x7e ~= $0 }) else {
                throw CredentialError(.malformed, source: source, message: "it is empty or contains more than a token")
            }
            return Secret(String(text))
        }
    }
}

private func percentEncodedPath(_ path: String) -> String {
    path.split(separator: "/").map { percentEncoded(String($0)) }.joined(separator: "/")
}

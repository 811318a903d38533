import FoundationEssentials
import HTTPTypes
public import Logging

/// Reads the pair from a secret in HashiCorp Vault's key/value engine, version 2, with a token.
///
/// The secret's newest version counts. With two versions, the one before it is a second pair, as long as it is
/// neither deleted nor destroyed: both count while a rotation is under way.
///
/// Vault is asked once in a while and not each time; while it does not answer, what it had last counts. A secret that
/// is not there is absent; a token that is refused, a Vault that is sealed or does not answer, and a secret without
/// the pair are broken.
public struct VaultCredentials: CredentialSource, CredentialPlaces {
    /// The secret in Vault.
    public let places: [String]
    private let cache: CredentialCache

    /// Where the token for Vault is.
    public struct VaultToken: Sendable {
        fileprivate enum Place {
            case file(path: String)
            case variable(name: String, value: Secret?)
        }
        fileprivate var place: Place

        /// A file with nothing else in it, read each time, so that it may be replaced, as Vault Agent does.
        public static func file(_ path: String) -> Self { Self(place: .file(path: path)) }

        /// An environment variable, as it is now.
        /// - Parameter environment: Instead of the process's.
        public static func variable(_ name: String, environment: [String: String]? = nil) -> Self {
            let environment = environment ?? ProcessInfo.processInfo.environment
            return Self(
                place: .variable(
                    name: name,
                    value: environment[name].map { Secret(String(withoutByteOrderMark($0).trimmingWhiteSpace)) }))
        }
    }

    /// Where the secret is, and how Vault is asked for it.
    public struct Configuration: Sendable {
        /// Vault's base URL: `https://host[:port]`.
        public var address: ServerURL
        /// Where the engine is mounted.
        public var mount = "secret"
        /// The secret below the mount, without `data/`.
        public var path: String
        /// The fields of the secret.
        public var names = CredentialNames(clientID: "client_id", clientSecret: "client_secret")
        /// How many of the secret's versions count: one, or two during a rotation.
        public var versions = 1
        /// The Vault Enterprise namespace.
        public var namespace: String?
        /// The token for Vault.
        public var token: VaultToken
        /// How long one call may take.
        public var timeout: Duration = .seconds(5)
        /// How long what was read is used before it is read again.
        public var refresh: Duration = .seconds(10)

        /// The defaults.
        /// - Parameters:
        ///   - address: Vault's base URL.
        ///   - path: The secret below the mount, without `data/`.
        ///   - token: The token for Vault.
        public init(address: ServerURL, path: String, token: VaultToken) {
            self.address = address
            self.path = path
            self.token = token
        }
    }

    /// - Parameters:
    ///   - configuration: Where the secret is, and how Vault is asked for it.
    ///   - transport: Carries the calls.
    ///   - clock: Measures how old what was read is.
    ///   - logger: For failures while what was read before is used.
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

    /// See ``CredentialSource/credentials(for:)``; the type tells what is particular.
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

    /// `nil` if there is no such secret, or not in that version.
    private func read(
        version: Int?, _ token: Secret
    ) async throws(CredentialError) -> (Credential, version: Int?)? {
        let encoded = [configuration.mount, "data", configuration.path].map(percentEncodedPath).joined(separator: "/")
        let query = version.map { "?version=\($0)" } ?? ""
        var fields: HTTPFields = [.accept: "application/json"]
        // The second is Vault's defence against forged requests, which it may demand.
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
            throw CredentialError(.unreadable, source: source, message: "Vault does not answer: \(error)")
        }
        switch response.status.code {
        case 200: break
        case 404: return nil
        case 403: throw CredentialError(.unreadable, source: source, message: "Vault refuses the token (403)")
        case 503: throw CredentialError(.unreadable, source: source, message: "Vault is sealed or down (503)")
        case let status:
            throw CredentialError(.unreadable, source: source, message: "Vault answers with status \(status)")
        }
        guard let data = try? JSONValue.parse(response.body)["data"], case .object(let members)? = data["data"] else {
            throw CredentialError(
                .malformed, source: source,
                message: "Vault's answer is not that of a key/value engine of version 2; is \(configuration.mount) one?"
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
                    message: "\(ConfiguredNames.variable(name)) is not set; it holds the token")
            }
            return value
        case .file(let path):
            let source = ConfiguredNames.file(path)
            let found = try SmallFile(path: path, maximumBytes: 64 << 10, source: source, isAtRest: true)
            guard let file = found else {
                throw CredentialError(.unreadable, source: source, message: "the file with Vault's token is not there")
            }
            if file.isReadableByOthers, warned.first() {
                logger?.warning(
                    "others than its owner can read the file with Vault's token; set its mode to 600",
                    metadata: ["path": "\(path)"]
                )
            }
            let text = String(validating: file.bytes, as: UTF8.self)?.trimmingWhiteSpace ?? ""
            guard !text.isEmpty, text.utf8.allSatisfy({ 0x21...0x7e ~= $0 }) else {
                throw CredentialError(.malformed, source: source, message: "it is empty or holds more than a token")
            }
            return Secret(String(text))
        }
    }
}

private func percentEncodedPath(_ path: String) -> String {
    path.split(separator: "/").map { percentEncoded(String($0)) }.joined(separator: "/")
}

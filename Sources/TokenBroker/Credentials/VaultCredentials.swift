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

    /// - Parameters:
    ///   - address: Vault's, `https://host[:port]`.
    ///   - mount: Where the engine is mounted.
    ///   - path: The secret's, below the mount, without `data/`.
    ///   - names: The fields of the secret.
    ///   - versions: How many of its versions count: one or two.
    ///   - namespace: Of Vault's enterprise edition.
    ///   - token: For Vault.
    ///   - transport: Carries the calls.
    ///   - timeout: For one call.
    ///   - refresh: How long what was read counts.
    ///   - clock: Measures that.
    ///   - logger: For failures while what was read before is used.
    public init(
        address: ServerURL, mount: String = "secret", path: String,
        names: CredentialNames = .init(clientID: "client_id", clientSecret: "client_secret"), versions: Int = 1,
        namespace: String? = nil, token: VaultToken, transport: any HTTPTransport, timeout: Duration = .seconds(5),
        refresh: Duration = .seconds(10), clock: any Clock<Duration> = ContinuousClock(), logger: Logger? = nil
    ) {
        let secret = VaultSecret(
            address: address, mount: mount, path: path, names: names, versions: versions,
            namespace: namespace, token: token, transport: transport, timeout: timeout, logger: logger
        )
        places = ["\(secret.source), which does not exist"]
        cache = CredentialCache(source: secret.source, refresh: refresh, clock: clock, logger: logger) {
            () async throws(CredentialError) in CredentialCache.Reading(try await secret.read())
        }
    }

    /// See ``CredentialSource/credentials(for:)``; the type tells what is particular.
    public func credentials(for account: Account) async throws(CredentialError) -> [Credential] {
        try await cache.credentials()
    }
}

private struct VaultSecret: Sendable {
    let address: ServerURL
    let mount: String
    let path: String
    let names: CredentialNames
    let versions: Int
    let namespace: String?
    let token: VaultCredentials.VaultToken
    let transport: any HTTPTransport
    let timeout: Duration
    let logger: Logger?
    let warned = Once()

    var source: String { "Vault secret \(mount)/\(path)" }

    func read() async throws(CredentialError) -> [Credential] {
        let token = try load()
        guard let (newest, version) = try await read(version: nil, token) else { return [] }
        guard versions > 1, let version, version > 1,
            let (former, _) = try await read(version: version - 1, token), former != newest
        else { return [newest] }
        return [newest, former]
    }

    /// `nil` if there is no such secret, or not in that version.
    private func read(
        version: Int?, _ token: Secret
    ) async throws(CredentialError) -> (Credential, version: Int?)? {
        let encoded = [mount, "data", path].map(percentEncodedPath).joined(separator: "/")
        let query = version.map { "?version=\($0)" } ?? ""
        var fields: HTTPFields = [.accept: "application/json"]
        // The second is Vault's defence against forged requests, which it may demand.
        let own = [("X-Vault-Token", token.reveal()), ("X-Vault-Request", "true"), ("X-Vault-Namespace", namespace)]
        for case (let name, let value?) in own {
            if let name = HTTPField.Name(name) { fields[name] = value }
        }
        let response: TransportResponse
        do {
            response = try await transport.send(
                HTTPRequest(
                    method: .get, scheme: address.scheme, authority: address.authority,
                    path: "/v1/\(encoded)\(query)", headerFields: fields
                ), body: [],
                options: TransportOptions(timeout: timeout)
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
                message: "Vault's answer is not that of a key/value engine of version 2; is \(mount) one?"
            )
        }
        let number = data["metadata"]?["version"]?.number.flatMap { Int(exactly: $0) }
        return (try pair(in: members, names, source: source), number)
    }

    private func load() throws(CredentialError) -> Secret {
        switch token.place {
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

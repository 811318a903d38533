public import HTTPTypes

/// An authenticator that trusts the header fields of a reverse proxy that has authenticated the caller.
///
/// The proxy has to prove that it is the proxy: with a secret in a header field, by its address, or by both if both are
/// configured. It must remove these fields from the requests of clients. A field that is repeated, or has a comma where
/// only one value is possible, was not set by the proxy alone and is refused.
public struct ForwardedAuthenticator: Authenticator {
    private let subject: HTTPField.Name
    private let tenant: HTTPField.Name?
    private let claims: [String: HTTPField.Name]
    private let secretField: HTTPField.Name
    private let secrets: SharedSecrets?
    private let peers: [IPAddressBlock]
    private let areEverybody: Bool

    /// Creates an authenticator.
    ///
    /// - Parameters:
    ///   - subject: The field that names the principal.
    ///   - tenant: The field that names the tenant. If there is one, the field is required.
    ///   - claims: The fields that become claims, by the name of the claim. An absent field is skipped; a value with
    ///     commas becomes an array.
    ///   - secretField: The field with the proxy's secret.
    ///   - secrets: The accepted secrets; `nil` if no secret is required.
    ///   - peers: The addresses that the proxy connects from; empty if they are not checked. Without a secret, all
    ///     requests are refused if there are no peers, or if the peers include practically everyone, such as with
    ///     `0.0.0.0/0`.
    public init(
        subject: HTTPField.Name, tenant: HTTPField.Name? = nil, claims: [String: HTTPField.Name] = [:],
        secretField: HTTPField.Name, secrets: SharedSecrets?, peers: [IPAddressBlock] = []
    ) {
        self.subject = subject
        self.tenant = tenant
        self.claims = claims
        self.secretField = secretField
        self.secrets = secrets
        self.peers = peers
        self.areEverybody = peers.areEverybody
    }

    /// The header fields that only the proxy may set.
    public var reservedFields: Set<HTTPField.Name> {
        Set([subject, secretField] + [tenant].compactMap(\.self) + claims.values)
    }

    /// Returns ``Proof/ambient`` if the proxy names a principal and there is no bearer token. A sign-in at a proxy is
    /// usually kept in a cookie, which may not have reached this server.
    public func proof(in request: EndpointRequest) -> Proof {
        let fields = request.head.headerFields
        return fields[.authorization].flatMap(bearerToken) != nil || !fields.contains(subject) ? .presented : .ambient
    }

    /// Returns the principal that the proxy names.
    /// - Throws: ``AccessRefusal`` if the proxy is not proven or a field is missing or malformed. ``CredentialError``
    ///   if the secret cannot be loaded.
    public func authenticate(_ request: EndpointRequest) async throws -> Principal? {
        try await checkProxy(request)
        let subject =
            switch single(subject, in: request) {
            case .value(let value): value
            case .missing: throw AccessRefusal("subject_missing")
            case .malformed: throw AccessRefusal("subject_malformed")
            }
        var principal = Principal(subject: subject)
        if let tenant {
            switch single(tenant, in: request) {
            case .value(let value): principal.tenant = ExactString(value)
            case .missing: throw AccessRefusal("tenant_missing")
            case .malformed: throw AccessRefusal("tenant_malformed")
            }
        }
        for (claim, field) in claims {
            let fields = request.head.headerFields[fields: field]
            guard fields.count <= 1 else { throw AccessRefusal("claim_repeated") }
            guard let value = fields.first else { continue }
            guard let text = value.textForSure else { throw AccessRefusal("claim_malformed") }
            let elements = text.utf8.split(separator: UInt8(ascii: ",")).map { String(trimmingSpaces($0)) }
                .filter { !$0.isEmpty }
            guard let first = elements.first else { continue }
            principal.claims[ExactString(claim)] =
                elements.count == 1 ? .string(first) : .array(elements.map(JSONValue.string))
        }
        return principal
    }

    private func checkProxy(_ request: EndpointRequest) async throws {
        if !peers.isEmpty {
            guard let address = request.peer?.ipAddress,
                peers.contains(where: { $0.contains(address) })
            else { throw AccessRefusal("peer_untrusted") }
        }
        guard let secrets else {
            if peers.isEmpty || areEverybody { throw AccessRefusal("peer_untrusted") }
            return
        }
        let given = request.head.headerFields[values: secretField]
        guard let secret = given.first.map({ Secret($0) }) else { throw AccessRefusal("proxy_secret_missing") }
        guard given.count == 1 else { throw AccessRefusal("proxy_secret_repeated") }
        // Compares all of them, so that the time does not reveal which one is right.
        let isRight = try await secrets.current().reduce(false) { $1 == secret || $0 }
        guard isRight else { throw AccessRefusal("proxy_secret_wrong") }
    }

    private enum Single {
        case value(String)
        case missing
        case malformed
    }

    private func single(_ name: HTTPField.Name, in request: EndpointRequest) -> Single {
        let fields = request.head.headerFields[fields: name]
        guard let field = fields.first else { return .missing }
        guard fields.count == 1, let text = field.textForSure else { return .malformed }
        let value = trimmingSpaces(text.utf8[...])
        if value.isEmpty { return .missing }
        guard value.utf8.count <= 255, !value.utf8.contains(UInt8(ascii: ",")) else { return .malformed }
        return .value(String(value))
    }
}

/// Returns the text without spaces and tabs at both ends, which are not part of a value (RFC 9110, section 5.5). Other
/// white space is.
private func trimmingSpaces(_ text: Substring.UTF8View) -> Substring {
    func isSpace(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
    var text = text.drop(while: isSpace)
    while let last = text.last, isSpace(last) { text.removeLast() }
    return Substring(text)
}

extension HTTPField {
    /// The value; `nil` if it is not UTF-8, or if a host may have replaced invalid bytes with U+FFFD, which would make
    /// different values look the same.
    var textForSure: String? {
        let text = withUnsafeBytesOfValue { String(validating: $0, as: UTF8.self) }
        guard let text, !text.unicodeScalars.contains("\u{FFFD}") else { return nil }
        return text
    }
}

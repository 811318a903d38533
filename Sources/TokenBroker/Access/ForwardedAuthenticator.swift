public import HTTPTypes

/// Takes the word of a reverse proxy that has found out who asks, as it stands in header fields.
///
/// The proxy has to prove that it is the proxy: with a secret in a header field, by its address, or both if both are
/// given. It must remove those fields from what clients send. A field that stands twice, or has a comma where there
/// can only be one value, was not set by the proxy alone, and proves nothing.
public struct ForwardedAuthenticator: Authenticator {
    private let subject: HTTPField.Name
    private let tenant: HTTPField.Name?
    private let claims: [String: HTTPField.Name]
    private let secretField: HTTPField.Name
    private let secrets: SharedSecrets?
    private let peers: [IPAddressBlock]
    private let areEverybody: Bool

    /// - Parameters:
    ///   - subject: The field that names who asks.
    ///   - tenant: The field that names the tenant; it has to be there then.
    ///   - claims: Fields that become claims of these names where they are there; values with commas become lists.
    ///   - secretField: The field with the secret.
    ///   - secrets: What has to stand there, if anything.
    ///   - peers: Where the proxy's connections come from, if that has to be looked at. Nobody is believed without a
    ///     secret if there are no peers, or if practically everybody is among them, such as with `0.0.0.0/0`.
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

    /// The fields that the proxy sets.
    public var reservedFields: Set<HTTPField.Name> {
        Set([subject, secretField] + [tenant].compactMap(\.self) + claims.values)
    }

    /// See ``Authenticator/proof(in:)``. A sign-in at a proxy is as a rule kept in a cookie, which may not have come
    /// this far.
    public func proof(in request: EndpointRequest) -> Proof {
        let fields = request.head.headerFields
        return fields[.authorization].flatMap(bearerToken) != nil || !fields.contains(subject) ? .presented : .ambient
    }

    /// See ``Authenticator/authenticate(_:)``; the type tells what is particular.
    /// - Throws: ``CredentialError`` if the secret cannot be had.
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
        // All of them, so that the time does not tell which.
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

/// Without spaces and tabs at both ends, which are no part of a value (RFC 9110, section 5.5). Other white space is.
private func trimmingSpaces(_ text: Substring.UTF8View) -> Substring {
    func isSpace(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
    var text = text.drop(while: isSpace)
    while let last = text.last, isSpace(last) { text.removeLast() }
    return Substring(text)
}

extension HTTPField {
    /// The value; `nil` if it is not UTF-8, or if a host may have put U+FFFD where it was not, since values that
    /// differ would look the same.
    var textForSure: String? {
        let text = withUnsafeBytesOfValue { String(validating: $0, as: UTF8.self) }
        guard let text, !text.unicodeScalars.contains("\u{FFFD}") else { return nil }
        return text
    }
}
